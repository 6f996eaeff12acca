/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a machine must know of a release before it fetches a byte of it: one JSON object, which the
 * sealed commit carries as COMMIT_RELEASE, so that the commit's signature covers it. The update
 * site has a copy beside the images, for people. docs/updates.md has an example. */

#include "json.h"
#include "digest.h"

#define COMMIT_RELEASE "slipway.release"

enum {
        RELEASE_FORMAT = 1,
        RELEASE_TEXT_MAX = 64 * 1024,
        RELEASE_CHECKS_MAX = 64,
        RELEASE_SIGNATURE_MAX = 64 * 1024, /* bytes of the file, see verity-signature.h */
};

/* The smallest partitions that take the release, in bytes. */
struct release_layout {
        uint64_t usr, usr_verity,
                esp; /* esp: two UKIs, a third being written, the boot loader, FAT */
};

struct release {
        uint64_t format;
        char *image;        /* manifest's name: IMAGE_ID in os-release */
        char *version;      /* IMAGE_VERSION; also the boot entry's */
        char *architecture; /* "amd64" */
        uint64_t timestamp; /* seconds since the epoch; never goes down from release to release */
        char *kernel;       /* version, for people */
        struct sha256 root_hash,
                uki_root_hash; /* of dm-verity trees: over /usr, over the UKI's blocks */
        uint64_t usr_size, tree_size, uki_size; /* bytes; the trees include their superblock */
        struct sha256 modules; /* of its set of kernel modules (module-set.h); zeros: not said */
        struct sha256 usr_signature; /* of the file with the root hash's signature; zeros: none */
        uint64_t usr_signature_size; /* bytes of it */
        struct release_layout layout;
        char **health;        /* names of its health checks, for people */
        char **sysext_levels; /* SYSEXT_LEVEL that extensions may name; may be empty */
};

/* Decodes and checks: format, limits of every field, sizes that agree with each other. */
int release_parse(const char *name, const char *text, size_t size, struct release *ret,
                  struct error *err) _must_check_;
/* The text, with a line end, if release_parse() takes it; equal releases give equal bytes. Caller
 * frees. */
int release_text(const struct release *r, char **ret, struct error *err) _must_check_;
static inline bool release_signed(const struct release *r)
{
        return r->usr_signature_size > 0;
}
void release_done(struct release *r);
#define _cleanup_release_ _cleanup_(release_done)
/* Newer (> 0), the same (0) or older (< 0) as a host sees it: by timestamp, then by version as
 * systemd-boot compares them. */
int release_compare_age(uint64_t timestamp_a, const char *version_a, uint64_t timestamp_b,
                        const char *version_b);
