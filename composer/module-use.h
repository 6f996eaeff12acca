/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Which of an image's kernel modules and firmware files anything needs: what layers and manifest
 * name for the initrd and for run time, what that depends on, and the firmware all these say they
 * may ask for. The rest could be dropped, and with "modules": "closure" is (fixup-modules.c). */

#include "manifest.h"
#include "workdir.h"

struct module_file {
        struct tree_node *node; /* in the image's tree */
        bool firmware;          /* else a module */
        bool needed;
};

struct module_use {
        struct module_file *items; /* in the tree's order */
        size_t count;
};
void module_use_done(struct module_use *u);
#define _cleanup_module_use_ _cleanup_(module_use_done)

/* The answer for one kernel: modules is its /usr/lib/modules/VERSION in the tree. packed: depmod's
 * index files (see derived.h) when they are not in the tree yet, else NULL. -ENOENT for a module
 * that somebody names and the kernel does not have; patterns may match nothing. */
int module_use_find(const struct workdir *w, const struct manifest *m, const struct tree *tree,
                    struct tree_node *modules, const char *packed, size_t size,
                    struct module_use *ret, struct error *err) _must_check_;
