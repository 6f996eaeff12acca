/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* System extensions as an update site offers them: one signed JSON file a channel, which names the
 * images, their digests, and the hosts that each is for. docs/sysext.md has an example. The same
 * text is a machine's note of what it has fetched. */

#include "digest.h"
#include "record.h"
#include "release.h"

#define EXTENSION_INDEX_NAME "extensions.json"

enum {
        EXTENSION_INDEX_FORMAT = 1,
        EXTENSION_INDEX_MAX = 1024 * 1024, /* bytes of the text */
        EXTENSION_ENTRIES_MAX = 1000,
};
#define EXTENSION_FILE_MAX (4 * GIB) /* of one image */

/* What is compared with a host's os-release. NULL: not said. */
struct extension_match {
        char *id, *level, *version_id;
};

struct extension_entry {
        char *name, *version;
        struct extension_match match;
        struct sha256 sha256; /* of the file, and its name on the site */
        uint64_t size;        /* bytes */
};

void extension_entry_done(struct extension_entry *e);

struct extension_index {
        uint64_t format;
        char *image, *architecture, *channel; /* what it is the index of */
        struct field_array entries;
};

static inline struct extension_entry *extension_entries(const struct extension_index *index)
{
        return index->entries.items;
}

/* Decodes and checks: limits of every field, no two entries of one name and version. */
int extension_index_parse(const char *name, const char *text, size_t size,
                          struct extension_index *ret, struct error *err) _must_check_;
/* Caller frees. */
int extension_index_text(const struct extension_index *index, char **ret,
                         struct error *err) _must_check_;
void extension_index_done(struct extension_index *index);
#define _cleanup_extension_index_ _cleanup_(extension_index_done)

/* Adds an entry, whose members it takes, instead of one of the same name and version; the index
 * stays sorted. */
int extension_index_add(struct extension_index *index, struct extension_entry *entry,
                        struct error *err) _must_check_;
void extension_index_remove(struct extension_index *index, size_t i);

/* The host that a match is compared with. */
struct extension_host {
        char *const *levels;        /* SYSEXT_LEVEL; several: of a release that takes them all */
        const char *id;             /* NULL: not compared */
        const char *version_ids[2]; /* VERSION_ID, or another spelling of it; NULL: none */
};

/* As systemd-sysext decides it. *ret_reason (owned; NULL: it fits): "is for …". */
int extension_fits(const struct extension_match *match, const struct extension_host *host,
                   char **ret_reason, struct error *err) _must_check_;
/* The newest of that name that fits; NULL: none. */
int extension_index_find(const struct extension_index *index, const char *name,
                         const struct extension_host *host, struct extension_entry **ret,
                         struct error *err) _must_check_;
