/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Questions about kernel modules, answered from depmod's index files in a directory, never from the
 * running kernel or the builder's configuration. kmodules.c is the only file that includes libkmod.
 */

#include "tree.h"

enum { MODULE_SIZE_MAX = 128 * 1024 * 1024 }; /* of one module, unpacked */

/* The module files (paths below directory, e.g. "kernel/drivers/block/virtio_blk.ko.xz", sorted)
 * that the named modules need, themselves and soft dependencies included. Names may be aliases. A
 * module built into the kernel needs none. -ENOENT for a name that the kernel does not have. */
int kmodules_closure(const char *directory, char *const *names, char ***ret,
                     struct error *err) _must_check_;
/* The firmware files (below /usr/lib/firmware) that an uncompressed module says it may ask for. */
int kmodules_firmware(const char *module_path, char ***ret, struct error *err) _must_check_;

/* Whether depmod reads that file: modules, and the lists that come with the kernel. */
bool kmodules_input(const struct tree_node *node);
/* What libkmod and depmod make of a kernel's module directory in the image follows from this: its
 * inputs, depmod's version, and the words (NULL: none). Hex digits in ret (SHA256_HEX_SIZE). */
int kmodules_key(const struct tree_node *modules, const struct content_store *store,
                 char *const *words, char *ret, struct error *err) _must_check_;
