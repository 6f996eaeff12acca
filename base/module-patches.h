/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Patches that turn one set of kernel modules into another: a file on the update site for a pair of
 * sets, as a new kernel's modules are new in each of their blocks, but a tenth of that as patches
 * of what is unpacked. docs/formats.md has the layout.
 *
 * Nothing here is trusted for more than saving bytes: what comes out is believed when its blocks
 * are those that the release's hash tree wants. The file is signed nevertheless (file-seal.h), and
 * checked before anything looks into it: it goes through decompressors. */

#include "module-set.h"
#include "xz.h"

enum {
        MODULE_PATCHES_SIZE_MAX = 16 * 1024 * 1024, /* it is held in memory; a real one has 2 MiB */
        MODULE_PACKED_MAX = 8 * 1024 * 1024,        /* of a new module as it is in the image */
        MODULE_BLOCK_KEY_SIZE = 8,
};

struct module_patch {
        uint32_t old;                               /* number of the module in the old set */
        uint32_t old_size, new_size;                /* bytes, unpacked */
        uint32_t packed_size;                       /* of the new .ko.xz */
        uint8_t first_block[MODULE_BLOCK_KEY_SIZE]; /* of the sha256 of the new one's first block */
        uint32_t size;
        const void *data; /* borrowed; see delta.h */
};

struct module_patches {
        struct sha256 old_set, new_set;
        struct xz_parameters xz;    /* of the new set's files */
        struct module_patch *items; /* in the old set's order */
        size_t count;
};

/* Everything is checked; the items borrow from data. */
int module_patches_parse(const void *data, size_t size, struct module_patches *ret,
                         struct error *err) _must_check_;
/* The file; equal patches give equal bytes. Caller frees. */
int module_patches_write(const struct module_patches *p, char **ret, size_t *ret_size,
                         struct error *err) _must_check_;
void module_patches_done(struct module_patches *p);
#define _cleanup_module_patches_ _cleanup_(module_patches_done)

/* "<old set>-<new set>.patches" in hex digits; returns ret. */
enum { MODULE_PATCHES_NAME_SIZE = 2 * SHA256_HEX_SIZE + 8 };
char *module_patches_name(const struct sha256 *old_set, const struct sha256 *new_set, char *ret);
