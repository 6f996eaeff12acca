/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A Packages file, cut down to what resolving needs: a third of the text, and the sizes, which
 * libsolv does not read. */

#include "strv.h"
#include "error.h"

enum { PACKAGES_LINE_MAX = 1024 * 1024, PACKAGES_MAX = 1000000 };

struct packages_index {
        struct buffer text; /* stanzas, each ended by an empty line */
        uint64_t *sizes;    /* bytes of the package of each stanza; 0: not said */
        size_t count, capacity;
};

int packages_index_read(FILE *in, struct packages_index *ret, struct error *err) _must_check_;
void packages_index_done(struct packages_index *p);
#define _cleanup_packages_index_ _cleanup_(packages_index_done)
