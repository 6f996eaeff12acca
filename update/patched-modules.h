/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* New kernel modules from those that run and their patches (base/module-patches.h): each is
 * unpacked, patched and packed again, and its blocks are given to the sink when they have the
 * digests that the hash tree wants at their place. Whatever goes wrong with a module, its blocks
 * are still missing afterwards, and are fetched like others. */

#include "hash-tree.h"
#include "module-patches.h"

/* What modules take together while they are made; that of the patches comes on top. */
#define PATCHED_MODULES_MEMORY (44 * MIB)

/* The image that gets the blocks. Never called by two threads at once. */
struct block_sink {
        bool (*wants)(void *userdata, uint64_t block);
        /* Blocks [first, first + count), all wanted; data is NULL in a dry run. */
        int (*take)(void *userdata, uint64_t first, uint64_t count, const void *data,
                    struct error *err);
        void *userdata;
};

struct patched_modules {
        const char *directory;        /* MODULE_DIRECTORY of what runs */
        const struct module_set *set; /* what is in it */
        const struct hash_tree *tree; /* of the new image */
        const struct block_sink *sink;
        bool dry; /* suppose that each module comes out as it should */
};

/* On all processors. Sorts the patches anew. Fails when the sink or the tree does, when it is
 * interrupted, and with -ESTALE when the patches are for another set. */
int patched_modules_make(const struct patched_modules *m, struct module_patches *patches,
                         struct error *err) _must_check_;
