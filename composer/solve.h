/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Which packages an image needs: those that its layers name and everything they depend on. */

#include "package.h"
#include "repository.h"

/* Solves for all layers together. Recommended and essential packages do not come in by themselves.
 * Packages that a layer excludes never come in; see solve.c for what becomes of those that depend
 * on them. The result is sorted and depends on the indexes, on what package_requests() gives, and
 * on what is excluded. */
int solve(const struct workdir *w, const struct manifest *m, const struct repository_indexes *x,
          struct package_set *ret, struct error *err) _must_check_;

/* Version of the library that solves: part of the keys of cached results. */
const char *solve_version(void);
