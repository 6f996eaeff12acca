/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See target.h. A partition's device is found in sysfs, by its number on the disk: names in /dev
 * differ from driver to driver, and the links of udev by UUID are what an update changes. */

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>

#include "io.h"
#include "strv.h"
#include "target.h"

enum {
        WINDOW = 1024 * 1024,
        WINDOW_BLOCKS = WINDOW / BLOCK_SIZE,
        NUMBER_MAX = 16,         /* bytes of a file in sysfs */
        VERITY_DATA_BLOCKS = 72, /* offset of the number of blocks in the superblock, 64 bits LE */
};

/* ---- partitions ---- */

/* Whether a directory of sysfs is the disk's partition with this number. */
static bool is_partition(int disk_fd, const char *name, unsigned number)
{
        _cleanup_free_ char *path = string_format("%s/partition", name), *text = NULL;

        return path && file_read(disk_fd, path, NUMBER_MAX, &text, NULL, NULL) >= 0 &&
               strtoul(text, NULL, 10) == number;
}

/* The path of the partition's device. */
static int find_device(const char *disk, const struct stat *st, unsigned number, char **ret,
                       struct error *err)
{
        _cleanup_free_ char *path =
                string_format("/sys/dev/block/%u:%u", major(st->st_rdev), minor(st->st_rdev));
        _cleanup_closedir_ DIR *dir = path ? opendir(path) : NULL;
        struct dirent *entry;

        if (!path)
                return error_oom(err);
        if (!dir)
                return error_errno(err, "%s: %s", disk, path);
        while ((entry = readdir(dir))) {
                if (entry->d_name[0] == '.' || !is_partition(dirfd(dir), entry->d_name, number))
                        continue;
                *ret = string_format("/dev/%s", entry->d_name);
                return *ret ? 0 : error_oom(err);
        }
        return error_set(err, -ENODEV, "%s: the kernel knows no partition %u", disk, number);
}

static int open_device(const char *disk, const struct stat *st,
                       const struct slot_partition *partition, int flags, struct store_range *ret,
                       struct error *err)
{
        _cleanup_free_ char *device = NULL;
        int r = find_device(disk, st, partition->number, &device, err);

        if (r < 0)
                return r;
        ret->fd = open(device, flags | O_CLOEXEC);
        ret->size = partition->size;
        return ret->fd < 0 ? error_errno(err, "%s", device) : 0;
}

/* O_EXCL counts for devices: nobody has the partition mounted, nor a mapping over it. */
static int open_partition(const struct host *h, const struct slot_partition *partition, int flags,
                          struct store_range *ret, struct error *err)
{
        struct stat st;

        if (stat(h->disk, &st) < 0)
                return error_errno(err, "%s", h->disk);
        if (S_ISBLK(st.st_mode))
                return open_device(h->disk, &st, partition, flags, ret, err);
        ret->fd = open(h->disk, (flags & ~O_EXCL) | O_CLOEXEC);
        ret->offset = partition->start;
        ret->size = partition->size;
        return ret->fd < 0 ? error_errno(err, "%s", h->disk) : 0;
}

int target_open_read(const struct host *h, const struct slot_partition *partition,
                     struct store_range *ret, struct error *err)
{
        return open_partition(h, partition, O_RDONLY, ret, err);
}

static int open_disk(const struct host *h, struct store_range *ret, struct error *err)
{
        off_t size;

        ret->fd = open(h->disk, O_RDWR | O_CLOEXEC);
        size = ret->fd < 0 ? -1 : lseek(ret->fd, 0, SEEK_END);
        if (size < 0)
                return error_errno(err, "%s", h->disk);
        ret->size = (uint64_t)size;
        return 0;
}

int target_open_entries(const struct host *h, struct store *ret, struct error *err)
{
        struct store s = STORE_NULL;

        s.entries_fd = openat(h->esp_fd, "EFI/Linux", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (s.entries_fd < 0)
                return error_errno(err, "ESP: EFI/Linux");
        *ret = s;
        return 0;
}

int target_open(const struct host *h, struct store *ret, struct error *err)
{
        _cleanup_(store_done) struct store s = STORE_NULL;
        int r;

        if (!h->idle)
                return error_set(err, -ENODATA, "%s: there is no second slot", h->disk);
        r = target_open_entries(h, &s, err);
        if (r >= 0)
                r = open_partition(h, &h->idle->usr, O_RDWR | O_EXCL, &s.targets[STORE_USR], err);
        if (r >= 0)
                r = open_partition(h, &h->idle->tree, O_RDWR | O_EXCL, &s.targets[STORE_TREE], err);
        if (r >= 0 && h->idle->signature.number != 0)
                r = open_partition(h, &h->idle->signature, O_RDWR | O_EXCL,
                                   &s.targets[STORE_SIGNATURE], err);
        if (r >= 0)
                r = open_disk(h, &s.targets[STORE_TABLE], err);
        if (r < 0)
                return error_prefix(err, r, "slot %c", h->idle->name);
        *ret = s;
        s = (struct store)STORE_NULL;
        return 0;
}

/* ---- sources ---- */

/* The size of the image that a hash tree is over, from its superblock. */
static int image_size(const struct store_range *tree, uint64_t *ret, struct error *err)
{
        uint8_t block[VERITY_DATA_BLOCKS + sizeof(uint64_t)];
        uint64_t blocks = 0;
        size_t n;
        int r = io_pread(tree->fd, block, sizeof(block), tree->offset, &n, err);

        if (r < 0)
                return r;
        if (n < sizeof(block) || memcmp(block, "verity\0", 8) != 0)
                return error_set(err, -EBADMSG, "no hash tree");
        for (size_t i = 0; i < sizeof(blocks); i++)
                blocks |= (uint64_t)block[VERITY_DATA_BLOCKS + i] << (8 * i);
        *ret = blocks > UINT64_MAX / BLOCK_SIZE ? 0 : blocks * BLOCK_SIZE;
        return 0;
}

static int open_usr(const struct host *h, struct stage_source *ret, struct error *err)
{
        struct store_range usr = { .fd = -1 }, tree = { .fd = -1 };
        int r;

        r = open_partition(h, &h->running->usr, O_RDONLY, &usr, err);
        ret->fd = usr.fd;
        if (r >= 0)
                r = open_partition(h, &h->running->tree, O_RDONLY, &tree, err);
        ret->tree.fd = tree.fd;
        ret->offset = usr.offset;
        if (r >= 0)
                r = image_size(&tree, &ret->size, err);
        if (r >= 0 && ret->size > usr.size)
                r = error_set(err, -EBADMSG, "its image is larger than its partition");
        if (r >= 0)
                r = hash_tree_trust(tree.fd, tree.offset, ret->size, &ret->tree, err);
        return r;
}

/* Writes the leaves of a file's hash tree where they belong in it. Nobody needs the other levels: a
 * block is hashed again when it is used. */
static int write_leaves(const struct stage_source *source, struct error *err)
{
        const struct hash_tree *t = &source->tree;
        _cleanup_free_ uint8_t *data = malloc(WINDOW);
        struct sha256 digests[WINDOW_BLOCKS];
        int r = data ? 0 : error_oom(err);

        for (uint64_t block = 0; r >= 0 && block < t->shape.data_blocks; block += WINDOW_BLOCKS) {
                uint64_t count = MIN((uint64_t)WINDOW_BLOCKS, t->shape.data_blocks - block);
                size_t n;

                r = io_pread(source->fd, data, WINDOW, block * BLOCK_SIZE, &n, err);
                if (r < 0)
                        return r;
                memset(data + n, 0, WINDOW - n);
                blocks_hash(data, count, digests);
                r = io_pwrite(t->fd, digests, count * SHA256_SIZE,
                              t->shape.level[0].offset + block * SHA256_SIZE, err);
        }
        return r;
}

static int open_uki(const struct host *h, struct stage_source *ret, struct error *err)
{
        const struct boot_entry *entry = entries_find(&h->entries, h->release.version);
        char name[BOOT_ENTRY_NAME_MAX];
        _cleanup_free_ char *path = NULL;
        struct stat st;
        int fd, r;

        if (!entry)
                return 0;
        path = string_format("EFI/Linux/%s", boot_entry_format(entry, name));
        ret->fd = path ? openat(h->esp_fd, path, O_RDONLY | O_CLOEXEC) : -1;
        if (!path)
                return error_oom(err);
        if (ret->fd < 0 || fstat(ret->fd, &st) < 0)
                return error_errno(err, "%s", name);
        ret->size = (uint64_t)st.st_size;
        ret->tree.fd = fd = memfd_create("uki.tree", MFD_CLOEXEC);
        if (fd < 0)
                return error_errno(err, "memory");
        r = hash_tree_trust(fd, 0, ROUND_UP(ret->size, (uint64_t)BLOCK_SIZE), &ret->tree, err);
        if (r >= 0)
                r = write_leaves(ret, err);
        return r < 0 ? error_prefix(err, r, "%s", name) : 1;
}

int target_sources_open(const struct host *h, struct target_sources *ret, struct error *err)
{
        _cleanup_(target_sources_done) struct target_sources s = TARGET_SOURCES_NULL;
        int r;

        r = open_usr(h, &s.usr, err);
        if (r >= 0)
                r = open_uki(h, &s.uki, err);
        if (r < 0)
                return error_prefix(err, r, "slot %c, which runs", h->running->name);
        s.has_uki = r > 0;
        *ret = s;
        s = (struct target_sources)TARGET_SOURCES_NULL;
        return 0;
}

void target_sources_done(struct target_sources *s)
{
        close_p(&s->usr.fd);
        close_p(&s->usr.tree.fd);
        close_p(&s->uki.fd);
        close_p(&s->uki.tree.fd);
        *s = (struct target_sources)TARGET_SOURCES_NULL;
}
