/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Reads an answer to an HTTP/1.0 request: status, headers, and all the rest is the body, which has
 * to be as long as Content-Length says. Chunks, which only HTTP/1.1 clients get, are refused. */

#include "http-reply.h"

#include <strings.h>

enum { HEADERS_MAX = 64 * 1024 };

/* The value of a header, up to the line's end; NULL. */
static const char *header(const char *headers, const char *end, const char *name)
{
        size_t size = strlen(name);

        for (const char *line = strstr(headers, "\r\n"); line && line < end;
             line = strstr(line + 2, "\r\n"))
                if (strncasecmp(line + 2, name, size) == 0 && line[2 + size] == ':')
                        return line + 3 + size + strspn(line + 3 + size, " \t");
        return NULL;
}

static bool is_status_line(const char *data)
{
        static const char pattern[] = "HTTP/1.# ### ";

        for (size_t i = 0; i < 12; i++)
                if (pattern[i] == '#' ? data[i] < '0' || data[i] > '9' : data[i] != pattern[i])
                        return false;
        return data[12] == ' ' || data[12] == '\r';
}

int http_reply_parse(const char *data, size_t size, struct http_reply *ret, struct error *err)
{
        const char *end = memmem(data, size, "\r\n\r\n", 4), *length;

        if (!end || end - data > HEADERS_MAX || strnlen(data, size) < (size_t)(end - data) ||
            end - data < 12 || !is_status_line(data))
                return error_set(err, -EBADMSG, "not an answer of an HTTP server");
        if (header(data, end, "Transfer-Encoding"))
                return error_set(err, -EBADMSG, "the server's answer comes in chunks");
        ret->status = (unsigned)strtoul(data + 9, NULL, 10);
        ret->body = end + 4;
        ret->body_size = size - (size_t)(ret->body - data);
        length = header(data, end, "Content-Length");
        if (length && strtoul(length, NULL, 10) != ret->body_size)
                return error_set(err, -EBADMSG, "the server's answer breaks off");
        return 0;
}
