/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Apple's hypervisor: the host (CID 2) is an HTTP server on a virtual socket. */

#include <linux/vm_sockets.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "http-reply.h"
#include "process.h"
#include "provider.h"
#include "strv.h"

enum { HOST_PORT = 1024, ATTEMPT_S = 10, STATUS_OK = 200, NO_CONTENT = 204, NOT_FOUND = 404 };
enum { REPLY_MAX = CONFIG_SIZE_MAX + 65536, CHUNK = 65536 };

static int connect_host(struct error *err)
{
        const struct sockaddr_vm host = { .svm_family = AF_VSOCK,
                                          .svm_cid = VMADDR_CID_HOST,
                                          .svm_port = HOST_PORT };
        const struct timeval limit = { .tv_sec = ATTEMPT_S };
        _cleanup_close_ int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0 ||
            setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0)
                return error_errno(err, "vsock");
        if (connect(fd, (const struct sockaddr *)&host, sizeof(host)) < 0)
                return error_errno(err, "vsock host:%d", HOST_PORT);
        return TAKE_FD(fd);
}

static int read_all(int fd, struct buffer *b, struct error *err)
{
        for (;;) {
                char data[CHUNK];
                size_t n;
                int r = io_read(fd, data, sizeof(data), &n, err);

                if (r < 0)
                        return r;
                buffer_append(b, data, n);
                if (b->failed)
                        return error_oom(err);
                if (b->size > REPLY_MAX)
                        return error_set(err, -EFBIG, "more than %d bytes", REPLY_MAX);
                if (n < sizeof(data))
                        return 0;
        }
}

/* *ret_again: another try may do better. */
static int attempt(struct config_text *ret, bool *ret_again, struct error *err)
{
        static const char request[] =
                "GET / HTTP/1.0\r\nHost: host\r\nAccept: "
                "application/vnd.coreos.ignition+json;version=" CONFIG_STABLE_VERSION
                ", */*;q=0.1\r\n\r\n";
        _cleanup_buffer_ struct buffer b = {};
        _cleanup_close_ int fd = connect_host(err);
        struct http_reply reply = {};
        int r = fd;

        *ret_again = true;
        if (r >= 0)
                r = io_write(fd, request, strlen(request), err);
        if (r >= 0)
                r = read_all(fd, &b, err);
        if (r >= 0)
                r = http_reply_parse(b.data ?: "", b.size, &reply, err);
        if (r < 0)
                return r;
        *ret_again = reply.status >= 500;
        if (reply.status == NOT_FOUND)
                return PROVIDER_NONE;
        if (reply.status != STATUS_OK && reply.status != NO_CONTENT)
                return error_set(err, -EREMOTEIO, "HTTP status %u", reply.status);
        ret->size = reply.body_size;
        ret->text = malloc(ret->size + 1);
        ret->source = strdup("the host, over vsock");
        if (!ret->text || !ret->source)
                return error_oom(err);
        memcpy(ret->text, reply.body, ret->size);
        ret->text[ret->size] = '\0';
        return 0;
}

static int fetch(struct agent *a, struct config_text *ret, struct error *err)
{
        static const char *const modprobe[] = { "modprobe", "-q", "vmw_vsock_virtio_transport",
                                                NULL };
        struct patience patience = patience_for(a, "the host's answer over vsock", 0);
        struct error ignored;

        if (spawn(modprobe, NULL, NULL, &ignored) < 0)
                log_line(&a->log, LOG_INFO, "vsock: %s", ignored.message);
        for (;;) {
                struct error last = {};
                bool again;
                int r = attempt(ret, &again, &last);

                if (r >= 0 || r == -ENOMEM || !again) {
                        *err = r < 0 ? last : *err;
                        return r;
                }
                r = patience_wait(a, &patience, err);
                if (r < 0)
                        return error_prefix(err, r, "%s", last.message);
        }
}

const struct provider provider_applehv = { .name = "applehv", .fetch = fetch };
