/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Patches from the kernel modules of one commit to those of another (base/module-patches.h). */

#include "delta.h"
#include "module-patches.h"
#include "tree.h"

/* The set of the tree's modules. */
int module_set_of_tree(const struct tree *tree, const struct content_store *store,
                       struct module_set *ret, struct error *err) _must_check_;
/* Equal keys, equal sets; found without reading modules that are objects. */
int module_set_key(const struct tree *tree, const struct content_store *store,
                   char ret[SHA256_HEX_SIZE], struct error *err) _must_check_;

struct module_diff_input {
        const struct tree *tree;
        const struct content_store *store;
        const struct module_set *set;
};

struct module_diff_counts {
        size_t changed; /* modules in both, with other bytes */
        size_t patched; /* of these, those with a patch */
        uint64_t bytes; /* of these as they are in the image */
};

/* The file for a pair of sets, on all processors; caller frees. Modules are left out for which the
 * way back (unpack, patch, pack) does not give the same bytes, or for which a patch saves nothing.
 */
int module_diff(const struct module_diff_input *before, const struct module_diff_input *after,
                int level, char **ret, size_t *ret_size, struct module_diff_counts *ret_counts,
                struct error *err) _must_check_;
