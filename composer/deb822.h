/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Debian's control format (deb822): stanzas of "Name: value" with continuation lines. apt's
 * *.sources files, Release files and our own small cache notes are written in it. */

#include "error.h"

enum { DEB822_TEXT_MAX = 32 * 1024 * 1024 };

/* One field, pointing into the text: the value with inner newlines, without the blanks around it.
 */
struct deb822_field {
        const char *name, *value;
        size_t name_size, value_size;
        bool first; /* begins a new stanza */
};

struct deb822 {
        const char *next, *end;
        bool inside; /* a field of the current stanza was returned */
};

void deb822_init(struct deb822 *d, const char *text, size_t size);
/* The next field; false at the end. Comments ('#') are skipped, and so are lines that are no field:
 * who wants a field misses it then. */
bool deb822_next(struct deb822 *d, struct deb822_field *ret);

/* Field names are compared without case. */
bool deb822_is(const struct deb822_field *f, const char *name);
/* A copy of the value; NULL: out of memory. */
char *deb822_value(const struct deb822_field *f);
/* "yes", "true", "on", "1", "enable" as apt knows them, or the opposite; else `otherwise`. */
bool deb822_bool(const struct deb822_field *f, bool otherwise);
