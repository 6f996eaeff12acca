/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See http-reply.h. Status line, headers, chunk sizes and trailers are lines; the rest is body.
 * What is read is what RFC 9112 demands of a client, and what servers in the field do: lines that
 * end with LF alone, headers that go on in the next line. Everything else is refused, above all
 * answers of which two readers could think differently where they end. */

#include <ctype.h>
#include <strings.h>

#include "http-internal.h"
#include "http-reply.h"

enum { STATUS_OK = 200, NO_CONTENT = 204, NOT_MODIFIED = 304, SWITCHING = 101 };

void http_reply_done(struct http_reply *r)
{
        buffer_done(&r->line);
        buffer_done(&r->headers);
}

const char *http_reply_header(const struct http_reply *r, const char *name)
{
        const size_t size = strlen(name);

        for (const char *h = r->headers.data, *end = h + r->headers.size; h && h < end;
             h += strlen(h) + 1)
                if (strncasecmp(h, name, size) == 0 && h[size] == ':')
                        return h + size + 1 + strspn(h + size + 1, " \t");
        return NULL;
}

/* ---- lines ---- */

/* "HTTP/1.x 200" and what follows a space. */
static int take_status(struct http_reply *r, const char *line, struct error *err)
{
        static const char pattern[] = "HTTP/1.# ###";

        for (size_t i = 0; pattern[i]; i++)
                if (pattern[i] == '#' ? !isdigit((unsigned char)line[i]) : line[i] != pattern[i])
                        return error_set(err, -EBADMSG, "not an answer of an HTTP server");
        if (line[12] != '\0' && line[12] != ' ')
                return error_set(err, -EBADMSG, "not an answer of an HTTP server");
        r->status = (unsigned)strtoul(line + 9, NULL, 10);
        r->headers.size = 0;
        r->state = REPLY_HEADERS;
        return r->status == SWITCHING || r->status < 100
                       ? error_set(err, -EBADMSG, "the server answers with status %u", r->status)
                       : 0;
}

/* Every header of that name says the same number, of digits alone. 1, or 0 when there is none. */
static int content_length(const struct http_reply *r, uint64_t *ret, struct error *err)
{
        static const char name[] = "Content-Length:";
        const char *first = NULL;

        for (const char *h = r->headers.data, *end = h + r->headers.size; h && h < end;
             h += strlen(h) + 1) {
                const char *value = h + strlen(name);
                char *stop;

                if (strncasecmp(h, name, strlen(name)) != 0)
                        continue;
                value += strspn(value, " \t");
                first = first ?: value;
                errno = 0;
                *ret = strtoull(value, &stop, 10);
                if (!isdigit((unsigned char)*value) || *stop || errno || !streq(first, value))
                        return error_set(err, -EBADMSG, "the server's answer has no clear length");
        }
        return first ? 1 : 0;
}

static int begin_body(struct http_reply *r, struct error *err)
{
        const char *coding = http_reply_header(r, "Transfer-Encoding");
        int n;

        if (r->status < STATUS_OK) { /* the answer itself is still to come */
                r->state = REPLY_STATUS;
                return 0;
        }
        if (r->is_head || r->status == NO_CONTENT || r->status == NOT_MODIFIED) {
                r->state = REPLY_DONE;
                return 0;
        }
        if (coding) {
                r->state = REPLY_CHUNK_SIZE;
                return strcasecmp(coding, "chunked") == 0
                               ? 0
                               : error_set(err, -EBADMSG, "the server's answer is encoded as %.40s",
                                           coding);
        }
        n = content_length(r, &r->left, err);
        r->state = n == 0 ? REPLY_TO_THE_END : r->left > 0 ? REPLY_LENGTH : REPLY_DONE;
        return n < 0 ? n : 0;
}

/* A line that begins with a space goes on with the header before it. */
static int take_header(struct http_reply *r, const char *line, struct error *err)
{
        const bool goes_on = *line == ' ' || *line == '\t';

        if (!*line)
                return begin_body(r, err);
        if (goes_on && r->headers.size > 0)
                r->headers.data[r->headers.size - 1] = ' ';
        else if (goes_on || !strchr(line, ':'))
                return error_set(err, -EBADMSG, "a header of the server's answer is none");
        line += strspn(line, " \t");
        buffer_append(&r->headers, line, strlen(line) + 1);
        if (r->headers.failed)
                return error_oom(err);
        if (r->headers.size > HTTP_HEADERS_MAX)
                return error_set(err, -EBADMSG, "the headers of the server's answer are too long");
        return 0;
}

/* Hexadecimal digits, and perhaps extensions, which nobody uses. */
static int take_chunk_size(struct http_reply *r, const char *line, struct error *err)
{
        char *stop;

        errno = 0;
        r->left = strtoull(line, &stop, 16);
        stop += strspn(stop, " \t");
        if (!isxdigit((unsigned char)*line) || line[1] == 'x' || line[1] == 'X' || errno ||
            (*stop && *stop != ';'))
                return error_set(err, -EBADMSG, "a chunk of the server's answer has no size");
        r->state = r->left > 0 ? REPLY_CHUNK : REPLY_TRAILERS;
        return 0;
}

static int take_chunk_end(struct http_reply *r, const char *line, struct error *err)
{
        r->state = REPLY_CHUNK_SIZE;
        return *line ? error_set(err, -EBADMSG, "a chunk of the server's answer has no end") : 0;
}

static int take_trailer(struct http_reply *r, const char *line, struct error *err _unused_)
{
        r->state = *line ? REPLY_TRAILERS : REPLY_DONE;
        return 0;
}

static int take_line(struct http_reply *r, struct error *err)
{
        static int (*const take[])(struct http_reply * r, const char *line, struct error *err) = {
                [REPLY_STATUS] = take_status,         [REPLY_HEADERS] = take_header,
                [REPLY_CHUNK_SIZE] = take_chunk_size, [REPLY_CHUNK_END] = take_chunk_end,
                [REPLY_TRAILERS] = take_trailer,
        };
        struct buffer *b = &r->line;

        while (b->size > 0 && memchr(" \t\r", b->data[b->size - 1], 3))
                b->size--;
        b->data[b->size] = '\0';
        if (strlen(b->data) != b->size)
                return error_set(err, -EBADMSG, "a line of the server's answer contains NUL");
        b->size = 0;
        return take[r->state](r, b->data, err);
}

/* Up to a line's end, if it is there. */
static int feed_line(struct http_reply *r, const char *data, size_t size, size_t *ret_used,
                     struct error *err)
{
        const char *end = memchr(data, '\n', size);

        *ret_used = end ? (size_t)(end - data) + 1 : size;
        buffer_append(&r->line, data, end ? (size_t)(end - data) : size);
        if (r->line.failed)
                return error_oom(err);
        if (r->line.size > HTTP_LINE_MAX)
                return error_set(err, -EBADMSG, "a line of the server's answer is too long");
        return end ? take_line(r, err) : 0;
}

/* ---- the body ---- */

static int feed_body(struct http_reply *r, const char *data, size_t size, size_t *ret_used,
                     struct error *err)
{
        size_t n = r->state == REPLY_TO_THE_END ? size : (size_t)MIN(size, r->left);

        *ret_used = n;
        if (r->state != REPLY_TO_THE_END) {
                r->left -= n;
                if (r->left == 0)
                        r->state = r->state == REPLY_CHUNK ? REPLY_CHUNK_END : REPLY_DONE;
        }
        if (r->status != STATUS_OK) {
                r->passed_over += n;
                if (r->passed_over > HTTP_DISCARD_MAX)
                        r->state = REPLY_DONE;
                return 0;
        }
        r->received += n;
        r->sink_failed = r->body->write(r->body, data, n, err) < 0;
        return r->sink_failed ? err->code : 0;
}

int http_reply_feed(struct http_reply *r, const char *data, size_t size, struct error *err)
{
        while (size > 0 && r->state != REPLY_DONE) {
                bool is_body = r->state == REPLY_LENGTH || r->state == REPLY_TO_THE_END ||
                               r->state == REPLY_CHUNK;
                size_t used;
                int n = is_body ? feed_body(r, data, size, &used, err)
                                : feed_line(r, data, size, &used, err);

                if (n < 0)
                        return n;
                data += used;
                size -= used;
        }
        return 0;
}

int http_reply_end(struct http_reply *r, struct error *err)
{
        if (r->state == REPLY_TO_THE_END)
                r->state = REPLY_DONE;
        return r->state == REPLY_DONE ? 0
               : r->state == REPLY_STATUS && r->line.size == 0
                       ? error_set(err, -EBADMSG,
                                   "the server closed the connection without an answer")
                       : error_set(err, -EBADMSG, "the server's answer breaks off");
}
