/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See history.h. A line is appended by one write and synced before anybody relies on it; whoever
 * appends behind a torn line ends that line first. The directory is locked meanwhile, for trimming
 * replaces the file. */

#include <fcntl.h>
#include <sys/file.h>

#include "history.h"
#include "io.h"
#include "record.h"
#include "strv.h"

#define DOCUMENT_NAME "history"

const char *const history_kind_names[] = {
        [HISTORY_STAGED] = "staged",       [HISTORY_BOOTED] = "booted",
        [HISTORY_GOOD] = "good",           [HISTORY_UNHEALTHY] = "unhealthy",
        [HISTORY_FELL_BACK] = "fell-back", [HISTORY_ROLLED_BACK] = "rolled-back",
        [_HISTORY_KIND_MAX] = NULL,
};

#define EVENT(key_, decode_, member_, flags_, help_, argument_)                                    \
        {                                                                                          \
                key_, decode_, offsetof(struct history_event, member_), flags_, help_, argument_   \
        }
static const struct field event_fields[] = {
        EVENT("time", field_uint, time, FIELD_MANDATORY, "Seconds since the epoch", NULL),
        EVENT("event", field_enum, kind, FIELD_MANDATORY, "What happened", history_kind_names),
        EVENT("version", field_string, version, FIELD_MANDATORY, "Of the release", NULL),
        EVENT("rootHash", field_digest, root_hash, FIELD_MANDATORY, "Of its /usr", NULL),
        EVENT("tries", field_uint, tries, 0, "Tries spent so far", NULL),
        EVENT("bootId", field_string, boot_id, 0, "The boot it is about", NULL),
        EVENT("check", field_string, check, 0, "The health check that failed", NULL),
        EVENT("reason", field_string, reason, 0, "Why", NULL),
        EVENT("journal", field_strings, journal, 0, "The last lines of that boot", NULL),
        {},
};

void history_event_done(struct history_event *e)
{
        free(e->version);
        free(e->boot_id);
        free(e->check);
        free(e->reason);
        strv_free(e->journal);
        *e = (struct history_event){};
}

void history_done(struct history *h)
{
        for (size_t i = 0; i < h->count; i++)
                history_event_done(&h->items[i]);
        free(h->items);
        *h = (struct history){};
}

/* ---- reading ---- */

/* Like record_decode(), but what is not known is of a newer release. */
static int decode_event(const struct json_document *d, struct history_event *ret)
{
        json_object *value;
        int r = 0;

        if (!json_object_is_type(d->root, json_type_object))
                return -EINVAL;
        for (const struct field *f = event_fields; r >= 0 && f->key; f++) {
                if (json_object_object_get_ex(d->root, f->key, &value) && value)
                        r = f->decode(d, value, f, (char *)ret + f->offset, NULL);
                else if (f->flags & FIELD_MANDATORY)
                        r = -EINVAL;
        }
        return r;
}

static int parse_line(const char *text, size_t size, struct history_event *ret)
{
        _cleanup_json_ struct json_document d = {};
        int r;

        if (size > HISTORY_LINE_MAX)
                return -EINVAL;
        r = json_load(DOCUMENT_NAME, text, size, false, &d, NULL);
        if (r >= 0)
                r = decode_event(&d, ret);
        if (r < 0)
                history_event_done(ret);
        return r;
}

int history_parse(const char *text, size_t size, struct history *ret, struct error *err)
{
        _cleanup_(history_done) struct history h = {};
        size_t capacity = 0;
        const char *end;

        for (const char *line = text; line < text + size; line = end + 1) {
                struct history_event e = {};
                int r;

                end = memchr(line, '\n', size - (size_t)(line - text)) ?: text + size;
                r = end == text + size ? -EINVAL : parse_line(line, (size_t)(end - line), &e);
                if (r == -ENOMEM ||
                    array_reserve(&h.items, &capacity, h.count + 1, sizeof(e)) < 0) {
                        history_event_done(&e);
                        return error_oom(err);
                }
                if (r < 0)
                        h.passed_over++;
                else
                        h.items[h.count++] = e;
        }
        *ret = TAKE_STRUCT(h);
        return 0;
}

int history_load(const char *path, struct history *ret, struct error *err)
{
        _cleanup_free_ char *text = NULL;
        size_t size;
        int r;

        r = file_read(AT_FDCWD, path, HISTORY_SIZE_MAX, &text, &size, err);
        if (r == -ENOENT) {
                *ret = (struct history){};
                return 0;
        }
        return r < 0 ? r : error_prefix(err, history_parse(text, size, ret, err), "%s", path);
}

bool history_failed(const struct history *h, const struct sha256 *root_hash)
{
        bool failed = false;

        for (size_t i = 0; i < h->count; i++) {
                const struct history_event *e = &h->items[i];

                if (!sha256_equal(&e->root_hash, root_hash))
                        continue;
                if (e->kind == HISTORY_FELL_BACK || e->kind == HISTORY_GOOD)
                        failed = e->kind == HISTORY_FELL_BACK;
        }
        return failed;
}

/* ---- writing ---- */

/* Cut, and without what somebody's terminal (or a line of JSON) would suffer from. */
static json_object *text_json(const char *text)
{
        char clean[HISTORY_TEXT_MAX + 1];
        size_t n = 0;

        for (; text[n] && n < HISTORY_TEXT_MAX; n++)
                clean[n] = text[n] >= ' ' && text[n] <= '~' ? text[n] : '?';
        return json_object_new_string_len(clean, (int)n);
}

static json_object *lines_json(char **lines)
{
        json_object *array = json_object_new_array();
        size_t n = 0;

        STRV_FOREACH (line, lines)
                if (**line && n++ < HISTORY_JOURNAL_LINES)
                        json_object_array_add(array, text_json(*line));
        return array;
}

json_object *history_event_json(const struct history_event *e)
{
        json_object *object = json_object_new_object();
        char hex[SHA256_HEX_SIZE];
        const struct {
                const char *key, *text;
        } texts[] = {
                { "bootId", e->boot_id },
                { "check", e->check },
                { "reason", e->reason },
        };

        json_object_object_add(object, "time", json_object_new_uint64(e->time));
        json_object_object_add(object, "event",
                               json_object_new_string(history_kind_names[e->kind]));
        json_object_object_add(object, "version", text_json(e->version));
        json_object_object_add(object, "rootHash",
                               json_object_new_string(sha256_hex(&e->root_hash, hex)));
        json_object_object_add(object, "tries", json_object_new_uint64(e->tries));
        for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
                if (texts[i].text && *texts[i].text)
                        json_object_object_add(object, texts[i].key, text_json(texts[i].text));
        if (e->journal)
                json_object_object_add(object, "journal", lines_json(e->journal));
        return object;
}

static int format_line(const struct history_event *e, char **ret)
{
        json_object *object = history_event_json(e);
        const char *text = json_object_to_json_string_ext(
                object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);

        *ret = text ? string_format("%s\n", text) : NULL;
        json_object_put(object);
        return *ret ? 0 : -ENOMEM;
}

static int needs_newline(int fd, uint64_t size, struct error *err)
{
        char last = '\n';
        int r = size > 0 ? io_pread(fd, &last, 1, size - 1, NULL, err) : 0;

        return r < 0 ? r : last != '\n';
}

static int add_line(int dir_fd, int fd, uint64_t size, const char *line, struct error *err)
{
        _cleanup_free_ char *whole = NULL;
        int r = needs_newline(fd, size, err);

        if (r < 0)
                return r;
        whole = string_format("%s%s", r ? "\n" : "", line);
        if (!whole)
                return error_oom(err);
        r = io_pwrite(fd, whole, strlen(whole), size, err);
        if (r >= 0 && (fsync(fd) < 0 || (size == 0 && fsync(dir_fd) < 0)))
                r = error_errno(err, "sync");
        return r;
}

/* The newer half, from a line's start, and the new line become the file. */
static int trim(int dir_fd, const char *name, int fd, uint64_t size, const char *line,
                struct error *err)
{
        _cleanup_draft_ struct draft d = DRAFT_NULL;
        _cleanup_free_ char *half = malloc(HISTORY_SIZE_MAX / 2);
        const char *start;
        size_t n;
        int r;

        if (!half)
                return error_oom(err);
        r = io_pread(fd, half, HISTORY_SIZE_MAX / 2, size - HISTORY_SIZE_MAX / 2, &n, err);
        if (r >= 0)
                r = draft_open(&d, dir_fd, name, 0644, err);
        if (r < 0)
                return r;
        start = memchr(half, '\n', n);
        start = start ? start + 1 : half + n;
        n = (size_t)(half + n - start);
        r = io_write(d.fd, start, n, err);
        if (r >= 0 && n > 0 && start[n - 1] != '\n')
                r = io_write(d.fd, "\n", 1, err);
        if (r >= 0)
                r = io_write(d.fd, line, strlen(line), err);
        return r < 0 ? r : draft_publish(&d, err);
}

static int append_line(int dir_fd, const char *name, const char *line, struct error *err)
{
        _cleanup_close_ int fd = -1;
        struct stat st;

        if (flock(dir_fd, LOCK_EX) < 0)
                return error_errno(err, "lock");
        fd = openat(dir_fd, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
        if (fd < 0 || fstat(fd, &st) < 0)
                return error_errno(err, "open");
        if ((uint64_t)st.st_size + strlen(line) + 1 > HISTORY_SIZE_MAX)
                return trim(dir_fd, name, fd, (uint64_t)st.st_size, line, err);
        return add_line(dir_fd, fd, (uint64_t)st.st_size, line, err);
}

int history_append(const char *path, const struct history_event *event, struct error *err)
{
        const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
        _cleanup_free_ char *line = NULL, *directory = NULL;
        _cleanup_close_ int dir_fd = -1;
        int r;

        directory = slash ? strndup(path, (size_t)(slash - path)) : strdup(".");
        if (!directory || format_line(event, &line) < 0)
                return error_oom(err);
        dir_fd = path_open_dir(AT_FDCWD, directory, 0755, err);
        if (dir_fd < 0)
                return dir_fd;
        r = append_line(dir_fd, name, line, err);
        return error_prefix(err, r, "%s", path);
}
