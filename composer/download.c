/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See download.h. The only file that includes libcurl.
 *
 * One thread drives curl's multi interface: up to DOWNLOAD_CONNECTIONS_MAX slots, each with an easy
 * handle that is used again and again. Every item has a job that says where it stands. A job that
 * cannot go on now (the server failed, or another process has the file) is put aside until a time.
 *
 * A failure is worth another try when the network or the server may be the reason. Tries are
 * counted, but a try that brought an item further than ever before starts the count anew: a line
 * that breaks every few megabytes still gets a large file through, and a server that always ends at
 * the same byte does not keep us for ever. */

#include <curl/curl.h>
#include <inttypes.h>
#include <time.h>

#include "download.h"
#include "interrupt.h"
#include "part.h"

enum {
        CONNECT_TIMEOUT_S = 15,
        STALL_BYTES_PER_S = 100, /* slower than this … */
        STALL_TIMEOUT_S = 20,    /* … for so long is a broken line */
        REDIRECTS_MAX = 5,
        POLL_MS = 100,
        PAUSE_MS = 250, /* before the second try; doubles with each further one */
        PROGRESS_BYTES = 64 * 1024,
};

enum job_state { JOB_WAITING, JOB_ACTIVE, JOB_COMPLETE };

struct job {
        enum job_state state;
        unsigned attempts;   /* in a row without getting further */
        uint64_t furthest;   /* most bytes that were ever there */
        uint64_t not_before; /* monotonic milliseconds */
};

struct session;

struct slot {
        struct session *session;
        CURL *easy;
        struct curl_slist *headers;
        struct download *item; /* NULL: free */
        struct job *job;
        struct part part;
        bool began, discard;
        struct error error; /* of the callbacks: our side failed */
        char message[CURL_ERROR_SIZE];
};

struct session {
        CURLM *multi;
        struct download *items;
        struct job *jobs;
        size_t count, left;
        const struct download_options *options;
        uint64_t done, total; /* bytes of files */
        struct slot slots[DOWNLOAD_CONNECTIONS_MAX];
};

static uint64_t now_ms(void)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static bool is_local(const char *url)
{
        return startswith(url, "file://");
}

void download_done(struct download *d)
{
        buffer_done(&d->body);
        free(TAKE_PTR(d->new_etag));
        free(TAKE_PTR(d->new_modified));
}

/* ---- what curl calls ---- */

static const char *response_header(struct slot *slot, const char *name)
{
        struct curl_header *h;

        if (curl_easy_header(slot->easy, name, 0, CURLH_HEADER, -1, &h) != CURLHE_OK)
                return NULL;
        return h->value;
}

/* "bytes 1000-1999/2000" must begin where our part ends. */
static int check_range(struct slot *slot)
{
        const char *value = response_header(slot, "Content-Range");
        uint64_t start;

        if (!value || sscanf(value, "bytes %" SCNu64 "-", &start) != 1 ||
            start != slot->part.offset)
                return error_set(&slot->error, -EPROTO,
                                 "the server sent another range than asked for");
        return 0;
}

/* The answer's first bytes: is it what we want, and where does it belong? */
static int begin_body(struct slot *slot)
{
        long status = 0;

        slot->began = true;
        curl_easy_getinfo(slot->easy, CURLINFO_RESPONSE_CODE, &status);
        slot->discard = status >= 300;
        if (!slot->item->name || slot->part.offset == 0 || slot->discard)
                return 0;
        if (status == 206)
                return check_range(slot);
        if (status == 200) /* no ranges here: from the start */
                return part_restart(&slot->part, &slot->error);
        return 0;
}

static int append_document(struct slot *slot, const void *data, size_t size)
{
        struct download *d = slot->item;

        if (size > d->size - d->body.size)
                return error_set(&slot->error, -EFBIG, "longer than the limit of %" PRIu64 " bytes",
                                 d->size);
        buffer_append(&d->body, data, size);
        return d->body.failed ? error_oom(&slot->error) : 0;
}

static size_t on_body(char *data, size_t size, size_t count, void *userdata)
{
        struct slot *slot = userdata;
        size_t n = size * count;
        int r = 0;

        if (!slot->began)
                r = begin_body(slot);
        if (r == 0 && !slot->discard)
                r = slot->item->name ? part_append(&slot->part, data, n, &slot->error)
                                     : append_document(slot, data, n);
        return r < 0 ? 0 : n;
}

/* ---- one transfer ---- */

static bool set_header(struct slot *slot, const char *name, const char *value)
{
        char line[1024];
        struct curl_slist *list;

        if (!value || (size_t)snprintf(line, sizeof(line), "%s: %s", name, value) >= sizeof(line))
                return true;
        list = curl_slist_append(slot->headers, line);
        if (list)
                slot->headers = list;
        return list;
}

static bool set_resume(struct slot *slot)
{
        char range[32];

        if (!slot->item->name || slot->part.offset == 0)
                return true;
        snprintf(range, sizeof(range), "%" PRIu64 "-", slot->part.offset);
        return curl_easy_setopt(slot->easy, CURLOPT_RANGE, range) == CURLE_OK;
}

static bool set_proxy(struct slot *slot)
{
        const struct download_options *o = slot->session->options;
        const char *proxy = startswith(slot->item->url, "https:") ? o->https_proxy : o->http_proxy;

        return !proxy || curl_easy_setopt(slot->easy, CURLOPT_PROXY, proxy) == CURLE_OK;
}

static bool set_numbers(CURL *easy)
{
        static const struct {
                CURLoption option;
                long value;
        } numbers[] = {
                { CURLOPT_NOSIGNAL, 1 },
                { CURLOPT_FOLLOWLOCATION, 1 },
                { CURLOPT_MAXREDIRS, REDIRECTS_MAX },
                { CURLOPT_CONNECTTIMEOUT, CONNECT_TIMEOUT_S },
                { CURLOPT_LOW_SPEED_LIMIT, STALL_BYTES_PER_S },
                { CURLOPT_LOW_SPEED_TIME, STALL_TIMEOUT_S },
        };
        bool ok = true;

        for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
                ok &= curl_easy_setopt(easy, numbers[i].option, numbers[i].value) == CURLE_OK;
        return ok;
}

static bool set_options(struct slot *slot)
{
        CURL *easy = slot->easy;
        bool ok = set_numbers(easy) && set_proxy(slot) && set_resume(slot);

        ok &= curl_easy_setopt(easy, CURLOPT_URL, slot->item->url) == CURLE_OK;
        ok &= curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https,file") == CURLE_OK;
        ok &= curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, "http,https") == CURLE_OK;
        ok &= curl_easy_setopt(easy, CURLOPT_USERAGENT, "slipway/" SLIPWAY_VERSION) == CURLE_OK;
        ok &= curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, slot->message) == CURLE_OK;
        ok &= curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK;
        ok &= curl_easy_setopt(easy, CURLOPT_WRITEDATA, slot) == CURLE_OK;
        ok &= curl_easy_setopt(easy, CURLOPT_PRIVATE, slot) == CURLE_OK;
        ok &= set_header(slot, "If-None-Match", slot->item->etag);
        ok &= set_header(slot, "If-Modified-Since", slot->item->modified);
        ok &= curl_easy_setopt(easy, CURLOPT_HTTPHEADER, slot->headers) == CURLE_OK;
        return ok;
}

static int slot_fail(struct slot *slot, int code, const char *why, struct error *err)
{
        return error_set(err, code, "%s: %s: %s", slot->item->what, slot->item->url, why);
}

static int transfer_start(struct slot *slot, struct error *err)
{
        buffer_done(&slot->item->body);
        slot->item->body = (struct buffer){};
        slot->began = slot->discard = false;
        slot->error = (struct error){};
        slot->message[0] = '\0';
        if (slot->easy)
                curl_easy_reset(slot->easy);
        else
                slot->easy = curl_easy_init();
        if (!slot->easy || !set_options(slot) ||
            curl_multi_add_handle(slot->session->multi, slot->easy) != CURLM_OK)
                return slot_fail(slot, -ENOMEM, "libcurl cannot start the transfer", err);
        return 0;
}

/* ---- jobs ---- */

static void slot_free(struct slot *slot)
{
        if (slot->item && slot->item->name)
                part_done(&slot->part);
        curl_slist_free_all(slot->headers);
        slot->headers = NULL;
        slot->item = NULL;
}

static void job_complete(struct slot *slot)
{
        slot->job->state = JOB_COMPLETE;
        slot->session->left--;
        if (slot->item->name)
                slot->session->done += slot->item->size;
        slot_free(slot);
}

static void job_postpone(struct slot *slot, uint64_t pause_ms)
{
        slot->job->state = JOB_WAITING;
        slot->job->not_before = now_ms() + pause_ms;
        slot_free(slot);
}

/* Another try, or the end of it all. */
static int job_retry(struct slot *slot, int code, const char *why, struct error *err)
{
        struct job *job = slot->job;

        if (slot->item->name && slot->part.offset >= job->furthest + PROGRESS_BYTES) {
                job->furthest = slot->part.offset;
                job->attempts = 0;
        }
        if (++job->attempts >= DOWNLOAD_ATTEMPTS_MAX || is_local(slot->item->url))
                return slot_fail(slot, code, why, err);
        job_postpone(slot, PAUSE_MS << (job->attempts - 1));
        return 0;
}

static int file_complete(struct slot *slot, struct error *err)
{
        struct error failure = {};
        char text[128];
        int r;

        if (slot->part.offset < slot->part.size) {
                snprintf(text, sizeof(text), "ended after %" PRIu64 " of %" PRIu64 " bytes",
                         slot->part.offset, slot->part.size);
                return job_retry(slot, -ENODATA, text, err);
        }
        r = part_publish(&slot->part, &slot->item->sha256, &failure);
        if (r == -EBADMSG && slot->part.resumed) /* what was there before may be to blame */
                return job_retry(slot, r, failure.message, err);
        if (r < 0)
                return slot_fail(slot, r, failure.message, err);
        job_complete(slot);
        return 0;
}

static int copy_header(struct slot *slot, const char *name, char **ret)
{
        const char *value = response_header(slot, name);

        *ret = value ? strdup(value) : NULL;
        return value && !*ret ? -ENOMEM : 0;
}

static int document_complete(struct slot *slot, long status, struct error *err)
{
        struct download *d = slot->item;

        free(TAKE_PTR(d->new_etag));
        free(TAKE_PTR(d->new_modified));
        d->unchanged = status == 304;
        if (copy_header(slot, "ETag", &d->new_etag) < 0 ||
            copy_header(slot, "Last-Modified", &d->new_modified) < 0)
                return error_oom(err);
        job_complete(slot);
        return 0;
}

static bool status_may_pass(long status)
{
        return status >= 500 || status == 408 || status == 429;
}

static int answer(struct slot *slot, struct error *err)
{
        char text[64];
        long status = 0;
        int r;

        curl_easy_getinfo(slot->easy, CURLINFO_RESPONSE_CODE, &status);
        snprintf(text, sizeof(text), "HTTP status %ld", status);
        if (status == 416 && slot->item->name && slot->part.offset > 0) {
                r = part_restart(&slot->part, err);
                return r < 0 ? r : job_retry(slot, -ENODATA, text, err);
        }
        if (status_may_pass(status))
                return job_retry(slot, -EREMOTEIO, text, err);
        if (status >= 300 && !(status == 304 && !slot->item->name))
                return slot_fail(slot, status == 404 ? -ENOENT : -EREMOTEIO, text, err);
        return slot->item->name ? file_complete(slot, err) : document_complete(slot, status, err);
}

static int code_errno(CURLcode code)
{
        static const struct {
                CURLcode code;
                int error;
        } permanent[] = {
                { CURLE_UNSUPPORTED_PROTOCOL, -EPROTONOSUPPORT },
                { CURLE_URL_MALFORMAT, -EINVAL },
                { CURLE_FILE_COULDNT_READ_FILE, -ENOENT },
                { CURLE_OUT_OF_MEMORY, -ENOMEM },
                { CURLE_PEER_FAILED_VERIFICATION, -EACCES },
                { CURLE_SSL_CACERT_BADFILE, -EACCES },
                { CURLE_TOO_MANY_REDIRECTS, -ELOOP },
                { CURLE_BAD_FUNCTION_ARGUMENT, -EINVAL },
        };

        for (size_t i = 0; i < ARRAY_SIZE(permanent); i++)
                if (permanent[i].code == code)
                        return permanent[i].error;
        return 0;
}

/* Our side failed: a full disk keeps what is there for later; too many bytes are worth nothing. */
static int callback_failed(struct slot *slot, struct error *err)
{
        if (slot->error.code == -EFBIG && slot->item->name) {
                struct error ignored;
                bool again = slot->part.resumed;

                if (part_restart(&slot->part, &ignored) == 0 && again)
                        return job_retry(slot, -EFBIG, slot->error.message, err);
        }
        if (slot->error.code == -EPROTO) {
                struct error ignored;

                if (part_restart(&slot->part, &ignored) == 0)
                        return job_retry(slot, -EPROTO, slot->error.message, err);
        }
        return slot_fail(slot, slot->error.code, slot->error.message, err);
}

static int transfer_end(struct slot *slot, CURLcode code, struct error *err)
{
        const char *why = slot->message[0] ? slot->message : curl_easy_strerror(code);
        int permanent = code_errno(code);

        curl_multi_remove_handle(slot->session->multi, slot->easy);
        if (slot->error.code < 0)
                return callback_failed(slot, err);
        if (code == CURLE_OK)
                return answer(slot, err);
        if (permanent < 0)
                return slot_fail(slot, permanent, why, err);
        return job_retry(slot, code == CURLE_OPERATION_TIMEDOUT ? -ETIMEDOUT : -EIO, why, err);
}

static int job_start(struct slot *slot, size_t index, struct error *err)
{
        struct download *d = &slot->session->items[index];
        int r;

        slot->item = d;
        slot->job = &slot->session->jobs[index];
        slot->job->state = JOB_ACTIVE;
        if (!d->name)
                return transfer_start(slot, err);
        slot->part = (struct part){ .fd = -1 };
        r = part_open(d->dir_fd, d->name, d->size, &slot->part, err);
        if (r == -EAGAIN) {
                job_postpone(slot, POLL_MS);
                return 0;
        }
        if (r == -EEXIST) {
                job_complete(slot);
                return 0;
        }
        if (r < 0)
                return error_prefix(err, r, "%s", d->what);
        slot->job->furthest = MAX(slot->job->furthest, slot->part.offset);
        return slot->part.offset == d->size ? file_complete(slot, err) : transfer_start(slot, err);
}

/* ---- the session ---- */

static struct slot *free_slot(struct session *s)
{
        for (size_t i = 0; i < ARRAY_SIZE(s->slots); i++)
                if (!s->slots[i].item)
                        return &s->slots[i];
        return NULL;
}

static int start_jobs(struct session *s, struct error *err)
{
        uint64_t now = now_ms();

        for (size_t i = 0; i < s->count; i++) {
                struct slot *slot;
                int r;

                if (s->jobs[i].state != JOB_WAITING || s->jobs[i].not_before > now)
                        continue;
                slot = free_slot(s);
                if (!slot)
                        return 0;
                r = job_start(slot, i, err);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int finish_transfers(struct session *s, struct error *err)
{
        CURLMsg *m;
        int left, r;

        while ((m = curl_multi_info_read(s->multi, &left))) {
                CURLcode code = m->data.result;
                char *slot;

                if (m->msg != CURLMSG_DONE)
                        continue;
                curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &slot);
                r = transfer_end((struct slot *)(void *)slot, code, err);
                if (r < 0)
                        return r;
        }
        return 0;
}

static void tell_progress(struct session *s)
{
        uint64_t done = s->done;

        if (!s->options->progress)
                return;
        for (size_t i = 0; i < ARRAY_SIZE(s->slots); i++)
                if (s->slots[i].item && s->slots[i].item->name)
                        done += s->slots[i].part.offset;
        s->options->progress(s->options->userdata, done, s->total);
}

static int session_run(struct session *s, struct error *err)
{
        int running, r;

        while (s->left > 0) {
                r = interrupt_check(err);
                if (r == 0)
                        r = start_jobs(s, err);
                if (r < 0)
                        return r;
                if (curl_multi_perform(s->multi, &running) != CURLM_OK)
                        return error_set(err, -EIO, "libcurl failed");
                r = finish_transfers(s, err);
                if (r < 0)
                        return r;
                tell_progress(s);
                if (s->left > 0)
                        curl_multi_poll(s->multi, NULL, 0, running ? POLL_MS : POLL_MS / 10, NULL);
        }
        return 0;
}

static int session_init(struct session *s, struct download *items, size_t count,
                        const struct download_options *options, struct error *err)
{
        *s = (struct session){ .items = items, .count = count, .left = count, .options = options };
        for (size_t i = 0; i < ARRAY_SIZE(s->slots); i++)
                s->slots[i].session = s;
        for (size_t i = 0; i < count; i++)
                s->total += items[i].name ? items[i].size : 0;
        if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
                return error_set(err, -ENOMEM, "libcurl cannot start");
        s->jobs = calloc(MAX(count, (size_t)1), sizeof(*s->jobs));
        s->multi = curl_multi_init();
        if (!s->jobs || !s->multi)
                return error_oom(err);
        curl_multi_setopt(s->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)DOWNLOAD_CONNECTIONS_MAX);
        return 0;
}

static void session_done(struct session *s)
{
        for (size_t i = 0; i < ARRAY_SIZE(s->slots); i++) {
                if (s->slots[i].easy && s->slots[i].item)
                        curl_multi_remove_handle(s->multi, s->slots[i].easy);
                slot_free(&s->slots[i]);
                curl_easy_cleanup(s->slots[i].easy);
        }
        curl_multi_cleanup(s->multi);
        curl_global_cleanup();
        free(s->jobs);
        free(s);
}
DEFINE_CLEANUP(struct session, session_done)

int download_all(struct download *items, size_t count, const struct download_options *options,
                 struct error *err)
{
        _cleanup_(session_done_p) struct session *s = calloc(1, sizeof(*s));
        int r;

        if (!s)
                return error_oom(err);
        r = session_init(s, items, count, options, err);
        return r < 0 ? r : session_run(s, err);
}
