/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* JSON with positions: json-c makes the values, a small scanner of our own walks the text beside it
 * and remembers where each value starts and which key stands twice, which json-c cannot tell. */

#include <json-c/json.h>

#include "error.h"

enum { JSON_DEPTH_MAX = 64, JSON_LENIENT_DEPTH_MAX = 10000, JSON_TEXT_MAX = 32 * 1024 * 1024 };

#define JSON_DUPLICATE_MARK "\x02"

struct json_document {
        char *name; /* for messages: the path, or "<fw_cfg>" */
        char *text; /* owned copy, NUL-terminated */
        size_t size;
        json_object *root;
};

/* Parses a text of RFC 8259 (UTF-8, one value, nothing behind it). A duplicate key is an error.
 * `lenient` takes what Go's decoder takes: a key may stand again (then it has a mark and a number
 * behind it in the tree, so that nothing is lost), and what is no UTF-8 becomes U+FFFD (and NUL, by
 * an escape sequence, U+0001). Errors read "<name>:<line>:<column>: …".
 */
int json_load(const char *name, const char *text, size_t size, bool lenient,
              struct json_document *ret, struct error *err) _must_check_;
/* The same for a file, relative to dir_fd. */
int json_load_file(int dir_fd, const char *path, struct json_document *ret,
                   struct error *err) _must_check_;
void json_document_done(struct json_document *d);
#define _cleanup_json_ _cleanup_(json_document_done)

/* Line and column (both from 1, column in bytes) where a value starts; false when not known, as for
 * null, which json-c represents by no object. */
bool json_position(const struct json_document *d, json_object *value, unsigned *ret_line,
                   unsigned *ret_column);

/* The same for the key before a value that is an object's member. */
bool json_key_position(const struct json_document *d, json_object *value, unsigned *ret_line,
                       unsigned *ret_column);

/* The text from where the value starts; NULL when that is not known. */
const char *json_literal(const struct json_document *d, json_object *value);

/* error_set() with "<name>:<line>:<column>: " before the message. */
int json_error(const struct json_document *d, json_object *value, struct error *err, int code,
               const char *format, ...) _printf_(5, 6);
