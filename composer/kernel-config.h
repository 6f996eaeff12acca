/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Where a kernel's configuration is found. */

#include "kconfig.h"
#include "tree.h"

/* In the bytes of a file: the text itself, as `name` says it, or compressed (/proc/config.gz); the
 * one that a kernel carries with CONFIG_IKCONFIG, in an ELF file, a bzImage, an EFI zboot image or
 * a compressed one; the kernel in a UKI. -ENODATA for a kernel without. */
int kernel_config_read(const char *name, const void *data, size_t size, struct kconfig *ret,
                       struct error *err) _must_check_;
int kernel_config_file(const char *path, struct kconfig *ret, struct error *err) _must_check_;
/* In a directory that holds a file system: lib/modules/VERSION/config, also below usr/,
 * boot/config-VERSION, else in the kernel beside them. -ENOENT for none, -EEXIST for several
 * kernels. */
int kernel_config_directory(const char *path, struct kconfig *ret, struct error *err) _must_check_;
/* In an image's tree. */
int kernel_config_tree(const struct tree *tree, const struct content_store *store,
                       struct kconfig *ret, struct error *err) _must_check_;
