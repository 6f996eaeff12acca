/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See site-images.h. A directory gets its name when all in it is on the disk, so one that is there
 * is whole. What has a dot in front was left by a publisher that was killed: the site's lock says
 * that there is no other. */

#include <fcntl.h>
#include <limits.h>

#include "block-digests.h"
#include "io.h"
#include "site-images.h"
#include "strv.h"
#include "verity.h"

#define IMAGES_NAME    "images"
#define RELEASE_NAME   "release.json"
#define SIGNATURE_NAME "usr.sig"

/* A part of a release: a range of a file, and what its hash tree must come to. */
struct part {
        const char *name, *tree_name;
        int fd;
        uint64_t offset, size;
        struct uuid uuid;
        const struct sha256 *root_hash;
};

static int create(int dir_fd, const char *name, uint64_t size, int *ret, struct error *err)
{
        _cleanup_close_ int fd = openat(dir_fd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

        if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
                return error_errno(err, "%s", name);
        *ret = TAKE_FD(fd);
        return 0;
}

/* The copy is what is hashed, so what is served is what was checked. */
static int write_part(int dir_fd, const struct part *p, struct error *err)
{
        _cleanup_block_digests_ struct block_digests leaves = {};
        _cleanup_close_ int fd = -1, tree_fd = -1;
        struct sha256 root_hash;
        char hex[SHA256_HEX_SIZE];
        int r;

        r = create(dir_fd, p->name, p->size, &fd, err);
        if (r >= 0)
                r = create(dir_fd, p->tree_name, verity_tree_size(p->size), &tree_fd, err);
        if (r >= 0)
                r = io_copy(p->fd, p->offset, fd, 0, p->size, err);
        if (r >= 0)
                r = block_digests_read(&leaves, fd, 0, p->size, err);
        if (r >= 0)
                r = verity_write(&leaves, &p->uuid, tree_fd, 0, &root_hash, err);
        if (r >= 0 && !sha256_equal(&root_hash, p->root_hash))
                return error_set(err, -EBADMSG, "%s: its root hash is %s, not the release's",
                                 p->name, sha256_hex(&root_hash, hex));
        return error_prefix(err, r, "%s", p->name);
}

/* The beginning of the partition, as long as the release says. */
static int write_signature(int dir_fd, const struct image_source *s, const struct release *r,
                           struct error *err)
{
        _cleanup_free_ char *text = malloc(r->usr_signature_size + 1);
        struct sha256 digest;
        size_t n;
        int result;

        if (!release_signed(r))
                return 0;
        if (!text)
                return error_oom(err);
        result = io_pread(s->disk_fd, text, r->usr_signature_size, s->signature_offset, &n, err);
        if (result < 0)
                return result;
        sha256_of(text, n, &digest);
        if (!sha256_equal(&digest, &r->usr_signature))
                return error_set(err, -EBADMSG, SIGNATURE_NAME ": not the release's");
        return file_write(dir_fd, SIGNATURE_NAME, text, n, 0644, err);
}

static int write_files(int dir_fd, const struct image_source *s, const struct release *r,
                       const char *text, struct error *err)
{
        const struct part parts[] = {
                { "usr.img", "usr.tree", s->disk_fd, s->usr_offset, r->usr_size, s->tree_uuid,
                  &r->root_hash },
                { "uki.efi", "uki.tree", s->uki_fd, 0, r->uki_size, {}, &r->uki_root_hash },
        };
        int result = 0;

        for (size_t i = 0; result >= 0 && i < ARRAY_SIZE(parts); i++)
                result = write_part(dir_fd, &parts[i], err);
        if (result >= 0)
                result = write_signature(dir_fd, s, r, err);
        if (result >= 0)
                result = file_write(dir_fd, RELEASE_NAME, text, strlen(text), 0644, err);
        if (result >= 0 && syncfs(dir_fd) < 0)
                return error_errno(err, "sync");
        return result;
}

static int write_directory(int images_fd, const struct image_source *s, const struct release *r,
                           const char *text, const char *name, struct error *err)
{
        _cleanup_close_ int fd = -1;
        char temp[NAME_MAX + 2];
        int result;

        snprintf(temp, sizeof(temp), ".%s", name);
        fd = path_open_dir(images_fd, temp, 0755, err);
        if (fd < 0)
                return fd;
        result = write_files(fd, s, r, text, err);
        if (result >= 0 && (renameat(images_fd, temp, images_fd, name) < 0 || fsync(images_fd) < 0))
                result = error_errno(err, "publish");
        if (result < 0)
                (void)!path_remove_tree(images_fd, temp, NULL);
        return result;
}

/* The text is for people: a newer composer may say more. */
static int check_directory(int images_fd, const struct release *r, const char *text,
                           const char *name, bool *ret_changed, struct error *err)
{
        _cleanup_close_ int fd = openat(images_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_release_ struct release there = {};
        _cleanup_free_ char *old = NULL;
        size_t size;
        int result;

        if (fd < 0)
                return error_errno(err, "open");
        drafts_sweep(fd);
        result = file_read(fd, RELEASE_NAME, RELEASE_TEXT_MAX, &old, &size, err);
        if (result >= 0)
                result = release_parse(RELEASE_NAME, old, size, &there, err);
        if (result < 0)
                return result;
        if (!sha256_equal(&there.uki_root_hash, &r->uki_root_hash) ||
            !sha256_equal(&there.usr_signature, &r->usr_signature))
                return error_set(err, -EEXIST,
                                 "the site has this image with another %s: it needs another "
                                 "version",
                                 sha256_equal(&there.uki_root_hash, &r->uki_root_hash) ? "signature"
                                                                                       : "UKI");
        if (streq(old, text))
                return 0;
        *ret_changed = true;
        return file_write(fd, RELEASE_NAME, text, strlen(text), 0644, err);
}

static int open_images(int site_fd, struct error *err)
{
        return path_open_dir(site_fd, IMAGES_NAME, 0755, err);
}

/* Loses its name first: what has one is whole. */
static int remove_image(int images_fd, const char *name, struct error *err)
{
        char temp[NAME_MAX + 2];

        if (*name == '.')
                return path_remove_tree(images_fd, name, err);
        snprintf(temp, sizeof(temp), ".%s", name);
        if (renameat(images_fd, name, images_fd, temp) < 0)
                return error_errno(err, "%s", name);
        return path_remove_tree(images_fd, temp, err);
}

/* Removes what is not listed; a NULL list keeps all but what has no name yet. */
static int remove_others(int images_fd, char **keep, uint64_t *ret, struct error *err)
{
        _cleanup_close_ int fd = openat(images_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_closedir_ DIR *dir = fd < 0 ? NULL : fdopendir(fd);
        struct dirent *entry;

        if (!dir)
                return error_errno(err, IMAGES_NAME);
        TAKE_FD(fd);
        while ((entry = readdir(dir))) {
                const char *name = entry->d_name;
                bool draft = *name == '.';
                int r;

                if (streq(name, ".") || streq(name, "..") ||
                    (!draft && (!keep || strv_contains(keep, name))))
                        continue;
                r = remove_image(images_fd, name, err);
                if (r < 0)
                        return r;
                *ret += !draft;
        }
        return 0;
}

int site_images_add(int site_fd, const struct image_source *source, const struct release *r,
                    const char *text, bool *ret_changed, struct error *err)
{
        _cleanup_close_ int fd = open_images(site_fd, err);
        char name[SHA256_HEX_SIZE];
        uint64_t ignored = 0;
        int result;

        if (fd < 0)
                return fd;
        result = remove_others(fd, NULL, &ignored, err);
        if (result < 0)
                return result;
        sha256_hex(&r->root_hash, name);
        if (faccessat(fd, name, F_OK, 0) == 0) {
                result = check_directory(fd, r, text, name, ret_changed, err);
        } else {
                result = write_directory(fd, source, r, text, name, err);
                *ret_changed = true;
        }
        return error_prefix(err, result, IMAGES_NAME "/%s", name);
}

int site_images_prune(int site_fd, const struct sha256 *keep, size_t count, uint64_t *ret,
                      struct error *err)
{
        _cleanup_close_ int fd = open_images(site_fd, err);
        _cleanup_strv_ char **names = calloc(1, sizeof(*names));
        char name[SHA256_HEX_SIZE];

        if (fd < 0)
                return fd;
        if (!names)
                return error_oom(err);
        for (size_t i = 0; i < count; i++)
                if (strv_extend(&names, sha256_hex(&keep[i], name)) < 0)
                        return error_oom(err);
        return remove_others(fd, names, ret, err);
}
