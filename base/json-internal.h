/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "json.h"
#include "strv.h"

/* Bytes of the UTF-8 character at text (size > 0); 0: it is none. */
size_t utf8_length(const char *text, size_t size);
/* The text as json-c shall read it when the reading is lenient. 0 or -ENOMEM. */
int json_replace(const char *text, size_t size, struct buffer *ret) _must_check_;

/* A key that stands in its object again: where its closing quote is, and for how many-th time. */
struct json_duplicate {
        size_t offset;
        int count;
};

/* The same, and marks behind the keys that are there again (see JSON_DUPLICATE_MARK). */
int json_mark(const char *text, size_t size, const struct json_duplicate *duplicates, size_t count,
              struct buffer *ret) _must_check_;
