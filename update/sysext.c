/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See sysext.h. */

#include <fcntl.h>

#include "extension-index.h"
#include "io.h"
#include "strv.h"
#include "sysext.h"

enum { TEXT_MAX = 64 * 1024, PROBLEMS_MAX = 256 };

#define PREFIX "extension-release."
#define INSIDE "usr/lib/extension-release.d"

static const char *const places[] = { "/etc/extensions", "/var/lib/extensions", "/run/extensions" };

/* The value of a key without quotes; NULL: none. */
static char *value_of(char *const *lines, const char *key)
{
        for (; lines && *lines; lines++) {
                const char *value = startswith(*lines, key);

                if (value && *value == '=') {
                        value += 1 + strspn(value + 1, "\"'");
                        return strndup(value, strcspn(value, "\"'"));
                }
        }
        return NULL;
}

int sysext_fits(const char *text, const struct release *release, const char *version_id,
                char **ret_reason, struct error *err)
{
        _cleanup_free_ char *id = NULL, *level = NULL, *version = NULL;
        _cleanup_strv_ char **lines = NULL;
        const struct extension_host host = {
                .levels = release->sysext_levels,
                .version_ids = { version_id, release->version },
        };

        if (strv_split(text, "\n", &lines) < 0)
                return error_oom(err);
        id = value_of(lines, "ID");
        level = value_of(lines, "SYSEXT_LEVEL");
        version = value_of(lines, "VERSION_ID");
        return extension_fits(&(struct extension_match){ id, level, version }, &host, ret_reason,
                              err);
}

static int add_problem(struct sysext_problems *p, const char *name, char *reason, struct error *err)
{
        _cleanup_free_ char *copy = strdup(name);

        for (size_t i = 0; i < p->count; i++)
                if (streq(p->items[i].name, name) || p->count == PROBLEMS_MAX) {
                        free(reason);
                        return 0;
                }
        if (!copy || array_reserve(&p->items, &p->capacity, p->count + 1, sizeof(*p->items)) < 0) {
                free(reason);
                return error_oom(err);
        }
        p->items[p->count++] = (struct sysext_problem){ TAKE_PTR(copy), reason };
        return 0;
}

static int check_file(const struct host *h, const struct release *release, int dir_fd,
                      const char *file, struct sysext_problems *p, struct error *err)
{
        const char *name = startswith(file, PREFIX);
        _cleanup_free_ char *text = NULL;
        char *reason;
        int r;

        if (!name)
                return 0;
        r = file_read(dir_fd, file, TEXT_MAX, &text, NULL, err);
        if (r >= 0)
                r = sysext_fits(text, release, h->release.version_id, &reason, err);
        return r >= 0 && reason ? add_problem(p, name, reason, err) : r;
}

/* The extension-release.d of one extension, or of all that are merged. */
static int check_directory(const struct host *h, const struct release *release, int at,
                           const char *path, struct sysext_problems *p, struct error *err)
{
        int fd = openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_closedir_ DIR *dir = fd < 0 ? NULL : fdopendir(fd);
        struct dirent *entry;
        int r = 0;

        if (!dir)
                return errno == ENOENT || errno == ENOTDIR ? 0 : error_errno(err, "%s", path);
        while (r >= 0 && (entry = readdir(dir)))
                r = check_file(h, release, fd, entry->d_name, p, err);
        return error_prefix(err, r, "%s", path);
}

static int check_place(const struct host *h, const struct release *release, const char *place,
                       struct sysext_problems *p, struct error *err)
{
        _cleanup_free_ char *path = host_path(&h->places, place);
        _cleanup_closedir_ DIR *dir = path ? opendir(path) : NULL;
        struct dirent *entry;
        int r = 0;

        if (!dir)
                return !path ? error_oom(err) : errno == ENOENT ? 0 : error_errno(err, "%s", path);
        while (r >= 0 && (entry = readdir(dir))) {
                _cleanup_free_ char *inside = string_format("%s/" INSIDE, entry->d_name);

                if (entry->d_name[0] == '.')
                        continue;
                r = inside ? check_directory(h, release, dirfd(dir), inside, p, err)
                           : error_oom(err);
        }
        return error_prefix(err, r, "%s", path);
}

int sysext_check(const struct host *h, const struct release *release, struct sysext_problems *ret,
                 struct error *err)
{
        _cleanup_(sysext_problems_done) struct sysext_problems p = {};
        _cleanup_free_ char *merged = host_path(&h->places, "/" INSIDE);
        int r = merged ? check_directory(h, release, AT_FDCWD, merged, &p, err) : error_oom(err);

        for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(places); i++)
                r = check_place(h, release, places[i], &p, err);
        if (r >= 0)
                *ret = TAKE_STRUCT(p);
        return r;
}

void sysext_problems_done(struct sysext_problems *p)
{
        for (size_t i = 0; i < p->count; i++) {
                free(p->items[i].name);
                free(p->items[i].reason);
        }
        free(p->items);
        *p = (struct sysext_problems){};
}
