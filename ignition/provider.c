/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What providers share: waiting that ends, volumes, and encodings of user data. */

#include "provider.h"

#include <sys/mount.h>

#include "base64.h"
#include "fetch.h"
#include "probe.h"
#include "resource.h"
#include "strv.h"
#include "text-sink.h"

enum { LONGEST_PAUSE_MS = 1000, LINE_EVERY_MS = 10000 };

/* ---- patience ---- */

struct patience patience_for(const struct agent *a, const char *what, uint64_t ms)
{
        uint64_t deadline = clock_deadline(ms > 0 ? ms : a->options.fetch_timeout_ms);

        return (struct patience){ .what = what, .deadline = clock_earlier(deadline, a->deadline) };
}

int patience_wait(struct agent *a, struct patience *p, struct error *err)
{
        uint64_t left = clock_left(p->deadline), now = clock_ms();
        char text[CLOCK_TEXT_MAX];

        if (left == 0)
                return error_set(err, -ETIMEDOUT, "%s did not appear in time", p->what);
        if (now >= p->next_line) {
                log_line(&a->log, LOG_INFO, "waiting for %s, time left: %s", p->what,
                         left == UINT64_MAX ? "unlimited" : clock_text(left, text));
                p->next_line = now + LINE_EVERY_MS;
        }
        p->pause_ms = MIN(fetch_next_pause(p->pause_ms), (uint64_t)LONGEST_PAUSE_MS);
        return clock_sleep(MIN(p->pause_ms, left), err);
}

int patience_path(struct agent *a, const char *path, uint64_t ms, struct error *err)
{
        struct patience patience = patience_for(a, path, ms);

        while (access(path, F_OK) < 0) {
                int r = patience_wait(a, &patience, err);

                if (r < 0)
                        return r;
        }
        return 0;
}

/* ---- volumes ---- */

/* As mount(8) does it, which an emulated machine needs a tenth of a second to start. */
int volume_open(struct volume *v, const char *device, struct error *err)
{
        const unsigned long flags = MS_RDONLY | MS_NODEV | MS_NOSUID | MS_NOEXEC;
        struct probe found;
        int r = probe_device(device, &found, err);

        if (r < 0)
                return r;
        if (!found.type[0])
                return error_set(err, -EINVAL, "%s: no file system", device);
        strcpy(v->dir, "/run/ignition-device-XXXXXX");
        if (!mkdtemp(v->dir)) {
                r = error_errno(err, "%s", v->dir);
                v->dir[0] = '\0';
                return r;
        }
        v->mounted = mount(device, v->dir, found.type, flags, NULL) == 0;
        return v->mounted ? root_open(&v->root, v->dir, err)
                          : error_errno(err, "%s: mounting as %s", device, found.type);
}

int volume_read(const struct volume *v, const char *path, char **ret, size_t *ret_size,
                struct error *err)
{
        _cleanup_free_ char *resolved = NULL;
        _cleanup_place_ struct place place = PLACE_NULL;
        struct stat st;
        int r;

        r = root_resolve_all(&v->root, path, &resolved, err);
        if (r < 0)
                return r;
        if (!root_stat(&v->root, resolved, &st))
                return PROVIDER_NONE;
        if (!S_ISREG(st.st_mode))
                return error_set(err, -EINVAL, "%s: not a regular file", path);
        r = place_open(&v->root, resolved, &place, err);
        return r < 0 ? r : file_read(place.dir, place.name, CONFIG_SIZE_MAX, ret, ret_size, err);
}

void volume_done(struct volume *v)
{
        root_done(&v->root);
        if (v->mounted)
                umount2(v->dir, MNT_DETACH);
        if (v->dir[0])
                rmdir(v->dir);
        *v = (struct volume)VOLUME_NULL;
}

/* ---- encodings ---- */

static void replace_text(struct config_text *t, char *text, size_t size)
{
        free(t->text);
        t->text = text;
        t->size = size;
}

int config_text_unbase64(struct config_text *t, struct error *err)
{
        char *text;
        size_t size;
        int r = base64_decode(t->text, t->size, &text, &size);

        if (r == -ENOMEM)
                return error_oom(err);
        if (r < 0)
                return error_set(err, -EINVAL, "%s: not base64", t->source);
        replace_text(t, text, size);
        return 0;
}

int config_text_gunzip(struct config_text *t, struct error *err)
{
        _cleanup_text_sink_ struct text_sink plain;
        struct sink *gzip = NULL;
        char *text;
        size_t size;
        int r;

        text_sink_init(&plain, CONFIG_SIZE_MAX);
        r = gzip_open(&plain.sink, &gzip, err);
        if (r < 0)
                return r;
        r = gzip->write(gzip, t->text, t->size, err);
        if (r >= 0)
                r = gzip_finish(gzip, err);
        gzip_close(gzip);
        if (r < 0)
                return error_prefix(err, r, "%s", t->source);
        r = text_sink_take(&plain, &text, &size, err);
        if (r < 0)
                return r;
        replace_text(t, text, size);
        return 0;
}

void config_text_strip(struct config_text *t)
{
        while (t->size > 0 && t->text[t->size - 1] == '\0')
                t->size--;
}
