/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See text-sink.h. */

#include "text-sink.h"

static int text_write(struct sink *sink, const void *data, size_t size, struct error *err)
{
        struct text_sink *t = (struct text_sink *)sink;

        if (size > t->limit - t->buffer.size)
                return error_set(err, -EFBIG, "longer than %zu bytes", t->limit);
        buffer_append(&t->buffer, data, size);
        return t->buffer.failed ? error_oom(err) : 0;
}

void text_sink_init(struct text_sink *t, size_t limit)
{
        *t = (struct text_sink){ .sink = { text_write }, .limit = limit };
}

void text_sink_done(struct text_sink *t)
{
        buffer_done(&t->buffer);
}

int text_sink_restart(struct sink *sink, struct error *err _unused_)
{
        struct text_sink *t = (struct text_sink *)sink;

        buffer_done(&t->buffer);
        t->buffer = (struct buffer){};
        return 0;
}

int text_sink_take(struct text_sink *t, char **ret, size_t *ret_size, struct error *err)
{
        return buffer_take(&t->buffer, ret, ret_size) < 0 ? error_oom(err) : 0;
}
