/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See table.h. */

#include <fcntl.h>

#include "strv.h"
#include "table.h"

static void row_done(struct table_row *row)
{
        for (size_t i = 0; i < TABLE_FIELDS_MAX; i++)
                free(row->fields[i]);
        *row = (struct table_row){};
}

void table_done(struct table *t)
{
        for (size_t i = 0; i < t->count; i++)
                row_done(&t->rows[i]);
        free(t->rows);
        free(t->resolved);
        *t = (struct table){};
}

static int add_row(struct table *t, struct table_row *row, struct error *err)
{
        if (t->count >= TABLE_ROWS_MAX)
                return error_set(err, -EFBIG, "%s: more than %d lines", t->path, TABLE_ROWS_MAX);
        if (array_reserve(&t->rows, &t->capacity, t->count + 1, sizeof(*t->rows)) < 0)
                return error_oom(err);
        t->rows[t->count++] = TAKE_STRUCT(*row);
        return 0;
}

static int parse_line(struct table *t, const char *line, size_t size, struct error *err)
{
        _cleanup_(row_done) struct table_row row = {};
        const char *end = line + size;

        for (unsigned i = 0;; i++) {
                const char *colon = memchr(line, ':', (size_t)(end - line));
                const char *stop = colon && i < TABLE_FIELDS_MAX - 2 ? colon : end;

                row.fields[i] = strndup(line, (size_t)(stop - line));
                if (!row.fields[i])
                        return error_oom(err);
                if (stop == end)
                        return add_row(t, &row, err);
                line = stop + 1;
        }
}

static int parse(struct table *t, const char *text, struct error *err)
{
        while (*text) {
                size_t n = strcspn(text, "\n");
                int r = parse_line(t, text, n, err);

                if (r < 0)
                        return r;
                text += n + (text[n] == '\n');
        }
        return 0;
}

int table_load(const struct root *root, const char *path, struct table *ret, struct error *err)
{
        _cleanup_free_ char *text = NULL;
        struct stat st;
        int r;

        *ret = (struct table){ .path = path, .mode = 0644 };
        r = root_resolve_all(root, path, &ret->resolved, err);
        if (r >= 0)
                r = root_read_resolved(root, ret->resolved, &st, &text, err);
        if (r < 0 || !text)
                return r;
        ret->exists = true;
        ret->mode = st.st_mode & 07777;
        ret->uid = st.st_uid;
        ret->gid = st.st_gid;
        return parse(ret, text, err);
}

static void format(const struct table *t, struct buffer *text)
{
        for (size_t i = 0; i < t->count; i++)
                for (unsigned k = 0; t->rows[i].fields[k]; k++) {
                        buffer_puts(text, t->rows[i].fields[k]);
                        buffer_puts(text, t->rows[i].fields[k + 1] ? ":" : "\n");
                }
}

int table_write(struct table *t, struct root *root, struct error *err)
{
        _cleanup_place_ struct place place = PLACE_NULL;
        _cleanup_draft_ struct draft draft = DRAFT_NULL;
        _cleanup_buffer_ struct buffer text = {};
        int r;

        if (!t->dirty)
                return 0;
        format(t, &text);
        if (text.failed)
                return error_oom(err);
        r = place_make(root, t->resolved, &place, err);
        if (r >= 0)
                r = draft_open(&draft, place.dir, place.name, 0600, err);
        if (r >= 0)
                r = io_write(draft.fd, text.data ?: "", text.size, err);
        if (r >= 0)
                r = draft_own(&draft, t->uid, t->gid, t->mode, err);
        if (r < 0)
                return error_prefix(err, r, "%s", t->path);
        r = draft_name(&draft, err);
        t->dirty = r < 0;
        return r;
}

const char *row_field(const struct table_row *row, unsigned field)
{
        for (unsigned i = 0; i <= field; i++)
                if (!row->fields[i])
                        return "";
        return row->fields[field];
}

uint64_t row_number(const struct table_row *row, unsigned field)
{
        const char *text = row_field(row, field);
        unsigned long long number;
        char *end;

        if (*text < '0' || *text > '9')
                return UINT64_MAX;
        number = strtoull(text, &end, 10);
        return *end ? UINT64_MAX : number;
}

struct table_row *table_find(const struct table *t, const char *name)
{
        for (size_t i = 0; i < t->count; i++)
                if (t->rows[i].fields[1] && streq(t->rows[i].fields[0], name))
                        return &t->rows[i];
        return NULL;
}

struct table_row *table_find_id(const struct table *t, unsigned field, uint64_t id)
{
        for (size_t i = 0; i < t->count; i++)
                if (row_number(&t->rows[i], field) == id)
                        return &t->rows[i];
        return NULL;
}

static int check_text(const char *text, struct error *err)
{
        for (const char *s = text; *s; s++)
                if (*s == ':' || (unsigned char)*s < 0x20 || *s == 0x7f)
                        return error_set(err, -EINVAL,
                                         "\"%.80s\" holds a colon or a control character", text);
        return 0;
}

/* Missing fields before it become empty ones. */
int table_set(struct table *t, struct table_row *row, unsigned field, const char *value,
              struct error *err)
{
        int r = check_text(value, err);

        if (r < 0)
                return r;
        for (unsigned i = 0; i <= field; i++) {
                if (row->fields[i] && i < field)
                        continue;
                if (row->fields[i] && streq(row->fields[i], value))
                        return 0;
                free(row->fields[i]);
                row->fields[i] = strdup(i == field ? value : "");
                if (!row->fields[i])
                        return error_oom(err);
        }
        t->dirty = true;
        return 0;
}

int table_add(struct table *t, const char *const fields[], struct error *err)
{
        _cleanup_(row_done) struct table_row row = {};
        int r;

        for (unsigned i = 0; fields[i]; i++) {
                r = table_set(t, &row, i, fields[i], err);
                if (r < 0)
                        return r;
        }
        t->dirty = true;
        return add_row(t, &row, err);
}

void table_remove(struct table *t, struct table_row *row)
{
        size_t index = (size_t)(row - t->rows);

        row_done(row);
        memmove(row, row + 1, (t->count - index - 1) * sizeof(*row));
        t->count--;
        t->dirty = true;
}

/* Where name stands in a list, NULL when it does not. */
static const char *find_member(const char *list, const char *name)
{
        size_t n = strlen(name);

        while (*list) {
                size_t length = strcspn(list, ",");

                if (length == n && strncmp(list, name, n) == 0)
                        return list;
                list += length + (list[length] == ',');
        }
        return NULL;
}

bool member_of(const struct table_row *row, unsigned field, const char *name)
{
        return find_member(row_field(row, field), name) != NULL;
}

int member_add(struct table *t, struct table_row *row, unsigned field, const char *name,
               struct error *err)
{
        const char *list = row_field(row, field);
        _cleanup_free_ char *longer = NULL;

        if (find_member(list, name))
                return 0;
        if (asprintf(&longer, "%s%s%s", list, *list ? "," : "", name) < 0) {
                longer = NULL;
                return error_oom(err);
        }
        return table_set(t, row, field, longer, err);
}

int member_remove(struct table *t, struct table_row *row, unsigned field, const char *name,
                  struct error *err)
{
        const char *list = row_field(row, field), *at = find_member(list, name), *after;
        _cleanup_free_ char *shorter = NULL;
        int before;

        if (!at)
                return 0;
        after = at + strlen(name);
        before = (int)(at - list);
        if (*after == ',')
                after++;
        else if (before > 0)
                before--;
        if (asprintf(&shorter, "%.*s%s", before, list, after) < 0) {
                shorter = NULL;
                return error_oom(err);
        }
        return table_set(t, row, field, shorter, err);
}
