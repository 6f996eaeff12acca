/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A sink that collects a text, up to a limit. */

#include "sink.h"
#include "strv.h"

struct text_sink {
        struct sink sink;
        size_t limit; /* bytes; more is an error */
        struct buffer buffer;
};

void text_sink_init(struct text_sink *t, size_t limit);
void text_sink_done(struct text_sink *t);
#define _cleanup_text_sink_ _cleanup_(text_sink_done)

/* Forgets what came, as fetch_stream() wants when it tries again. */
int text_sink_restart(struct sink *sink, struct error *err);
/* Hands the text over. */
int text_sink_take(struct text_sink *t, char **ret, size_t *ret_size,
                   struct error *err) _must_check_;
