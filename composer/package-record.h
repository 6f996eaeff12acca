/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A package as a record, and what may stand in it, whether a lock file or a repository says so. */

#include "package.h"

extern const struct record package_record;

/* What is wrong with the texts and numbers of a package, or NULL. */
const char *package_problem(const struct package *p);
/* The order of a package set: name, then architecture. */
int package_compare(const void *a, const void *b);
