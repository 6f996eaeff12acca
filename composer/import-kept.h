/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The trees of a whole set of packages as one entry of the cache (derived.h), named after their
 * commits: the repository has them as many thousand small files. */

#include "package.h"

/* 1: all trees are loaded; 0: there is no entry, or one whose contents the repository does not have
 * any more. The items' commits are those of the repository's refs. */
int package_trees_load_kept(const struct workdir *w, struct package_trees *trees,
                            struct error *err) _must_check_;
int package_trees_keep(const struct workdir *w, const struct package_trees *trees,
                       struct error *err) _must_check_;
