/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Exchanges without TLS with a server whose address is given in numbers, one connection each. It is
 * all that metadata services of clouds ask for, and nothing has to be loaded for it: libcurl and
 * its thirty libraries take more time to load than all that two stages of provisioning do. Whatever
 * needs names, proxies, TLS or signatures is libcurl's: see http_plain_suits(). */

#include <ctype.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <strings.h>
#include <sys/socket.h>

#include "http-internal.h"
#include "http-reply.h"
#include "strv.h"
#include "url.h"

enum { PIECE = 64 * 1024 };

struct call {
        struct exchange *x;
        struct http_progress progress;
        struct http_reply reply;
        const char *request; /* what is still to be sent */
        size_t request_size;
        int fd;
};

/* ---- what suits ---- */

static bool is_printable(const char *s)
{
        while (*s > ' ' && *s < 0x7f)
                s++;
        return !*s;
}

static bool is_line(const char *s)
{
        while (*s && (!iscntrl((unsigned char)*s) || *s == '\t'))
                s++;
        return !*s;
}

/* Segments "." and "..", which libcurl takes away. */
static bool has_dot_segments(const char *path)
{
        return strstr(path, "/.") != NULL;
}

static int find_address(const char *url, struct addrinfo **ret)
{
        static const struct addrinfo hints = { .ai_family = AF_UNSPEC,
                                               .ai_socktype = SOCK_STREAM,
                                               .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV };
        char host[URL_HOST_MAX], service[16];
        unsigned port;

        if (url_host(url, host, &port) < 0)
                return -EINVAL;
        snprintf(service, sizeof(service), "%u", port);
        return getaddrinfo(host, service, &hints, ret) == 0 ? 0 : -EINVAL;
}

static bool is_address(const char *url)
{
        const char *authority = url + strlen("http://"), *path = url_path(url);
        struct addrinfo *found;

        /* a user before the host, or a zone in it */
        if (memchr(authority, '@', (size_t)(path - authority)) ||
            memchr(authority, '%', (size_t)(path - authority)) || find_address(url, &found) < 0)
                return false;
        freeaddrinfo(found);
        return true;
}

bool http_plain_suits(const struct exchange *x)
{
        if (x->proxy || x->signing || x->privileged_port ||
            strncasecmp(x->url, "http://", strlen("http://")) != 0 || !is_printable(x->url) ||
            has_dot_segments(url_path(x->url)))
                return false;
        STRV_FOREACH (line, x->headers)
                if (!is_line(*line))
                        return false;
        return x->connect || is_address(x->url);
}

/* ---- the request ---- */

static void put_target(struct buffer *b, const char *url)
{
        const char *path = url_path(url);

        buffer_printf(b, "%s%.*s HTTP/1.1\r\n", *path == '/' ? "" : "/", (int)strcspn(path, "#"),
                      path);
}

/* The authority as it is written, without the port that goes without saying. */
static void put_host(struct buffer *b, const char *url)
{
        const char *authority = url + strlen("http://");
        size_t size = (size_t)(url_path(url) - authority);

        if (size > 3 && memcmp(authority + size - 3, ":80", 3) == 0)
                size -= 3;
        else if (size > 0 && authority[size - 1] == ':')
                size--;
        buffer_printf(b, "Host: %.*s\r\n", (int)size, authority);
}

static int make_request(const struct exchange *x, char **ret, size_t *ret_size, struct error *err)
{
        const char *method = x->method ?: "GET";
        const bool sends_body = !streq(method, "GET") && !streq(method, "HEAD");
        _cleanup_buffer_ struct buffer b = {};

        buffer_printf(&b, "%s ", method);
        put_target(&b, x->url);
        if (!http_has_header(x->headers, "Host"))
                put_host(&b, x->url);
        STRV_FOREACH (line, x->headers)
                buffer_printf(&b, "%s\r\n", *line);
        if (sends_body && !http_has_header(x->headers, "Content-Length"))
                buffer_printf(&b, "Content-Length: %zu\r\n", x->body_size);
        buffer_puts(&b, "\r\n");
        if (sends_body)
                buffer_append(&b, x->body, x->body_size);
        return buffer_take(&b, ret, ret_size) < 0 ? error_oom(err) : 0;
}

/* ---- the connection ---- */

/* Something can be done with the socket; false: not for some time, which may be over. */
static bool wait_for(const struct call *c, short events)
{
        struct pollfd p = { .fd = c->fd, .events = events };

        return poll(&p, 1, (int)MIN(clock_left(c->x->deadline), (uint64_t)HTTP_POLL_MS)) > 0;
}

static int connection_failed(const struct call *c, struct error *err)
{
        char host[URL_HOST_MAX];
        unsigned port = 0;

        c->x->transient = true;
        return url_host(c->x->url, host, &port) < 0
                       ? error_errno(err, "connect")
                       : error_errno(err, "connect to %s port %u", host, port);
}

static int wait_for_connection(struct call *c, struct error *err)
{
        int failure = 0, r;
        socklen_t size = sizeof(failure);

        do {
                r = http_check(c->x, &c->progress, PHASE_CONNECT, err);
                if (r < 0)
                        return r;
        } while (!wait_for(c, POLLOUT));
        if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &failure, &size) < 0)
                return error_errno(err, "getsockopt");
        errno = failure;
        return failure ? connection_failed(c, err) : 0;
}

static int open_connection(struct call *c, struct error *err)
{
        struct addrinfo *a;
        int r = 0;

        if (c->x->connect) {
                c->fd = c->x->connect(err);
                c->x->transient = c->fd < 0;
                return c->fd;
        }
        if (find_address(c->x->url, &a) < 0)
                return error_set(err, -EINVAL, "no address");
        c->fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (c->fd < 0)
                r = error_errno(err, "socket");
        else if (connect(c->fd, a->ai_addr, a->ai_addrlen) < 0 && errno != EINPROGRESS)
                r = connection_failed(c, err);
        freeaddrinfo(a);
        return r < 0 ? r : wait_for_connection(c, err);
}

/* ---- the exchange ---- */

/* A server may answer before it has read everything, and close: what came then is in its answer, or
 * in what reading it says. */
static void send_some(struct call *c)
{
        ssize_t n = send(c->fd, c->request, c->request_size, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0 && errno != EAGAIN && errno != EINTR)
                c->request_size = 0;
        c->request += MAX(n, 0);
        c->request_size -= (size_t)MAX(n, 0);
}

static int receive_some(struct call *c, struct error *err)
{
        char data[PIECE];
        ssize_t n = recv(c->fd, data, sizeof(data), MSG_DONTWAIT);
        int r;

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return 0;
        r = n < 0   ? error_errno(err, "the connection broke")
            : n > 0 ? http_reply_feed(&c->reply, data, (size_t)n, err)
                    : http_reply_end(&c->reply, err);
        c->x->received = c->reply.received;
        c->x->transient = r < 0 && !c->reply.sink_failed && r != -ENOMEM;
        return r;
}

static int talk(struct call *c, struct error *err)
{
        int r = 0;

        while (r >= 0 && c->reply.state != REPLY_DONE) {
                const bool has_headers = c->reply.state > REPLY_HEADERS;

                r = http_check(c->x, &c->progress, has_headers ? PHASE_BODY : PHASE_HEADERS, err);
                if (r < 0)
                        return r;
                wait_for(c, (short)(POLLIN | (c->request_size > 0 ? POLLOUT : 0)));
                if (c->request_size > 0)
                        send_some(c);
                r = receive_some(c, err);
        }
        return r;
}

static int take_answer(const struct call *c, struct error *err)
{
        struct exchange *x = c->x;
        const char *header = x->want_header ? http_reply_header(&c->reply, x->want_header) : NULL;
        const char *location = http_reply_header(&c->reply, "Location");

        x->status = c->reply.status;
        if (header && !(x->header = strdup(header)))
                return error_oom(err);
        if (location && x->status / 100 == 3 && !(x->location = url_resolve(x->url, location)))
                return error_oom(err);
        return 0;
}

static void call_done(struct call *c)
{
        http_reply_done(&c->reply);
        close_p(&c->fd);
}

int http_plain_exchange(struct exchange *x, struct error *err)
{
        _cleanup_(call_done) struct call c = {
                .x = x,
                .reply = { .body = x->sink, .is_head = x->method && streq(x->method, "HEAD") },
                .fd = -1,
        };
        _cleanup_free_ char *request = NULL;
        int r = make_request(x, &request, &c.request_size, err);

        c.request = request;
        if (r >= 0)
                r = open_connection(&c, err);
        if (r >= 0)
                r = talk(&c, err);
        return r < 0 ? r : take_answer(&c, err);
}
