/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A channel of an update site: what was published in it, oldest first, and the smallest layouts in
 * the field, which every release of the channel must fit. Two files in
 * channels/<image>/<architecture>/<channel>/. */

#include "record.h"
#include "release.h"

enum {
        CHANNEL_NAME_MAX = 64,
        CHANNEL_PATH_MAX = 256,
        CHANNEL_RELEASES_MAX = 1000, /* of which the last are remembered */
        CHANNEL_LAYOUTS_MAX = 64,
};

struct channel_release {
        char *version;
        uint64_t timestamp;
        struct sha256 commit, root_hash, uki_root_hash;
        struct release_layout sizes; /* what it takes, in bytes */
};

struct channel_layout {
        char *name;
        struct release_layout sizes; /* what there is */
};

struct channel {
        struct field_array releases, layouts;
};

bool channel_name_valid(const char *name);

/* Of the files at a path below the site; those that are not there are empty. */
int channel_load(int site_fd, const char *path, struct channel *ret,
                 struct error *err) _must_check_;
/* Writes those that say something else by now; *ret_changed becomes true then. */
int channel_save(const struct channel *c, int site_fd, const char *path, bool *ret_changed,
                 struct error *err) _must_check_;
void channel_done(struct channel *c);
#define _cleanup_channel_ _cleanup_(channel_done)

static inline const struct channel_release *channel_releases(const struct channel *c)
{
        return c->releases.items;
}

/* The last one; NULL: none. */
const struct channel_release *channel_last(const struct channel *c);

/* Whether a release may follow: -EEXIST when the channel has its version with other content,
 * -ESTALE when it has a newer one, unless `older` ones may follow, too. */
int channel_check(const struct channel *c, const struct release *r, bool older,
                  struct error *err) _must_check_;
/* Makes the release the last one. */
int channel_add(struct channel *c, const struct release *r, const struct sha256 *commit,
                struct error *err) _must_check_;
/* Takes the layouts of a file. */
int channel_set_layouts(struct channel *c, const char *path, struct error *err) _must_check_;

/* ---- space ---- */

/* -ENOSPC when the release does not fit a layout: by how many bytes, and which. */
int channel_fits(const struct channel *c, const struct release *r, struct error *err) _must_check_;

/* Where the channel's releases will first be too large, if they go on growing like the last ones.
 */
struct channel_trend {
        const char *partition;
        const char *layout;   /* borrowed; NULL: there are none */
        uint64_t size, limit; /* bytes, of the last release and of the layout */
        int64_t growth;       /* bytes a release */
        unsigned releases;    /* that this was seen in */
        uint64_t left;        /* releases that still fit; UINT64_MAX: it does not grow */
};
/* False when there is no release. */
bool channel_trend(const struct channel *c, struct channel_trend *ret);
