/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Debian versions and relations ("name (<< version)"), as the Policy defines them. */

#include "error.h"

/* Negative, zero or positive as a is before, equal to or after b. */
int deb_version_compare(const char *a, const char *b);

/* Whether a relation field ("a (<< 1.2), b:any, c (= 3)") names the package in that version. */
bool deb_relation_matches(const char *field, const char *name, const char *version);
