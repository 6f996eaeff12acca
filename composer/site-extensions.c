/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See site-extensions.h. A file has its name when all of it is on the disk, then the index names
 * it, then the signature is of that index. In between, machines find an index without a good
 * signature and believe none: the publisher that was killed is run again. */

#include <fcntl.h>

#include "io.h"
#include "site-extensions.h"
#include "site-seal.h"
#include "strv.h"

#define EXTENSIONS_NAME "extensions"
#define SUFFIX          ".raw"

enum { FILE_NAME_SIZE = SHA256_HEX_SIZE + sizeof(SUFFIX) - 1 };

static char *file_name(const struct sha256 *digest, char ret[FILE_NAME_SIZE])
{
        char hex[SHA256_HEX_SIZE];

        snprintf(ret, FILE_NAME_SIZE, "%s" SUFFIX, sha256_hex(digest, hex));
        return ret;
}

/* ---- the description ---- */

struct description {
        struct extension_entry entry;
        char *architecture;
};

static void description_done(void *object)
{
        struct description *d = object;

        extension_entry_done(&d->entry);
        free(d->architecture);
        d->architecture = NULL;
}

#define MEMBER(member) offsetof(struct description, member)

static const struct record description_record = {
        "extension",
        sizeof(struct description),
        (const struct field[]){
                { "extension", field_string, MEMBER(entry.name), FIELD_MANDATORY, "", NULL },
                { "version", field_string, MEMBER(entry.version), FIELD_MANDATORY, "", NULL },
                { "architecture", field_string, MEMBER(architecture), FIELD_MANDATORY, "", NULL },
                { "id", field_string, MEMBER(entry.match.id), 0, "", NULL },
                { "level", field_string, MEMBER(entry.match.level), 0, "", NULL },
                { "versionId", field_string, MEMBER(entry.match.version_id), 0, "", NULL },
                { "sha256", field_digest, MEMBER(entry.sha256), FIELD_MANDATORY, "", NULL },
                { "size", field_uint, MEMBER(entry.size), FIELD_MANDATORY, "", NULL },
                {},
        },
        description_done,
        NULL,
};

static int load_description(const char *file, struct description *ret, struct error *err)
{
        size_t n = endswith(file, SUFFIX) ? strlen(file) - strlen(SUFFIX) : 0;
        _cleanup_free_ char *path = string_format("%.*s.json", (int)n, file);
        _cleanup_json_ struct json_document d = {};
        int r;

        if (n == 0)
                return error_set(err, -EINVAL, "%s: not a *" SUFFIX, file);
        r = path ? json_load_file(AT_FDCWD, path, &d, err) : error_oom(err);
        if (r < 0)
                return r;
        record_drop_unknown(d.root, &description_record);
        return record_decode(&d, d.root, &description_record, ret, err);
}

int site_extension_architecture(const char *file, char **ret, struct error *err)
{
        _cleanup_(description_done) struct description d = {};
        int r = load_description(file, &d, err);

        if (r >= 0 && !channel_name_valid(d.architecture)) /* part of a path */
                r = error_set(err, -EINVAL, "%s: bad architecture", file);
        if (r >= 0)
                *ret = TAKE_PTR(d.architecture);
        return r;
}

/* ---- the file ---- */

static int copy(int fd, int dir_fd, const struct extension_entry *e, struct error *err)
{
        _cleanup_draft_ struct draft draft = DRAFT_NULL;
        char name[FILE_NAME_SIZE];
        struct sha256 digest;
        int r = draft_open(&draft, dir_fd, file_name(&e->sha256, name), 0644, err);

        if (r >= 0 && ftruncate(draft.fd, (off_t)e->size) < 0)
                r = error_errno(err, "%s", name);
        if (r >= 0)
                r = io_copy(fd, 0, draft.fd, 0, e->size, err);
        if (r >= 0)
                r = sha256_fd(draft.fd, 0, e->size, &digest, err);
        if (r >= 0 && !sha256_equal(&digest, &e->sha256))
                r = error_set(err, -EBADMSG, "not the file that its description is of");
        return r < 0 ? r : draft_publish(&draft, err);
}

static int put_file(int dir_fd, const char *file, const struct extension_entry *e,
                    bool *ret_changed, struct error *err)
{
        _cleanup_close_ int fd = open(file, O_RDONLY | O_CLOEXEC);
        char name[FILE_NAME_SIZE];
        struct stat st;
        int r;

        if (fd < 0 || fstat(fd, &st) < 0)
                return error_errno(err, "%s", file);
        if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size != e->size)
                return error_set(err, -EBADMSG, "%s: not the file that its description is of",
                                 file);
        if (faccessat(dir_fd, file_name(&e->sha256, name), F_OK, 0) == 0)
                return 0;
        r = copy(fd, dir_fd, e, err);
        if (r >= 0)
                *ret_changed = true;
        return error_prefix(err, r, "%s", file);
}

/* ---- the index ---- */

/* One that is not there is empty. */
static int load_index(int dir_fd, struct extension_index *ret, struct error *err)
{
        _cleanup_free_ char *text = NULL;
        size_t size;
        int r;

        if (faccessat(dir_fd, EXTENSION_INDEX_NAME, F_OK, 0) < 0 && errno == ENOENT)
                return 0;
        r = file_read(dir_fd, EXTENSION_INDEX_NAME, EXTENSION_INDEX_MAX, &text, &size, err);
        return r < 0 ? r : extension_index_parse(EXTENSION_INDEX_NAME, text, size, ret, err);
}

static int name_index(const struct site_extensions *x, struct extension_index *index,
                      struct error *err)
{
        if (index->image)
                return 0;
        index->format = EXTENSION_INDEX_FORMAT;
        index->image = strdup(x->image);
        index->architecture = strdup(x->architecture);
        index->channel = strdup(x->channel);
        return index->image && index->architecture && index->channel ? 0 : error_oom(err);
}

/* What machines would refuse is not written. */
static int save_index(int dir_fd, const struct site_extensions *x,
                      const struct extension_index *index, bool *ret_changed, struct error *err)
{
        _cleanup_extension_index_ struct extension_index again = {};
        _cleanup_free_ char *text = NULL, *old = NULL;
        struct error ignored;
        size_t size;
        int r = extension_index_text(index, &text, err);

        if (r >= 0)
                r = extension_index_parse(EXTENSION_INDEX_NAME, text, strlen(text), &again, err);
        if (r < 0)
                return r;
        if (file_read(dir_fd, EXTENSION_INDEX_NAME, EXTENSION_INDEX_MAX, &old, &size, &ignored) <
                    0 ||
            !streq(old, text)) {
                *ret_changed = true;
                r = file_write(dir_fd, EXTENSION_INDEX_NAME, text, strlen(text), 0644, err);
        }
        return r < 0 ? r
                     : site_seal_save(x->keys, dir_fd, EXTENSION_INDEX_NAME, text, strlen(text),
                                      ret_changed, err);
}

static int check_entry(const struct site_extensions *x, const struct extension_index *index,
                       const struct description *d, struct error *err)
{
        const struct extension_entry *e = &d->entry;

        if (!streq(d->architecture, x->architecture))
                return error_set(err, -EINVAL, "is for %s, the channel for %s", d->architecture,
                                 x->architecture);
        for (size_t i = 0; i < index->entries.count; i++) {
                const struct extension_entry *there = &extension_entries(index)[i];

                if (streq(there->name, e->name) && streq(there->version, e->version) &&
                    !sha256_equal(&there->sha256, &e->sha256))
                        return error_set(err, -EEXIST,
                                         "the channel has version %s already, with other bytes",
                                         e->version);
        }
        return 0;
}

static int add(int files_fd, const struct site_extensions *x, struct extension_index *index,
               const char *file, bool *ret_changed, struct error *err)
{
        _cleanup_(description_done) struct description d = {};
        int r = load_description(file, &d, err);

        if (r < 0)
                return r;
        r = check_entry(x, index, &d, err);
        if (r < 0)
                return error_prefix(err, r, "%s", file);
        r = put_file(files_fd, file, &d.entry, ret_changed, err);
        return r < 0 ? r : extension_index_add(index, &d.entry, err);
}

int site_extensions_add(int site_fd, const struct site_extensions *x, bool *ret_changed,
                        struct error *err)
{
        _cleanup_extension_index_ struct extension_index index = {};
        _cleanup_close_ int files_fd = -1, fd = path_open_dir(site_fd, x->path, 0755, err);
        int r = 0;

        if (fd < 0)
                return fd;
        files_fd = path_open_dir(site_fd, EXTENSIONS_NAME, 0755, err);
        if (files_fd < 0)
                return files_fd;
        drafts_sweep(files_fd);
        r = load_index(fd, &index, err);
        if (r >= 0)
                r = name_index(x, &index, err);
        for (char *const *file = x->files; r >= 0 && *file; file++)
                r = add(files_fd, x, &index, *file, ret_changed, err);
        if (r >= 0)
                r = save_index(fd, x, &index, ret_changed, err);
        return error_prefix(err, r, "extensions");
}

/* ---- pruning ---- */

int site_extensions_need(int site_fd, const char *path, struct site_extensions_needed *n,
                         struct error *err)
{
        _cleanup_close_ int fd = openat(site_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_extension_index_ struct extension_index index = {};
        int r = fd < 0 ? error_errno(err, "%s", path) : load_index(fd, &index, err);

        if (r < 0)
                return error_prefix(err, r, "%s", path);
        if (array_reserve(&n->items, &n->capacity, n->count + index.entries.count + 1,
                          sizeof(*n->items)) < 0)
                return error_oom(err);
        for (size_t i = 0; i < index.entries.count; i++)
                n->items[n->count++] = extension_entries(&index)[i].sha256;
        return 0;
}

static bool is_needed(const struct site_extensions_needed *n, const char *name)
{
        char needed[FILE_NAME_SIZE];

        for (size_t i = 0; i < n->count; i++)
                if (streq(file_name(&n->items[i], needed), name))
                        return true;
        return false;
}

int site_extensions_prune(int site_fd, const struct site_extensions_needed *n, uint64_t *ret,
                          struct error *err)
{
        int fd = openat(site_fd, EXTENSIONS_NAME, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_closedir_ DIR *dir = fd < 0 ? NULL : fdopendir(fd);
        const struct dirent *entry;

        if (fd < 0)
                return errno == ENOENT ? 0 : error_errno(err, EXTENSIONS_NAME);
        if (!dir) {
                close_p(&fd);
                return error_errno(err, EXTENSIONS_NAME);
        }
        while ((entry = readdir(dir))) {
                if (*entry->d_name == '.' || !endswith(entry->d_name, SUFFIX) ||
                    is_needed(n, entry->d_name))
                        continue;
                if (unlinkat(fd, entry->d_name, 0) < 0 && errno != ENOENT)
                        return error_errno(err, EXTENSIONS_NAME "/%s", entry->d_name);
                (*ret)++;
        }
        return 0;
}
