/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A directory on the builder that stands in for a kernel's module directory of an image, for
 * libkmod to answer from (kmodules.h): depmod's index files, and an empty file for each module. */

#include "tree.h"

/* Fills the empty directory `path` from modules, which is /usr/lib/modules/VERSION. The index files
 * are those of packed (what depmod made, see derived.h), or with NULL those in the tree. */
int module_directory_write(const struct tree_node *modules, const struct content_store *store,
                           const char *packed, size_t size, const char *path,
                           struct error *err) _must_check_;
