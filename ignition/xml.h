/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Small XML documents that others send: what matters in them is texts of elements. */

#include "error.h"

enum { XML_SIZE_MAX = 1024 * 1024, XML_DEPTH_MAX = 32, XML_PATH_MAX = 512 };

/* Calls fn at the end of each element with its path ("GoalState/Container/ContainerId", names
 * without prefix) and its own text, without blanks around it; what is not 0 ends the reading.
 * -EBADMSG: not a document, or one that breaks off. */
int xml_for_elements(const char *text, size_t size,
                     int (*fn)(const char *path, const char *text, void *userdata,
                               struct error *err),
                     void *userdata, struct error *err) _must_check_;

enum xml_flags { XML_MANDATORY = 1 << 0 };

/* A text that is wanted: that of the first element at the path. */
struct xml_field {
        const char *path;
        size_t offset; /* of a char * in the struct, NULL before */
        size_t limit;  /* bytes; a longer text is an error */
        unsigned flags;
};

/* Fills in the texts; mandatory ones are there afterwards, and not empty. On failure the caller
 * frees what there is. */
int xml_decode(const char *text, size_t size, const struct xml_field *fields, size_t count,
               void *object, struct error *err) _must_check_;

/* Appends text so that it can stand between tags; what XML cannot say becomes '?'. */
struct buffer;
void xml_escape(struct buffer *b, const char *text);
