/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One small document from a web server, or one small answer to what was sent there: an upper limit
 * for its size and for the time it may take, so that a hostile server can cost little of either. */

#include "error.h"

enum { REQUEST_SECONDS = 60, REQUEST_HEADERS_MAX = 8 };

struct request {
        const char *url;
        const char *body;                         /* POSTed as JSON; NULL: GET */
        const char *headers[REQUEST_HEADERS_MAX]; /* "name: value" */
        size_t limit;                             /* bytes of the answer */
};

/* The answer, NUL-terminated; caller frees. -ENOENT: 404 or 410; -EREMOTEIO: another status, or no
 * answer (the message tells); -EFBIG: longer than the limit; -EINTR after a signal. */
int request_run(const struct request *request, char **ret, size_t *ret_size,
                struct error *err) _must_check_;
