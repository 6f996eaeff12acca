/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Debian's shim: the one boot loader with a signature that machines trust as they are sold. It
 * starts what is signed by a key that the machine's owner has enrolled for it (MOK). */

#include "manifest.h"
#include "tree.h"

struct shim {
        char *loader, *manager; /* shim itself; MokManager, which enrols keys */
        size_t loader_size, manager_size;
};

/* From the tree, where the packages shim-signed and shim-helpers-*-signed put them. */
int shim_load(const char *architecture, const struct tree *tree, const struct content_store *store,
              struct shim *ret, struct error *err) _must_check_;
void shim_done(struct shim *s);
