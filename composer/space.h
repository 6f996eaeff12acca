/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What is free of a row of units (blocks, slots), and where to put things that are to lie together.
 * The row grows at its end. */

#include "error.h"

struct space {
        struct space_range {
                uint64_t start, size;
        } * ranges; /* free ones, in order, with something between any two */
        size_t count, capacity;
        uint64_t end; /* everything from here on is free, too, and not among the ranges */
};

/* A row of which nothing is taken, `end` units long. */
int space_init(struct space *s, uint64_t end, struct error *err) _must_check_;
void space_done(struct space *s);
#define _cleanup_space_ _cleanup_(space_done)
/* Takes these units, which may lie behind the end; -EEXIST when one of them is taken already. */
int space_claim(struct space *s, uint64_t start, uint64_t size, struct error *err) _must_check_;
/* Takes `size` units where they fit best: in the smallest free range that has room, the first of
 * several, else at the end. They start at a multiple of `align`; unless `group` is 0, they do not
 * cross a multiple of it when they can lie between two of these. */
int space_take(struct space *s, uint64_t size, uint64_t align, uint64_t group, uint64_t *ret,
               struct error *err) _must_check_;
/* Units before the end that are free. */
uint64_t space_free(const struct space *s);
