/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A whole answer of an HTTP server that closed the connection after it. */

#include "error.h"

struct http_reply {
        unsigned status;
        const char *body; /* points into the answer */
        size_t body_size;
};

/* -EBADMSG with the reason when it is not one, or breaks off. data is NUL-terminated. */
int http_reply_parse(const char *data, size_t size, struct http_reply *ret,
                     struct error *err) _must_check_;
