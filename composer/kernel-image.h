/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The files that start an image, made from its own tree: the unified kernel image (systemd's stub,
 * the tree's kernel, the initrd, the command line) and the boot loader. */

#include "manifest.h"
#include "pcr-policy.h"
#include "signer.h"
#include "tree.h"

/* The words of the kernel command line: usrhash, what "trust" adds, then the layers' options, then
 * the manifest's. Caller frees. */
int kernel_image_cmdline(const struct manifest *m, const struct sha256 *root_hash, char **ret,
                         struct error *err) _must_check_;

/* Builds the UKI in memory, before the root hash is known: the command line has zeros for it.
 * Caller frees *ret. */
int kernel_image_build(const struct manifest *m, const struct signers *signers,
                       const struct tree *tree, const struct content_store *store,
                       const void *initrd, size_t initrd_size, char **ret, size_t *ret_size,
                       struct error *err) _must_check_;
/* Puts the root hash there, and adds the signature of what PCR 11 will hold when there is a key for
 * it, which makes *image another one. *ret has what changed. */
struct kernel_image_change {
        size_t offset, size; /* bytes of the image */
};
int kernel_image_finish(const struct manifest *m, const struct signers *signers,
                        const struct sha256 *root_hash, char **image, size_t *size,
                        struct kernel_image_change *ret, struct error *err) _must_check_;

/* Loads systemd-boot's binary for the image's architecture; caller frees *ret. */
int kernel_image_boot_loader(const struct manifest *m, const struct tree *tree,
                             const struct content_store *store, char **ret, size_t *ret_size,
                             struct error *err) _must_check_;
