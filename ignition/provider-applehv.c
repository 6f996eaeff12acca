/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Apple's hypervisor: the host (CID 2) is an HTTP server on a virtual socket. */

#include <linux/vm_sockets.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "fetch.h"
#include "http.h"
#include "process.h"
#include "provider.h"
#include "text-sink.h"

enum { HOST_PORT = 1024, ATTEMPT_MS = 10000 };
enum { STATUS_OK = 200, NO_CONTENT = 204, NOT_FOUND = 404, SERVER_FAILED = 500 };

static int connect_host(struct error *err)
{
        const struct sockaddr_vm host = { .svm_family = AF_VSOCK,
                                          .svm_cid = VMADDR_CID_HOST,
                                          .svm_port = HOST_PORT };
        const struct timeval limit = { .tv_sec = ATTEMPT_MS / 1000 };
        _cleanup_close_ int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0)
                return error_errno(err, "vsock");
        if (connect(fd, (const struct sockaddr *)&host, sizeof(host)) < 0)
                return error_errno(err, "vsock host:%d", HOST_PORT);
        return TAKE_FD(fd);
}

static int judge(const struct exchange *x, struct text_sink *body, struct config_text *ret,
                 struct error *err)
{
        if (x->status == NOT_FOUND)
                return PROVIDER_NONE;
        if (x->status != STATUS_OK && x->status != NO_CONTENT)
                return error_set(err, -EREMOTEIO, "HTTP status %u", x->status);
        ret->source = strdup("the host, over vsock");
        return ret->source ? text_sink_take(body, &ret->text, &ret->size, err) : error_oom(err);
}

/* *ret_again: another try may do better. */
static int attempt(struct http *http, uint64_t deadline, struct config_text *ret, bool *ret_again,
                   struct error *err)
{
        static const char *const headers[] = { "Accept: " FETCH_ACCEPT, NULL };
        _cleanup_text_sink_ struct text_sink body;
        _cleanup_(exchange_done) struct exchange x = {
                .url = "http://host/",
                .headers = (char **)headers,
                .connect = connect_host,
                .headers_ms = ATTEMPT_MS,
                .deadline = deadline,
                .sink = &body.sink,
        };
        int r;

        text_sink_init(&body, CONFIG_SIZE_MAX);
        r = http_exchange(http, &x, err);
        *ret_again = r < 0 ? x.transient : x.status >= SERVER_FAILED;
        return r < 0 ? r : judge(&x, &body, ret, err);
}

static int ask(struct agent *a, struct http *http, struct config_text *ret, struct error *err)
{
        struct patience patience = patience_for(a, "the host's answer over vsock", 0);

        for (;;) {
                struct error last = {};
                bool again;
                int r = attempt(http, patience.deadline, ret, &again, &last);

                if (r >= 0 || r == -ENOMEM || !again) {
                        *err = r < 0 ? last : *err;
                        return r;
                }
                r = patience_wait(a, &patience, err);
                if (r < 0)
                        return error_prefix(err, r, "%s", last.message);
        }
}

static int fetch(struct agent *a, struct config_text *ret, struct error *err)
{
        static const char *const modprobe[] = { "modprobe", "-q", "vmw_vsock_virtio_transport",
                                                NULL };
        struct http *http = NULL;
        struct error ignored;
        int r = http_new(&http, err);

        if (spawn(modprobe, NULL, NULL, &ignored) < 0)
                log_line(&a->log, LOG_INFO, "vsock: %s", ignored.message);
        if (r >= 0)
                r = ask(a, http, ret, err);
        http_free(http);
        return r;
}

const struct provider provider_applehv = { .name = "applehv", .fetch = fetch };
