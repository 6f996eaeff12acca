/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See resource.h. A resource is a pipe: the network writes into it, and what comes out at the end
 * is in the file (or in memory) as soon as it is there, so a body of any size takes the memory of a
 * few buffers. When a transfer is tried again the whole pipe starts over and the file is cut back.
 * The hash is that of the decompressed data and is compared, as the original does, with lower-case
 * hex. */

#include "data-url.h"
#include "fetch.h"
#include "io.h"
#include "resource.h"
#include "strv.h"

struct pipe {
        struct sink entry, end; /* end: after decompression */
        struct sink *gzip;      /* NULL: not compressed */
        void *checksum;         /* NULL: not wanted */
        int fd;                 /* -1: into memory */
        off_t start;            /* where the content begins in the file; -1: it cannot be cut */
        struct buffer buffer;
};

static void pipe_done(struct pipe *p)
{
        gzip_close(p->gzip);
        if (p->checksum)
                checksum_close(p->checksum);
        buffer_done(&p->buffer);
}

static struct pipe *pipe_of_end(struct sink *sink)
{
        return (struct pipe *)(void *)((char *)sink - offsetof(struct pipe, end));
}

static int entry_write(struct sink *sink, const void *data, size_t size, struct error *err)
{
        struct pipe *p = (struct pipe *)sink;
        struct sink *next = p->gzip ?: &p->end;

        return next->write(next, data, size, err);
}

static int end_write(struct sink *sink, const void *data, size_t size, struct error *err)
{
        struct pipe *p = pipe_of_end(sink);

        if (p->checksum && checksum_update(p->checksum, data, size, err) < 0)
                return err->code;
        if (p->fd >= 0)
                return io_write(p->fd, data, size, err);
        if (size > CONFIG_SIZE_MAX - p->buffer.size)
                return error_set(err, -EFBIG, "content is larger than %d bytes", CONFIG_SIZE_MAX);
        buffer_append(&p->buffer, data, size);
        return p->buffer.failed ? error_oom(err) : 0;
}

static int pipe_restart(struct sink *sink, struct error *err)
{
        struct pipe *p = (struct pipe *)sink;
        int r = 0;

        if (p->fd >= 0 && (p->start < 0 || ftruncate(p->fd, p->start) < 0 ||
                           lseek(p->fd, p->start, SEEK_SET) < 0))
                return error_errno(err, "cut back");
        buffer_done(&p->buffer);
        p->buffer = (struct buffer){};
        if (p->gzip)
                r = gzip_restart(p->gzip, err);
        return r < 0 || !p->checksum ? r : checksum_restart(p->checksum, err);
}

static int pipe_init(struct pipe *p, const struct resource *resource, int fd, struct error *err)
{
        int r = 0;

        *p = (struct pipe){ { entry_write }, { end_write }, .fd = fd };
        /* What is in the configuration itself is not tried again. */
        p->start =
                fd < 0 || startswith(resource->source ?: "", "data:") ? -1 : lseek(fd, 0, SEEK_CUR);
        if (resource->verification.hash)
                r = checksum_open(resource->verification.hash, &p->checksum, err);
        if (r >= 0 && !string_is_empty(resource->compression))
                r = gzip_open(&p->end, &p->gzip, err);
        return r;
}

static int verify(const struct pipe *p, const char *want, struct error *err)
{
        char hex[CHECKSUM_HEX_MAX];
        int r;

        if (!want)
                return 0;
        r = checksum_hex(p->checksum, hex, err);
        if (r < 0)
                return r;
        if (!streq(hex, strchr(want, '-') + 1))
                return error_set(err, -EBADMSG,
                                 "hash verification failed: content has %.*s-%s, wanted %s",
                                 (int)(strchr(want, '-') - want), want, hex, want);
        return 0;
}

/* What the original only finds out when it fetches. */
static int check(struct agent *a, const struct resource *r, struct error *err)
{
        char scheme[URL_SCHEME_MAX];

        if (url_scheme(r->source, scheme) < 0)
                return error_set(err, -EINVAL, "unable to parse url");
        if ((streq(scheme, "s3") || streq(scheme, "arn")) && !string_is_empty(r->compression))
                return agent_setting_error(a, r->at, "compression", err, -EOPNOTSUPP,
                                           "compression is not supported with that scheme");
        CONFIG_FOREACH(struct http_header, h, &r->headers)
        if (!h->value)
                return agent_setting_error(a, h->at, "value", err, -EINVAL,
                                           "unable to parse HTTP header '%s': it has no value",
                                           h->name);
        return 0;
}

static int pipe_fill(struct agent *a, struct pipe *p, const struct resource *resource,
                     struct error *err)
{
        const struct fetch_request request = { .url = resource->source,
                                               .headers = resource->headers.items,
                                               .header_count = resource->headers.count };
        int r = 0;

        if (!string_is_empty(resource->source)) {
                r = check(a, resource, err);
                if (r >= 0)
                        r = fetch_stream(a, &request, &p->entry, pipe_restart, err);
                if (r >= 0 && p->gzip)
                        r = gzip_finish(p->gzip, err);
        }
        return r < 0 ? r : verify(p, resource->verification.hash, err);
}

int resource_write(struct agent *a, const struct resource *resource, int fd, struct error *err)
{
        _cleanup_(pipe_done) struct pipe p = {};
        int r = pipe_init(&p, resource, fd, err);

        return r < 0 ? r : pipe_fill(a, &p, resource, err);
}

int resource_text(struct agent *a, const struct resource *resource, char **ret, size_t *ret_size,
                  struct error *err)
{
        _cleanup_(pipe_done) struct pipe p = {};
        int r = pipe_init(&p, resource, -1, err);

        if (r >= 0)
                r = pipe_fill(a, &p, resource, err);
        if (r < 0)
                return r;
        return buffer_take(&p.buffer, ret, ret_size) < 0 ? error_oom(err) : 0;
}
