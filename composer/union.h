/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The union of package trees, and layer files on top: plain merging, before any fix-up. All paths
 * become those of the image on the way: usr-merge (/bin/x is /usr/bin/x) and /etc below /usr/etc.
 */

#include "merge.h"

/* A file of other packages that goes elsewhere because `package` wants its path. */
struct diversion {
        char *package, *path, *target; /* paths of the image */
};
struct diversions {
        struct diversion *items;
        size_t count, capacity;
};
void diversions_done(struct diversions *d);
#define _cleanup_diversions_ _cleanup_(diversions_done)

/* The path in the image of a path in a package or layer, into ret (TREE_PATH_MAX bytes); returns
 * ret. Patterns for glob_match() may be given as well. */
const char *image_path(const char *path, char *ret);

/* diversion.c: what the packages' preinst and postinst divert by static text. */
int diversions_collect(const struct package_tree *packages, size_t count,
                       const struct content_store *store, struct diversions *ret,
                       struct error *err) _must_check_;

/* Adds every package's /data to tree, in the order given. Inodes are shared with the package trees,
 * not copied; they may be freed afterwards. Two packages with different things at one path are an
 * error (-EEXIST) unless a diversion or Replaces says which one stays. */
int tree_union(const struct package_tree *packages, size_t count,
               const struct diversions *diversions, const struct content_store *store,
               struct tree *tree, struct error *err) _must_check_;

/* layer-files.c: puts <layer>/files/ over the tree; of images with a signed root hash also
 * <layer>/files.signed/. Everything belongs to root; directories are 0755, files 0644 or, with the
 * owner's execute bit, 0755, whatever the umask of the checkout. */
int layer_files(const struct layer *layer, bool is_signed, struct tree *tree,
                struct error *err) _must_check_;
/* The same with any directory; messages call it `name`. The origin is interned in the tree. */
int directory_files(const char *path, const char *name, const char *origin, struct tree *tree,
                    struct error *err) _must_check_;
/* The same with <layer>/initrd/, for the initrd's tree; of images with a signed root hash also with
 * <layer>/initrd.signed/. */
int layer_initrd_files(const struct layer *layer, bool is_signed, struct tree *tree,
                       struct error *err) _must_check_;
/* Where kernel-config/build has put the kernel that the layer wants, <cache>/kernels/NAME; NULL: it
 * wants none. Caller frees. */
int layer_kernel_find(const struct layer *layer, const char *cache_path, char **ret,
                      struct error *err) _must_check_;
/* Adds it: what is below its kernel/. */
int layer_kernel(const struct layer *layer, const char *cache_path, struct tree *tree,
                 struct error *err) _must_check_;
/* The layer's programs, from libexec_path. */
int layer_programs(const struct layer *layer, const char *libexec_path, struct tree *tree,
                   struct error *err) _must_check_;
