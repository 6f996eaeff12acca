/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See suite.h. In cache/metadata/, <key> being the digest of repository and suite names:
 *   <key>.InRelease   the document as it came, written only after it was verified
 *   <key>.note        ETag and Last-Modified of it, and the digest of the URL they hold for
 * So an unchanged suite costs one small request, and none of gpgv. */

#include <fcntl.h>
#include <time.h>

#include "deb822.h"
#include "io.h"
#include "signature.h"
#include "suite.h"

enum { NOTE_SIZE_MAX = 64 * 1024, FUTURE_SKEW_S = 3600, DATE_SIZE = 32 };

void suite_done(struct suite *s)
{
        free(s->url);
        free(s->etag);
        free(s->modified);
        free(s->what);
        buffer_done(&s->cached);
        suite_release_done(&s->release);
}

static int cache_file(const struct suite *s, const char *suffix, char ret[SHA256_HEX_SIZE + 32])
{
        return snprintf(ret, SHA256_HEX_SIZE + 32, "metadata/%s.%s", s->key, suffix);
}

static void digest_text(const char *text, char ret[SHA256_HEX_SIZE])
{
        struct sha256 digest;

        sha256_of(text, strlen(text), &digest);
        sha256_hex(&digest, ret);
}

static int make_names(struct suite *s, const struct mirrors *mirrors, struct error *err)
{
        _cleanup_free_ char *base = NULL, *path = NULL, *id = NULL;
        int r;

        if (asprintf(&s->what, "repository '%s', suite '%s'", s->config->name, s->name) < 0 ||
            asprintf(&path, "dists/%s", s->name) < 0 ||
            asprintf(&id, "%s\n%s", s->config->name, s->name) < 0)
                return error_oom(err);
        digest_text(id, s->key);
        if (!url_path_valid(s->name))
                return error_set(err, -EINVAL, "%s: not a name of a suite", s->what);
        if (!mirrors)
                return 0;
        r = mirrors_url(mirrors, s->config->name, &base, err);
        if (r < 0)
                return r;
        s->url = url_join(base, path);
        return s->url ? 0 : error_oom(err);
}

static int note_parse(struct suite *s, const char *text, size_t size, struct error *err)
{
        char url[SHA256_HEX_SIZE] = "";
        struct deb822_field f;
        struct deb822 d;
        bool same = false;

        digest_text(s->url, url);
        deb822_init(&d, text, size);
        while (deb822_next(&d, &f)) {
                char **to = deb822_is(&f, "ETag")            ? &s->etag
                            : deb822_is(&f, "Last-Modified") ? &s->modified
                                                             : NULL;

                if (deb822_is(&f, "URL"))
                        same = f.value_size == strlen(url) && !strncmp(f.value, url, f.value_size);
                if (!to)
                        continue;
                free(*to);
                *to = deb822_value(&f);
                if (!*to)
                        return error_oom(err);
        }
        if (!same) { /* said by another server */
                free(TAKE_PTR(s->etag));
                free(TAKE_PTR(s->modified));
        }
        return 0;
}

static int read_cached(const struct workdir *w, struct suite *s, struct error *err)
{
        _cleanup_free_ char *text = NULL, *note = NULL;
        char path[SHA256_HEX_SIZE + 32];
        size_t size, note_size;

        cache_file(s, "InRelease", path);
        if (file_read(w->cache_fd, path, SUITE_RELEASE_SIZE_MAX, &text, &size, NULL) < 0)
                return 0;
        buffer_append(&s->cached, text, size);
        if (s->cached.failed)
                return error_oom(err);
        cache_file(s, "note", path);
        if (!s->url || file_read(w->cache_fd, path, NOTE_SIZE_MAX, &note, &note_size, NULL) < 0)
                return 0;
        return note_parse(s, note, note_size, err);
}

int suite_open(const struct workdir *w, const struct mirrors *mirrors,
               const struct repository_config *config, const char *name, struct suite *ret,
               struct error *err)
{
        int r;

        *ret = (struct suite){ .config = config, .name = name };
        r = make_names(ret, mirrors, err);
        return r < 0 ? r : read_cached(w, ret, err);
}

int suite_prepare(const struct suite *s, char **url, struct download *d, struct error *err)
{
        *url = url_join(s->url, "InRelease");
        if (!*url)
                return error_oom(err);
        *d = (struct download){
                .what = s->what,
                .url = *url,
                .size = SUITE_RELEASE_SIZE_MAX,
                .dir_fd = -1,
                .etag = s->etag,
                .modified = s->modified,
        };
        return 0;
}

static int write_note(const struct workdir *w, const struct suite *s, const struct download *d,
                      struct error *err)
{
        _cleanup_buffer_ struct buffer b = {};
        char path[SHA256_HEX_SIZE + 32], url[SHA256_HEX_SIZE];

        digest_text(s->url, url);
        buffer_printf(&b, "URL: %s\n", url);
        if (d->new_etag)
                buffer_printf(&b, "ETag: %s\n", d->new_etag);
        if (d->new_modified)
                buffer_printf(&b, "Last-Modified: %s\n", d->new_modified);
        if (b.failed)
                return error_oom(err);
        cache_file(s, "note", path);
        return file_write(w->cache_fd, path, b.data, b.size, 0644, err);
}

static int remember(const struct workdir *w, const struct suite *s, const struct buffer *document,
                    const struct download *d, struct error *err)
{
        char path[SHA256_HEX_SIZE + 32];
        bool same = document->size == s->cached.size &&
                    memcmp(document->data, s->cached.data, document->size) == 0;
        int r = 0;

        cache_file(s, "InRelease", path);
        if (!same)
                r = file_write(w->cache_fd, path, document->data, document->size, 0644, err);
        if (same)
                (void)!utimensat(w->cache_fd, path, NULL, 0); /* in use: not stale */
        if (r == 0 && d && !d->unchanged)
                r = write_note(w, s, d, err);
        return r;
}

int suite_accept(const struct workdir *w, struct suite *s, const struct download *d,
                 struct error *err)
{
        const struct buffer *document = d && !d->unchanged ? &d->body : &s->cached;
        _cleanup_free_ char *text = NULL;
        size_t size;
        int r;

        if (document->size == 0)
                return error_set(err, -ENODATA,
                                 d ? "%s: empty InRelease" : "%s: not in the cache (offline)",
                                 s->what);
        r = clearsigned_verify(w->cache_path, w->cache_fd, s->config->keyring, document->data,
                               document->size, &text, &size, err);
        if (r == 0)
                r = suite_release_parse(text, size, &s->release, err);
        if (r == 0)
                r = remember(w, s, document, d, err);
        return error_prefix(err, r, "%s: InRelease", s->what);
}

static const char *date_text(uint64_t seconds, char ret[DATE_SIZE])
{
        time_t time = (time_t)seconds;
        struct tm t;

        if (!gmtime_r(&time, &t) || strftime(ret, DATE_SIZE, "%Y-%m-%d %H:%M UTC", &t) == 0)
                return "?";
        return ret;
}

static bool is_named(const struct suite *s)
{
        const struct suite_release *r = &s->release;

        return (r->suite && streq(r->suite, s->name)) ||
               (r->codename && streq(r->codename, s->name));
}

static int check_expiry(const struct workdir *w, const struct mirrors *mirrors,
                        const struct suite *s, char ***warnings, struct error *err)
{
        _cleanup_free_ char *text = NULL;
        char date[DATE_SIZE];

        date_text(s->release.valid_until, date);
        if (mirrors->check_valid_until && !w->allow_expired)
                return error_set(err, -ESTALE, "%s: expired at %s (--allow-expired accepts it)",
                                 s->what, date);
        if (asprintf(&text, "%s: expired at %s, accepted by %s", s->what, date,
                     w->allow_expired ? "--allow-expired" : "apt's Acquire::Check-Valid-Until") < 0)
                return error_oom(err);
        return strv_extend(warnings, text) < 0 ? error_oom(err) : 0;
}

int suite_check(const struct workdir *w, const struct mirrors *mirrors, const struct suite *s,
                char ***warnings, struct error *err)
{
        const struct suite_release *r = &s->release;
        uint64_t now = (uint64_t)time(NULL);
        char date[DATE_SIZE];

        if (!is_named(s))
                return error_set(err, -EBADMSG, "%s: the server's suite is '%s', codename '%s'",
                                 s->what, r->suite ?: "", r->codename ?: "");
        if (mirrors->check_date && r->date > now + FUTURE_SKEW_S)
                return error_set(err, -EBADMSG,
                                 "%s: made in the future, at %s: is the clock right?", s->what,
                                 date_text(r->date, date));
        if (r->valid_until > 0 && r->valid_until < now)
                return check_expiry(w, mirrors, s, warnings, err);
        return 0;
}
