/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* ld.so.cache in glibc's format "glibc-ld.so.cache1.1". */

#include "error.h"

struct ld_cache_entry {
        char *soname, *path;
        uint32_t flags; /* ELF kind and architecture, ld_cache_flags() */
};

/* glibc's flags word for libraries of an ELF machine (EM_…); 0 when glibc has none. */
uint32_t ld_cache_flags(unsigned machine);

/* Sorts the entries as ld.so wants them (of equal sonames the earlier stays first) and builds the
 * file. */
int ld_cache_build(struct ld_cache_entry *entries, size_t count, void **ret, size_t *ret_size,
                   struct error *err) _must_check_;
