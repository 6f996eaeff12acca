/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Which files somebody changed in /etc that the offered release changes as well. A file's checksum
 * in OSTree is over content, owner, mode and extended attributes, so that of /usr/etc here, taken
 * from the disk, is what the running release's tree says; the offered release's is in its directory
 * objects, which are small and checked by their own names, beginning with the signed commit's. */

#include <fcntl.h>
#include <ostree.h>

#undef MIN /* ours evaluate their arguments once */
#undef MAX

#include "io.h"
#include "request.h"
#include "site-internal.h"
#include "strv.h"

struct etc {
        const char *site;
        int here_fd, pristine_fd; /* /etc, /usr/etc */
        GHashTable *directories;  /* checksum in hex → GBytes */
        struct sha256 root;       /* of the release's /usr/etc */
        char **candidates;
        size_t files;
};

static void etc_done(struct etc *e)
{
        close_p(&e->here_fd);
        close_p(&e->pristine_fd);
        g_clear_pointer(&e->directories, g_hash_table_unref);
        strv_free(e->candidates);
}

/* ---- what was changed here ---- */

static bool same_content(int a_fd, int b_fd, const char *path, uint64_t size)
{
        _cleanup_close_ int a = openat(a_fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW),
                            b = openat(b_fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        struct sha256 x, y;

        return a >= 0 && b >= 0 && sha256_fd(a, 0, size, &x, NULL) >= 0 &&
               sha256_fd(b, 0, size, &y, NULL) >= 0 && sha256_equal(&x, &y);
}

static bool same_target(int a_fd, int b_fd, const char *path)
{
        _cleanup_free_ char *a = NULL, *b = NULL;

        return path_readlink(a_fd, path, &a, NULL) >= 0 &&
               path_readlink(b_fd, path, &b, NULL) >= 0 && streq(a, b);
}

static bool is_pristine(const struct etc *e, const char *path)
{
        struct stat a, b;

        if (fstatat(e->here_fd, path, &a, AT_SYMLINK_NOFOLLOW) < 0 ||
            fstatat(e->pristine_fd, path, &b, AT_SYMLINK_NOFOLLOW) < 0)
                return false;
        if (a.st_mode != b.st_mode || a.st_uid != b.st_uid || a.st_gid != b.st_gid)
                return false;
        if (S_ISLNK(a.st_mode))
                return same_target(e->here_fd, e->pristine_fd, path);
        return S_ISREG(a.st_mode) && a.st_size == b.st_size &&
               same_content(e->here_fd, e->pristine_fd, path, (uint64_t)a.st_size);
}

static int walk(struct etc *e, int top_fd, const char *path, unsigned depth, struct error *err);

static int walk_entry(struct etc *e, int top_fd, const char *path, unsigned depth,
                      struct error *err)
{
        struct stat st;

        if (fstatat(top_fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return 0;
        if (S_ISDIR(st.st_mode))
                return walk(e, top_fd, path, depth + 1, err);
        if (++e->files > SITE_ETC_FILES_MAX)
                return error_set(err, -E2BIG, "more than %d files", SITE_ETC_FILES_MAX);
        if ((!S_ISREG(st.st_mode) && !S_ISLNK(st.st_mode)) || is_pristine(e, path) ||
            strv_contains(e->candidates, path))
                return 0;
        return strv_extend(&e->candidates, path) < 0 ? error_oom(err) : 0;
}

static int walk(struct etc *e, int top_fd, const char *path, unsigned depth, struct error *err)
{
        int fd =
                openat(top_fd, *path ? path : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        _cleanup_closedir_ DIR *dir = fd < 0 ? NULL : fdopendir(fd);
        struct dirent *entry;
        int r = 0;

        if (!dir || depth > SITE_ETC_DEPTH_MAX)
                return error_set(err, -EIO, "/etc/%s: cannot be read", path);
        while (r >= 0 && (entry = readdir(dir))) {
                _cleanup_free_ char *below =
                        string_format("%s%s%s", path, *path ? "/" : "", entry->d_name);

                if (streq(entry->d_name, ".") || streq(entry->d_name, ".."))
                        continue;
                r = below ? walk_entry(e, top_fd, below, depth, err) : error_oom(err);
        }
        return r;
}

/* ---- what the release has ---- */

static int fetch_directory(struct etc *e, const struct sha256 *checksum, GBytes **ret,
                           struct error *err)
{
        _cleanup_free_ char *url = NULL;
        char hex[SHA256_HEX_SIZE], *data;
        struct sha256 digest;
        size_t size;
        int r;

        *ret = g_hash_table_lookup(e->directories, sha256_hex(checksum, hex));
        if (*ret)
                return 0;
        url = string_format("%s/repo/objects/%.2s/%s.dirtree", e->site, hex, hex + 2);
        if (!url)
                return error_oom(err);
        r = request_run(&(struct request){ .url = url, .limit = SITE_DIRTREE_MAX }, &data, &size,
                        err);
        if (r < 0)
                return r;
        *ret = g_bytes_new_with_free_func(data, size, free, data);
        g_hash_table_insert(e->directories, g_strdup(hex), *ret);
        sha256_of(data, size, &digest);
        return sha256_equal(&digest, checksum) ? 0 : error_set(err, -EBADMSG, "%s: not that", url);
}

/* 1: found. */
static int find_in(struct etc *e, const struct sha256 *directory, const char *name,
                   bool is_directory, struct sha256 *ret, struct error *err)
{
        GBytes *bytes;
        const void *data;
        gsize size;
        int r = fetch_directory(e, directory, &bytes, err);

        if (r < 0)
                return r;
        data = g_bytes_get_data(bytes, &size);
        return site_directory_find(data, size, name, is_directory, ret, err);
}

/* 1: the release has this file of /etc. */
static int find_file(struct etc *e, const char *path, struct sha256 *ret, struct error *err)
{
        struct sha256 at = e->root;
        _cleanup_strv_ char **parts = NULL;
        int r = strv_split(path, "/", &parts) < 0 ? error_oom(err) : 1;

        for (size_t i = 0; r > 0 && parts[i]; i++)
                r = find_in(e, &at, parts[i], parts[i + 1] != NULL, &at, err);
        if (r > 0)
                *ret = at;
        return r;
}

/* The tree's root is /, or /usr. */
static int find_root(struct etc *e, OstreeRepo *repo, const struct sha256 *commit,
                     struct error *err)
{
        g_autoptr(GVariant) object = NULL;
        char hex[SHA256_HEX_SIZE];
        int r;

        if (!ostree_repo_load_variant(repo, OSTREE_OBJECT_TYPE_COMMIT, sha256_hex(commit, hex),
                                      &object, NULL))
                return error_set(err, -ENOENT, "commit %.12s is not there", hex);
        r = site_commit_tree(g_variant_get_data(object), g_variant_get_size(object), &e->root, err);
        if (r >= 0)
                r = find_in(e, &e->root, "usr", true, &e->root, err);
        if (r >= 0)
                r = find_in(e, &e->root, "etc", true, &e->root, err);
        return r == 0 ? error_set(err, -ENOENT, "the release has no /usr/etc") : r;
}

/* 1: /usr/etc has this file. */
static int checksum_here(const struct etc *e, const char *path, struct sha256 *ret,
                         struct error *err)
{
        g_autofree char *hex = NULL;
        g_autoptr(GError) error = NULL;
        struct stat st;

        if (fstatat(e->pristine_fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return 0;
        if (!ostree_checksum_file_at(e->pristine_fd, path, &st, OSTREE_OBJECT_TYPE_FILE,
                                     OSTREE_CHECKSUM_FLAGS_NONE, &hex, NULL, &error))
                return error_set(err, -EIO, "/usr/etc/%s: %s", path, error->message);
        return hex_decode(hex, ret, SHA256_SIZE) < 0 ? error_set(err, -EIO, "%s", path) : 1;
}

/* 1: the releases differ in it. */
static int differs(struct etc *e, const char *path, struct error *err)
{
        struct sha256 here, there;
        int had = checksum_here(e, path, &here, err), has;

        if (had < 0)
                return had;
        has = find_file(e, path, &there, err);
        if (has < 0)
                return has;
        return had != has || (had && !sha256_equal(&here, &there));
}

static int open_directories(struct etc *e, const char *root, struct error *err)
{
        _cleanup_free_ char *here = string_format("%s/etc", root ?: ""),
                            *pristine = string_format("%s/usr/etc", root ?: "");

        if (!here || !pristine)
                return error_oom(err);
        e->here_fd = open(here, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        e->pristine_fd = open(pristine, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (e->here_fd < 0 || e->pristine_fd < 0)
                return error_errno(err, "%s", e->here_fd < 0 ? here : pristine);
        return 0;
}

int site_etc_conflicts(const char *site, const char *repo_path, const struct sha256 *commit,
                       const char *root, char ***ret, struct error *err)
{
        _cleanup_(etc_done) struct etc e = { .site = site, .here_fd = -1, .pristine_fd = -1 };
        g_autoptr(OstreeRepo) repo = ostree_repo_open_at(AT_FDCWD, repo_path, NULL, NULL);
        _cleanup_strv_ char **conflicts = NULL;
        int r = open_directories(&e, root, err);

        e.directories = g_hash_table_new_full(g_str_hash, g_str_equal, g_free,
                                              (GDestroyNotify)g_bytes_unref);
        if (r >= 0 && !repo)
                r = error_set(err, -ENOENT, "%s: no repository", repo_path);
        if (r >= 0)
                r = walk(&e, e.here_fd, "", 0, err);
        if (r >= 0) /* what was removed here */
                r = walk(&e, e.pristine_fd, "", 0, err);
        if (r >= 0 && e.candidates)
                r = find_root(&e, repo, commit, err);
        for (char **path = e.candidates; r >= 0 && path && *path; path++) {
                r = differs(&e, *path, err);
                if (r > 0 && strv_extend(&conflicts, *path) < 0)
                        r = error_oom(err);
        }
        if (r < 0)
                return error_prefix(err, r, "files of /etc");
        strv_sort(conflicts);
        *ret = TAKE_PTR(conflicts);
        return 0;
}
