/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The files of an update site that machines fetch ranges of: images/<root hash>/. */

#include "digest.h"
#include "release.h"

/* Where a build has them. */
struct image_source {
        int disk_fd, uki_fd;
        uint64_t usr_offset;
        struct uuid tree_uuid;     /* of the hash tree's superblock, as in the slot */
        uint64_t signature_offset; /* of the root hash's signature on the disk, if it is signed */
};

/* Checks them against the release and puts them all there at once; text is the release's. -EEXIST
 * when the site has the same image with another UKI. */
int site_images_add(int site_fd, const struct image_source *source, const struct release *r,
                    const char *text, bool *ret_changed, struct error *err) _must_check_;
/* Removes those of other root hashes; *ret: how many. */
int site_images_prune(int site_fd, const struct sha256 *keep, size_t count, uint64_t *ret,
                      struct error *err) _must_check_;
