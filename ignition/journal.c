/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See journal.h. The file is a line that names the format, then records:
 *   <kind> <number> <mode> <uid> <gid> <name> NUL <number bytes of content, if the kind has one>
 * Names are bytes, as file names are. It is in /etc, readable by root only: it may hold
 * /etc/shadow. */

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>

#include "journal.h"
#include "tree-move.h"

static const char journal_path[] = "/etc/.ignition-journal";
static const char magic[] = "ignition-journal 1\n";

enum { JOURNAL_SIZE_MAX = 128 * 1024 * 1024, HEAD_MAX = 64 };

enum kind {
        KIND_ABSENT = 'n',   /* remove it, with what is in it */
        KIND_KEPT = 'k',     /* number: size; cut back to it, give mode and owner back */
        KIND_REPLACED = 'r', /* only a draft may be left beside it */
        KIND_TEXT = 't',     /* content: the file */
        KIND_MOVED = 'm',    /* content: where to */
        KIND_ENABLED = 'e',  /* a unit's name */
        KIND_RESULT = 's',   /* number: 1 + size of the result file, 0: absent */
};

struct record {
        char kind;
        uint64_t number;
        unsigned mode, uid, gid;
        const char *name;
        const char *content;
};

static bool has_content(char kind)
{
        return kind == KIND_TEXT || kind == KIND_MOVED;
}

/* Takes a number and the space behind it off the text, which ends with a NUL; false: there is none.
 */
static bool take_number(const char **at, int base, uint64_t *ret)
{
        char *end;

        if (**at < '0' || **at > '9')
                return false;
        *ret = strtoumax(*at, &end, base);
        *at = end + 1;
        return *end == ' ';
}

/* "<kind> <number> <mode> <uid> <gid> " */
static bool take_head(const char **at, struct record *ret)
{
        uint64_t mode, uid, gid;

        ret->kind = **at;
        if (!ret->kind || (*at)[1] != ' ')
                return false;
        *at += 2;
        if (!take_number(at, 10, &ret->number) || !take_number(at, 8, &mode) ||
            !take_number(at, 10, &uid) || !take_number(at, 10, &gid))
                return false;
        ret->mode = (unsigned)mode;
        ret->uid = (unsigned)uid;
        ret->gid = (unsigned)gid;
        return true;
}

/* Takes the next record off the text: 1, or 0 at the end. */
static int next_record(const char **at, const char *end, struct record *ret, struct error *err)
{
        const char *nul = memchr(*at, '\0', (size_t)(end - *at));
        struct record r = {};

        if (*at == end)
                return 0;
        r.name = *at;
        if (!nul || !take_head(&r.name, &r))
                return error_set(err, -EINVAL, "%s: not a journal", journal_path);
        r.content = nul + 1;
        *at = nul + 1;
        if (has_content(r.kind)) {
                /* A NUL behind it makes the content a string. */
                if (r.number >= (uint64_t)(end - *at) || r.content[r.number] != '\0')
                        return error_set(err, -EINVAL, "%s: cut off", journal_path);
                *at += r.number + 1;
        }
        *ret = r;
        return 1;
}

static void add_record(struct journal *j, const struct record *r)
{
        buffer_printf(&j->now, "%c %ju %o %u %u %s", r->kind, (uintmax_t)r->number, r->mode, r->uid,
                      r->gid, r->name);
        buffer_append(&j->now, "", 1);
        if (has_content(r->kind)) {
                buffer_append(&j->now, r->content, r->number);
                buffer_append(&j->now, "", 1);
        }
}

static int add(struct journal *j, const struct record *r, struct error *err)
{
        add_record(j, r);
        return j->now.failed ? error_oom(err) : 0;
}

/* Once for all that will be in it. */
static int add_absent(struct journal *j, const char *path, struct error *err)
{
        if (j->absent && streq(j->absent, path))
                return 0;
        free(j->absent);
        j->absent = strdup(path);
        return j->absent ? add(j, &(struct record){ .kind = KIND_ABSENT, .name = path }, err)
                         : error_oom(err);
}

/* Calls fn for each record of the kinds. */
static int for_records(const struct journal *j, const struct buffer *records, const char *kinds,
                       int (*fn)(struct journal *j, const struct record *r, struct error *err),
                       struct error *err)
{
        const char *at = records->data, *end = at ? at + records->size : NULL;
        struct record record;
        int r;

        if (!at)
                return 0;
        while ((r = next_record(&at, end, &record, err)) > 0) {
                r = strchr(kinds, record.kind) ? fn((struct journal *)j, &record, err) : 0;
                if (r < 0)
                        return r;
        }
        return r;
}

/* ---- noting ---- */

/* The first component of the path that is not there: 1, or 0 when all of it is. What cannot be
 * looked at is not absent: undoing would remove it. */
static int first_absent(const struct root *root, const char *path, char ret[PATH_MAX],
                        struct error *err)
{
        struct stat st;
        size_t n = strlen(path);
        int r;

        if (n >= PATH_MAX)
                return error_code(err, -ENAMETOOLONG, "/%.80s…", path);
        memcpy(ret, path, n + 1);
        for (size_t i = 1; i <= n; i++) {
                if (path[i] != '/' && path[i] != '\0')
                        continue;
                ret[i] = '\0';
                r = root_knows(root, ret) ? 1 : root_find(root, ret, &st, err);
                if (r <= 0)
                        return r < 0 ? r : 1;
                ret[i] = path[i];
        }
        return 0;
}

int journal_note(struct journal *j, const char *path, bool replaced, struct error *err)
{
        struct record record = { .kind = replaced ? KIND_REPLACED : KIND_KEPT, .name = path };
        char absent[PATH_MAX];
        struct stat st;
        int r = first_absent(j->root, path, absent, err);

        if (r < 0)
                return error_prefix(err, r, "noting what is there");
        if (r > 0)
                return add_absent(j, absent, err);
        r = root_find(j->root, path, &st, err);
        if (r <= 0)
                return r < 0 ? r : error_code(err, -ENOENT, "/%s", path);
        record.number = (uint64_t)st.st_size;
        record.mode = st.st_mode & 07777;
        record.uid = st.st_uid;
        record.gid = st.st_gid;
        return add(j, &record, err);
}

int journal_note_move(struct journal *j, const char *from, const char *to, struct error *err)
{
        return add(j,
                   &(struct record){
                           .kind = KIND_MOVED, .number = strlen(to), .name = from, .content = to },
                   err);
}

int journal_note_text(struct journal *j, const char *path, struct error *err)
{
        _cleanup_free_ char *text = NULL;
        struct stat st;
        int r;

        r = root_read_resolved(j->root, path, &st, &text, err);
        if (r < 0)
                return r;
        if (!text)
                return journal_note(j, path, false, err);
        return add(j,
                   &(struct record){ .kind = KIND_TEXT,
                                     .number = strlen(text),
                                     .mode = st.st_mode & 07777,
                                     .uid = st.st_uid,
                                     .gid = st.st_gid,
                                     .name = path,
                                     .content = text },
                   err);
}

int journal_note_enabled(struct journal *j, const char *unit, struct error *err)
{
        return add(j, &(struct record){ .kind = KIND_ENABLED, .name = unit }, err);
}

bool journal_was_enabled(const struct journal *j, const char *unit)
{
        const char *at = j->now.data, *end = at + j->now.size;
        struct record record;

        while (next_record(&at, end, &record, NULL) > 0)
                if (record.kind == KIND_ENABLED && streq(record.name, unit))
                        return true;
        return false;
}

int journal_for_paths(const struct journal *j,
                      int (*fn)(const char *path, bool absent, void *userdata), void *userdata)
{
        static const char kinds[] = { KIND_ABSENT, KIND_KEPT, KIND_REPLACED, KIND_TEXT, 0 };
        const struct buffer *const texts[] = { &j->before, &j->now };

        for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
                const char *at = texts[i]->data, *end = at ? at + texts[i]->size : NULL;
                struct record record;

                while (at && next_record(&at, end, &record, NULL) > 0) {
                        int r = strchr(kinds, record.kind)
                                        ? fn(record.name, record.kind == KIND_ABSENT, userdata)
                                        : 0;

                        if (r != 0)
                                return r;
                }
        }
        return 0;
}

/* ---- undoing ---- */

static int move_back(struct journal *j, const struct record *r, struct error *err)
{
        _cleanup_place_ struct place from = PLACE_NULL, to = PLACE_NULL;
        struct stat st;
        int code = root_find(j->root, r->name, &st, err);

        if (code != 0)
                return code < 0 ? code : 0;
        code = root_find(j->root, r->content, &st, err);
        if (code <= 0)
                return code;
        if (place_make(j->root, r->name, &from, err) < 0 ||
            place_open(j->root, r->content, &to, err) < 0)
                return err->code;
        code = tree_move(&(struct tree_place){ to.dir, to.name },
                         &(struct tree_place){ from.dir, from.name }, err);
        root_forget(j->root, r->content);
        return error_prefix(err, code, "/%s: move back", r->name);
}

/* What was absent is gone again, unless something has been mounted there since. */
static int remove_new(struct journal *j, const char *path, struct error *err)
{
        _cleanup_place_ struct place place = PLACE_NULL;
        struct stat st, parent;
        int r = root_find(j->root, path, &st, err);

        if (r <= 0)
                return r;
        if (place_make(j->root, path, &place, err) < 0)
                return err->code;
        if (fstat(place.dir, &parent) < 0)
                return error_errno(err, "/%s", path);
        if (S_ISDIR(st.st_mode) && st.st_dev != parent.st_dev)
                return 0;
        r = path_remove_tree(place.dir, place.name, err);
        root_forget(j->root, path);
        return r;
}

static int give_back(struct journal *j, const struct record *r, struct error *err)
{
        _cleanup_place_ struct place place = PLACE_NULL;
        _cleanup_close_ int fd = -1;
        struct stat st;
        int code = root_find(j->root, r->name, &st, err);

        if (code <= 0)
                return code;
        if (place_make(j->root, r->name, &place, err) < 0)
                return err->code;
        if (fchownat(place.dir, place.name, r->uid, r->gid, AT_SYMLINK_NOFOLLOW) < 0)
                return error_errno(err, "/%s: owner", r->name);
        if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
                return 0;
        fd = root_open_path(j->root, r->name, S_ISREG(st.st_mode) ? O_RDWR : O_RDONLY, err);
        if (fd < 0)
                return fd;
        if (fchmod(fd, r->mode) < 0)
                return error_errno(err, "/%s: mode", r->name);
        if (S_ISREG(st.st_mode) && (uint64_t)st.st_size > r->number &&
            ftruncate(fd, (off_t)r->number) < 0)
                return error_errno(err, "/%s: size", r->name);
        return 0;
}

static int undo_path(struct journal *j, const struct record *r, struct error *err)
{
        int code = root_sweep(j->root, r->name, err);

        if (code >= 0 && r->kind == KIND_ABSENT)
                code = remove_new(j, r->name, err);
        if (code >= 0 && r->kind == KIND_KEPT)
                code = give_back(j, r, err);
        return code;
}

static int restore_text(struct journal *j, const struct record *r, struct error *err)
{
        _cleanup_place_ struct place place = PLACE_NULL;
        _cleanup_draft_ struct draft draft = DRAFT_NULL;
        int code;

        code = root_sweep(j->root, r->name, err);
        if (code >= 0)
                code = place_make(j->root, r->name, &place, err);
        if (code >= 0)
                code = draft_open(&draft, place.dir, place.name, 0600, err);
        if (code >= 0)
                code = io_write(draft.fd, r->content, r->number, err);
        if (code >= 0)
                code = draft_own(&draft, r->uid, r->gid, r->mode, err);
        return code < 0 ? code : draft_publish(&draft, err);
}

int journal_undo(struct journal *j, struct error *err)
{
        int r;

        r = for_records(j, &j->before, (const char[]){ KIND_MOVED, 0 }, move_back, err);
        if (r >= 0)
                r = for_records(j, &j->before,
                                (const char[]){ KIND_ABSENT, KIND_KEPT, KIND_REPLACED, 0 },
                                undo_path, err);
        if (r >= 0)
                r = for_records(j, &j->before, (const char[]){ KIND_TEXT, 0 }, restore_text, err);
        if (r >= 0)
                r = root_sync(j->root, err);
        return error_prefix(err, r, "undoing the attempt that was cut off");
}

/* ---- the file ---- */

static uint64_t result_mark(const struct journal *j)
{
        struct stat st;

        return root_stat(j->root, j->result, &st) ? 1 + (uint64_t)st.st_size : 0;
}

/* What outlasts an attempt goes over into the new journal. */
static int keep_record(struct journal *j, const struct record *r, struct error *err)
{
        return add(j, r, err);
}

static int load(struct journal *j, struct error *err)
{
        _cleanup_place_ struct place place = PLACE_NULL;
        _cleanup_free_ char *text = NULL;
        struct stat st;
        size_t size;
        int r;

        r = root_find(j->root, j->path, &st, err);
        if (r <= 0)
                return r;
        r = place_open(j->root, j->path, &place, err);
        if (r >= 0)
                r = file_read(place.dir, place.name, JOURNAL_SIZE_MAX, &text, &size, err);
        if (r < 0)
                return r;
        if (!startswith(text, magic))
                return error_set(err, -EINVAL, "%s: not a journal", journal_path);
        buffer_append(&j->before, text + strlen(magic), size - strlen(magic));
        return j->before.failed ? error_oom(err) : 1;
}

static int note_state(struct journal *j, const struct record *r, struct error *err _unused_)
{
        return r->number == result_mark(j) ? 0 : -EALREADY;
}

int journal_open(struct root *root, const char *result_path, struct journal *ret,
                 enum journal_state *ret_state, struct error *err)
{
        int r, found;

        *ret = (struct journal){ .root = root };
        r = root_resolve(root, journal_path, &ret->path, err);
        if (r >= 0)
                r = root_resolve(root, result_path, &ret->result, err);
        if (r >= 0)
                r = root_sweep(root, ret->path, err);
        if (r >= 0)
                r = root_sweep(root, ret->result, err);
        if (r < 0)
                return r;
        found = load(ret, err);
        if (found < 0)
                return found;
        *ret_state = found ? JOURNAL_INTERRUPTED : JOURNAL_NONE;
        r = for_records(ret, &ret->before, (const char[]){ KIND_RESULT, 0 }, note_state, err);
        if (r == -EALREADY)
                *ret_state = JOURNAL_FINISHED;
        else if (r < 0)
                return r;
        r = for_records(ret, &ret->before, (const char[]){ KIND_ENABLED, 0 }, keep_record, err);
        return r < 0 ? r
                     : add(ret,
                           &(struct record){
                                   .kind = KIND_RESULT, .number = result_mark(ret), .name = "" },
                           err);
}

void journal_done(struct journal *j)
{
        buffer_done(&j->before);
        buffer_done(&j->now);
        free(j->absent);
        free(j->path);
        free(j->result);
        *j = (struct journal){};
}

int journal_commit(struct journal *j, struct error *err)
{
        _cleanup_place_ struct place place = PLACE_NULL;
        _cleanup_buffer_ struct buffer text = {};
        int r;

        buffer_puts(&text, magic);
        buffer_append(&text, j->now.data, j->now.size);
        if (text.failed || j->now.failed)
                return error_oom(err);
        r = place_make(j->root, j->path, &place, err);
        return r < 0 ? r : file_write(place.dir, place.name, text.data, text.size, 0600, err);
}

int journal_remove(struct journal *j, struct error *err)
{
        return root_remove(j->root, j->path, err);
}
