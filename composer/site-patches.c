/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See site-patches.h. The signature is written last, so a file that has one is complete; and what
 * one of our keys signed is not made again, as it takes a minute or two of a processor. */

#include <fcntl.h>

#include "io.h"
#include "module-diff.h"
#include "site-patches.h"
#include "site-seal.h"
#include "strv.h"

#define PATCHES_NAME "patches"

enum { SEAL_NAME_SIZE = MODULE_PATCHES_NAME_SIZE + sizeof(FILE_SEAL_SUFFIX) - 1 };

/* ---- one file ---- */

struct side {
        struct tree *tree;
        struct module_set set;
};

static void side_done(struct side *s)
{
        tree_free(s->tree);
        module_set_done(&s->set);
}

static int load_side(const struct site_patches *p, const struct sha256 *commit, struct side *ret,
                     struct error *err)
{
        struct content_store store = site_repo_contents(p->repo);
        char name[SHA256_HEX_SIZE];
        int r;

        r = repo_load_tree(site_repo_commits(p->repo), sha256_hex(commit, name), &ret->tree, err);
        return r < 0 ? r : module_set_of_tree(ret->tree, &store, &ret->set, err);
}

static int make(const struct site_patches *p, const struct sha256 *before, char **ret,
                size_t *ret_size, struct module_diff_counts *ret_counts, struct error *err)
{
        struct content_store store = site_repo_contents(p->repo);
        _cleanup_(side_done) struct side old = {}, new = {};
        int r;

        r = load_side(p, before, &old, err);
        if (r >= 0)
                r = load_side(p, p->commit, &new, err);
        if (r < 0)
                return r;
        return module_diff(&(struct module_diff_input){ old.tree, &store, &old.set },
                           &(struct module_diff_input){ new.tree, &store, &new.set }, p->level, ret,
                           ret_size, ret_counts, err);
}

/* ---- signatures ---- */

/* Reads a file that one of our keys signed; false: there is none, or it is somebody else's. */
static bool load_signed(const struct site_keys *keys, int dir_fd, const char *name, char **ret,
                        size_t *ret_size)
{
        _cleanup_free_ char *data = NULL;
        struct file_seal seal;
        struct error ignored;
        size_t size;

        if (site_seal_load(dir_fd, name, MODULE_PATCHES_SIZE_MAX, &seal, &ignored) < 0 ||
            file_read(dir_fd, name, MODULE_PATCHES_SIZE_MAX, &data, &size, &ignored) < 0 ||
            size != seal.size || !site_seal_holds(keys, &seal, data, size))
                return false;
        *ret = TAKE_PTR(data);
        *ret_size = size;
        return true;
}

/* ---- the releases before ---- */

/* -ENODATA: one that does not say which modules it has; -ENOENT: it was pruned. */
static int load_release(const struct site_patches *p, const struct sha256 *commit,
                        struct release *ret, struct error *err)
{
        _cleanup_free_ char *text = NULL;
        int r = repo_metadata(site_repo_commits(p->repo), commit, COMMIT_RELEASE, &text, err);

        if (r >= 0)
                r = release_parse(COMMIT_RELEASE, text, strlen(text), ret, err);
        if (r >= 0 && memory_is_zero(&ret->modules, sizeof(ret->modules)))
                r = -ENODATA;
        return r;
}

/* Returns 1, or 0 when there is nothing to patch. *dir_fd is -1 until there is something to write.
 */
static int make_into(const struct site_patches *p, const struct sha256 *before, int site_fd,
                     int *dir_fd, const char *name, char **ret, size_t *ret_size, struct error *err)
{
        struct module_diff_counts counts;
        int r = make(p, before, ret, ret_size, &counts, err);

        if (r < 0 || counts.patched == 0)
                return r;
        if (*dir_fd < 0)
                *dir_fd = path_open_dir(site_fd, PATCHES_NAME, 0755, err);
        if (*dir_fd < 0)
                return *dir_fd;
        r = file_write(*dir_fd, name, *ret, *ret_size, 0644, err);
        return r < 0 ? r : 1;
}

static int add_from(const struct site_patches *p, int site_fd, int *dir_fd,
                    const struct sha256 *commit, bool *ret_changed, struct error *err)
{
        _cleanup_release_ struct release before = {};
        char name[MODULE_PATCHES_NAME_SIZE];
        _cleanup_free_ char *data = NULL;
        size_t size;
        int r = load_release(p, commit, &before, err);

        if (r < 0)
                return r == -ENODATA || r == -ENOENT ? 0 : r;
        if (sha256_equal(&before.modules, &p->release->modules))
                return 0;
        r = 1;
        module_patches_name(&before.modules, &p->release->modules, name);
        if (!load_signed(p->keys, *dir_fd, name, &data, &size)) {
                if (p->progress)
                        p->progress(p->userdata, before.kernel, p->release->kernel);
                r = make_into(p, commit, site_fd, dir_fd, name, &data, &size, err);
        }
        return r <= 0 ? r : site_seal_save(p->keys, *dir_fd, name, data, size, ret_changed, err);
}

static int open_directory(int site_fd)
{
        return openat(site_fd, PATCHES_NAME, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

int site_patches_add(int site_fd, const struct site_patches *p, bool *ret_changed,
                     struct error *err)
{
        _cleanup_close_ int fd = open_directory(site_fd);
        size_t done = 0;
        int r = 0;

        if (memory_is_zero(&p->release->modules, sizeof(p->release->modules)))
                return 0;
        for (size_t i = p->channel->releases.count;
             r >= 0 && i-- > 0 && done < SITE_PATCHES_RELEASES;) {
                const struct channel_release *before = &channel_releases(p->channel)[i];

                if (sha256_equal(&before->commit, p->commit))
                        continue;
                r = add_from(p, site_fd, &fd, &before->commit, ret_changed, err);
                done++;
        }
        return error_prefix(err, r, PATCHES_NAME);
}

/* ---- pruning ---- */

/* The new set in a file's name, when it is one of ours. */
static bool parse_name(const char *name, struct sha256 *ret)
{
        char again[SEAL_NAME_SIZE], hex[SHA256_HEX_SIZE] = "";
        struct sha256 old;

        if (strlen(name) < MODULE_PATCHES_NAME_SIZE - 1)
                return false;
        memcpy(hex, name, SHA256_HEX_SIZE - 1);
        if (hex_decode(hex, old.bytes, SHA256_SIZE) < 0)
                return false;
        memcpy(hex, name + SHA256_HEX_SIZE, SHA256_HEX_SIZE - 1);
        if (hex_decode(hex, ret->bytes, SHA256_SIZE) < 0)
                return false;
        module_patches_name(&old, ret, again);
        return startswith(name, again) &&
               (streq(name + strlen(again), "") || streq(name + strlen(again), FILE_SEAL_SUFFIX));
}

static bool is_listed(const struct sha256 *sets, size_t count, const struct sha256 *set)
{
        for (size_t i = 0; i < count; i++)
                if (sha256_equal(&sets[i], set))
                        return true;
        return false;
}

int site_patches_prune(int site_fd, const struct sha256 *new_sets, size_t count, uint64_t *ret,
                       struct error *err)
{
        int fd = open_directory(site_fd);
        _cleanup_closedir_ DIR *dir = fd < 0 ? NULL : fdopendir(fd);
        const struct dirent *entry;
        struct sha256 set;

        if (fd < 0)
                return errno == ENOENT ? 0 : error_errno(err, PATCHES_NAME);
        if (!dir) {
                close_p(&fd);
                return error_errno(err, PATCHES_NAME);
        }
        drafts_sweep(fd);
        while ((entry = readdir(dir))) {
                if (!parse_name(entry->d_name, &set) || is_listed(new_sets, count, &set))
                        continue;
                if (unlinkat(fd, entry->d_name, 0) < 0 && errno != ENOENT)
                        return error_errno(err, PATCHES_NAME "/%s", entry->d_name);
                *ret += !endswith(entry->d_name, FILE_SEAL_SUFFIX);
        }
        return 0;
}
