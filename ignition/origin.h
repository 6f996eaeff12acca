/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Where each value of a merged configuration was written. A value of the tree carries source, line
 * and column in its user data. Serialised and read again the tree has the same values in the same
 * order, so a list of places in that order is enough to find them back: that is what the state
 * keeps, instead of anybody's text. */

#include "config.h"
#include "state.h"

enum {
        ORIGIN_SOURCES_MAX = 256,
        ORIGIN_COLUMN_MAX = 1 << 28, /* more than CONFIG_SIZE_MAX */
        ORIGIN_LINE_MAX = 1 << 28,
};

struct origin {
        unsigned source, line, column; /* line 0: unknown */
};

/* The line starts of a text. */
struct lines {
        size_t *starts;
        size_t count;
};

int lines_find(const char *text, size_t size, struct lines *ret) _must_check_;
void lines_done(struct lines *l);
#define _cleanup_lines_ _cleanup_(lines_done)

void origin_set(json_object *value, struct origin origin);
struct origin origin_get(json_object *value);
/* Marks a new value with the place of one in the document. */
void origin_from(json_object *value, const struct json_document *d, const struct lines *lines,
                 json_object *from, unsigned source);

/* "source:line:column" of all values in order, blanks between. NULL: out of memory. */
char *origins_text(json_object *tree) _must_check_;
/* The place, in such a text, of a value of a tree of the same shape. */
bool origins_find(const char *text, json_object *tree, json_object *value, struct origin *ret);

/* The same kept in the state, as "positions", with the names of the sources. */
int origins_save(struct state *s, char *const *sources, json_object *tree) _must_check_;
bool origins_load(const struct state *s, json_object *tree, json_object *value, struct origin *ret);
/* The name of a source, from wherever it is known. */
const char *origins_name(const struct state *s, char *const *sources, unsigned number);
