/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See module-set.h. */

#include <fcntl.h>

#include "io.h"
#include "module-set.h"
#include "strv.h"

enum { DEPTH_MAX = 32 };

bool module_is(const char *name)
{
        return endswith(name, MODULE_SUFFIX) && strlen(name) > strlen(MODULE_SUFFIX);
}

int module_set_add(struct module_set *s, const char *path, const struct sha256 *digest,
                   struct error *err)
{
        char *copy;

        if (s->count >= MODULES_MAX)
                return error_set(err, -E2BIG, "more than %d kernel modules", MODULES_MAX);
        if (strlen(path) > MODULE_PATH_MAX)
                return error_set(err, -E2BIG, "%s: path of a module longer than %d bytes", path,
                                 MODULE_PATH_MAX);
        copy = strdup(path);
        if (!copy || array_reserve(&s->items, &s->capacity, s->count + 1, sizeof(*s->items)) < 0) {
                free(copy);
                return error_oom(err);
        }
        s->items[s->count++] = (struct module){ .path = copy, .digest = *digest };
        return 0;
}

static int compare(const void *a, const void *b)
{
        return strcmp(((const struct module *)a)->path, ((const struct module *)b)->path);
}

int module_set_close(struct module_set *s, struct error *err)
{
        _cleanup_buffer_ struct buffer list = {};
        char hex[SHA256_HEX_SIZE];

        if (s->count > 0)
                qsort(s->items, s->count, sizeof(*s->items), compare);
        for (size_t i = 0; i < s->count; i++)
                buffer_printf(&list, "%s  %s\n", sha256_hex(&s->items[i].digest, hex),
                              s->items[i].path);
        if (list.failed)
                return error_oom(err);
        sha256_of(list.data ?: "", list.size, &s->digest);
        return 0;
}

void module_set_done(struct module_set *s)
{
        for (size_t i = 0; i < s->count; i++)
                free(s->items[i].path);
        free(s->items);
        *s = (struct module_set){};
}

/* ---- from a directory ---- */

static int add_file(struct module_set *s, int dir_fd, const char *name, const char *path,
                    struct error *err)
{
        _cleanup_close_ int fd =
                openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        struct sha256 digest;
        struct stat st;
        int r;

        if (fd < 0 && errno == ELOOP) /* a symlink is no module */
                return 0;
        if (fd < 0 || fstat(fd, &st) < 0)
                return error_errno(err, "%s", path);
        if (!S_ISREG(st.st_mode))
                return 0;
        r = sha256_fd(fd, 0, UINT64_MAX, &digest, err);
        return r < 0 ? error_prefix(err, r, "%s", path) : module_set_add(s, path, &digest, err);
}

static int add_directory(struct module_set *s, int dir_fd, const char *name, const char *path,
                         unsigned depth, struct error *err);

static int add_entry(struct module_set *s, int dir_fd, const char *name, const char *path,
                     unsigned depth, struct error *err)
{
        _cleanup_free_ char *below = *path ? string_format("%s/%s", path, name) : strdup(name);

        if (!below)
                return error_oom(err);
        return module_is(name) ? add_file(s, dir_fd, name, below, err)
                               : add_directory(s, dir_fd, name, below, depth, err);
}

/* What is no directory is passed over. */
static int add_directory(struct module_set *s, int dir_fd, const char *name, const char *path,
                         unsigned depth, struct error *err)
{
        int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), r = 0;
        _cleanup_closedir_ DIR *dir = fd < 0 ? NULL : fdopendir(fd);

        if (fd < 0 && (errno == ENOTDIR || errno == ELOOP || errno == ENOENT))
                return 0;
        if (!dir) {
                r = error_errno(err, "%s", path);
                close_p(&fd);
                return r;
        }
        if (depth == 0)
                return error_set(err, -ELOOP, "%s: too many directories in each other", path);
        for (;;) {
                const struct dirent *entry;

                errno = 0;
                entry = readdir(dir);
                if (!entry)
                        return errno == 0 ? 0 : error_errno(err, "%s", path);
                if (streq(entry->d_name, ".") || streq(entry->d_name, ".."))
                        continue;
                r = add_entry(s, dirfd(dir), entry->d_name, path, depth - 1, err);
                if (r < 0)
                        return r;
        }
}

int module_set_load(int dir_fd, const char *path, struct module_set *ret, struct error *err)
{
        _cleanup_module_set_ struct module_set set = {};
        int r = add_directory(&set, dir_fd, path, "", DEPTH_MAX, err);

        if (r >= 0)
                r = module_set_close(&set, err);
        if (r < 0)
                return error_prefix(err, r, "%s", path);
        *ret = TAKE_STRUCT(set);
        return 0;
}
