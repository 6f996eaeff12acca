/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What is wrong with a configuration: lines such as
 *   error at $.storage.files.1.path, line 6 col 16: path not absolute
 * in the form that ignition-validate prints. Only values are named; the path comes from looking the
 * value up in its document, so nobody has to carry paths around. */

#include "json.h"
#include "strv.h"

enum {
        FINDINGS_MAX = 200, /* further ones only count */
        WHERE_MAX = 256,    /* text of a place, longer ones are cut */
};

enum finding_kind { FINDING_ERROR, FINDING_WARNING };

struct findings {
        const struct json_document *document; /* borrowed */
        struct buffer text;
        size_t errors, warnings;
};

void findings_done(struct findings *r);
#define _cleanup_findings_ _cleanup_(findings_done)

/* About a value, or about the member `key` of the object or list at (which may be missing, then the
 * place is that of at; NULL: the value itself). */
void findings_add(struct findings *r, enum finding_kind kind, json_object *at, const char *key,
                  const char *format, ...) _printf_(5, 6);

/* A warning about a key, at the place of the key. */
void findings_add_key(struct findings *r, json_object *at, const char *key, const char *format, ...)
        _printf_(4, 5);

/* "$.storage.files.1.path" in ret; "$" when the value is not in the tree below root. */
void json_path(json_object *root, json_object *value, char ret[WHERE_MAX]);
/* The value at a path that json_path() made, in another tree of the same shape; NULL: none. */
json_object *json_at(json_object *root, const char *path);
/* Keys as Go compares them: without regard to case, by Unicode's simple folding. */
bool key_equal(const char *a, const char *b);
/* Member of an object by Ignition's rule: exact name or else without regard to case; last wins. */
json_object *json_member(json_object *object, const char *key);
