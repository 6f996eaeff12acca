/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Publishing: from a build to a release of a channel of an update site, a directory that any web
 * server serves. docs/updates.md has its files. */

#include "channel.h"
#include "commit-site.h"
#include "workdir.h"

struct publish_options {
        const char *build; /* output directory; NULL: no release, only what follows */
        const char *site;  /* directory */
        const char *channel;
        const char *layouts; /* file that becomes the channel's; NULL: none */
        char **extensions;   /* images of system extensions for the channel; NULL: none */
        const char *image;   /* whose channel it is, when there is no build */
        const struct site_keys *keys;
        uint64_t now, lifetime; /* seconds, of the summary */
        bool older;             /* a release may be older than the channel's newest */
        bool renew;             /* the summary gets a new date in any case */
        bool prune;
        unsigned keep;   /* releases of each channel that are not pruned */
        int patch_level; /* of zstd, for patches of kernel modules; 0: none are made */
        void (*patching)(void *userdata, const char *from_kernel, const char *to_kernel);
        void *userdata;
};

struct publication {
        struct release release;
        struct sha256 commit;
        bool changed; /* something was written, pruning apart */
        struct channel channel;
        uint64_t images_removed, objects_removed, patches_removed, extensions_removed;
};

/* Readers see the release before or after. Doing it again, after a kill too, finishes it, and then
 * changes nothing. */
int publish(const struct workdir *w, const struct publish_options *options, struct publication *ret,
            struct error *err) _must_check_;
void publication_done(struct publication *p);
#define _cleanup_publication_ _cleanup_(publication_done)
