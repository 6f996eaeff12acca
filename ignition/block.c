/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See block.h. The kernel is told about partitions one by one: re-reading the whole table
 * (BLKRRPART) fails beside a mounted partition and makes every node vanish for a moment. */

#include <fcntl.h>
#include <limits.h>
#include <linux/blkpg.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>

#include "block-map.h"
#include "io.h"
#include "strv.h"

enum { SYSFS_SECTOR = 512, HOLDERS_DEPTH_MAX = 8 };

static int open_node(const char *path, int flags, bool images, struct block *ret, struct error *err)
{
        char node[PATH_MAX];
        struct stat st;
        int size = 512;

        if (!realpath(path, node))
                return error_errno(err, "%s", path);
        _cleanup_block_ struct block b = { .fd = open(node, flags | O_CLOEXEC | O_NOCTTY) };
        if (b.fd < 0 || fstat(b.fd, &st) < 0)
                return error_errno(err, "%s", path);
        if (!S_ISBLK(st.st_mode) && !(images && S_ISREG(st.st_mode)))
                return error_set(err, -ENOTBLK, "%s is not a block device", path);
        if (strlen(node) >= sizeof(b.node))
                return error_set(err, -ENAMETOOLONG, "%s", path);
        if (S_ISBLK(st.st_mode) && ioctl(b.fd, BLKSSZGET, &size) < 0)
                return error_errno(err, "%s: sector size", path);
        b.number = st.st_rdev;
        b.sector_size = (uint64_t)size;
        memcpy(b.node, node, strlen(node) + 1);
        *ret = b;
        b.fd = -1;
        return 0;
}

int block_open(const char *path, int flags, struct block *ret, struct error *err)
{
        return open_node(path, flags, false, ret, err);
}

int block_open_image(const char *path, struct block *ret, struct error *err)
{
        return open_node(path, O_RDONLY | O_NONBLOCK, true, ret, err);
}

void block_done(struct block *b)
{
        close_p(&b->fd);
        b->fd = -1;
}

int block_lock(const struct block *b, struct error *err)
{
        while (flock(b->fd, LOCK_EX) < 0)
                if (errno != EINTR)
                        return error_errno(err, "%s: lock", b->node);
        return 0;
}

int block_sync(const char *node, struct error *err)
{
        _cleanup_close_ int fd = open(node, O_RDONLY | O_CLOEXEC);

        if (fd < 0 || fsync(fd) < 0)
                return error_errno(err, "%s: sync", node);
        return 0;
}

/* ---- users ---- */

static char *sysfs_path(dev_t number, const char *name, char ret[PATH_MAX])
{
        snprintf(ret, PATH_MAX, "/sys/dev/block/%u:%u/%s", major(number), minor(number), name);
        return ret;
}

bool block_is_crypt(const char *path)
{
        static const char prefix[] = "CRYPT-";
        char uuid[sizeof(prefix)] = "", name[PATH_MAX];
        _cleanup_close_ int fd = -1;
        struct stat st;

        if (stat(path, &st) < 0 || !S_ISBLK(st.st_mode))
                return false;
        fd = open(sysfs_path(st.st_rdev, "dm/uuid", name), O_RDONLY | O_CLOEXEC);
        return fd >= 0 && io_read(fd, uuid, strlen(prefix), NULL, NULL) == 0 && streq(uuid, prefix);
}

bool block_holder(dev_t number, const char *prefix, char ret[BLOCK_NODE_MAX])
{
        char path[PATH_MAX];
        _cleanup_closedir_ DIR *dir = opendir(sysfs_path(number, "holders", path));
        struct dirent *entry;

        while (dir && (entry = readdir(dir))) {
                if (*entry->d_name == '.' || !startswith(entry->d_name, prefix))
                        continue;
                snprintf(ret, BLOCK_NODE_MAX, "%.*s", BLOCK_NODE_MAX - 1, entry->d_name);
                return true;
        }
        return false;
}

static bool is_node(char *path, dev_t number)
{
        struct stat st;

        octal_unescape(path);
        return stat(path, &st) == 0 && S_ISBLK(st.st_mode) && st.st_rdev == number;
}

/* Lines "36 35 98:0 / /mnt …" of mountinfo. btrfs has a device number of its own there, so the
 * source at the line's end is compared too. */
static bool mount_matches(char *line, dev_t number, char where[BLOCK_USER_MAX])
{
        char *source = strstr(line, " - ");
        unsigned ma, mi;
        char target[BLOCK_USER_MAX - 16], node[PATH_MAX];

        if (sscanf(line, "%*u %*u %u:%u %*s %239s", &ma, &mi, target) != 3 || !source)
                return false;
        if (makedev(ma, mi) != number &&
            (sscanf(source, " - %*s %4095s", node) != 1 || *node != '/' || !is_node(node, number)))
                return false;
        octal_unescape(target);
        snprintf(where, BLOCK_USER_MAX, "mounted at %s", target);
        return true;
}

static bool swap_matches(char *line, dev_t number, char where[BLOCK_USER_MAX])
{
        char node[PATH_MAX];

        if (sscanf(line, "%4095s", node) != 1 || !is_node(node, number))
                return false;
        snprintf(where, BLOCK_USER_MAX, "active swap");
        return true;
}

static bool any_line(const char *path, dev_t number, char where[BLOCK_USER_MAX],
                     bool (*matches)(char *line, dev_t number, char where[BLOCK_USER_MAX]))
{
        _cleanup_fclose_ FILE *f = fopen(path, "re");
        _cleanup_free_ char *line = NULL;
        size_t capacity = 0;

        while (f && getline(&line, &capacity, f) > 0)
                if (matches(line, number, where))
                        return true;
        return false;
}

static bool named_number(const char *name, dev_t *ret)
{
        char path[PATH_MAX];
        _cleanup_fclose_ FILE *f = NULL;
        unsigned ma, mi;

        snprintf(path, sizeof(path), "/sys/class/block/%s/dev", name);
        f = fopen(path, "re");
        if (!f || fscanf(f, "%u:%u", &ma, &mi) != 2)
                return false;
        *ret = makedev(ma, mi);
        return true;
}

static bool stack_user(dev_t number, const char *below, unsigned depth, char ret[BLOCK_USER_MAX]);

/* A holder is a user whatever is on it; ret names the highest of the first stack that is used. */
static bool holders_user(dev_t number, const char *below, unsigned depth, char ret[BLOCK_USER_MAX])
{
        char path[PATH_MAX], user[BLOCK_USER_MAX];
        _cleanup_closedir_ DIR *dir = opendir(sysfs_path(number, "holders", path));
        struct block_map map;
        bool is_map = depth == 0 && block_map_find(number, &map), held = false;
        struct dirent *entry;
        dev_t above;

        while (dir && (entry = readdir(dir))) {
                /* The device's partitions are not the device. */
                if (*entry->d_name == '.' || (is_map && block_map_partition(&map, entry->d_name)))
                        continue;
                snprintf(user, sizeof(user), "%sheld by %.60s", below, entry->d_name);
                if (!held)
                        memcpy(ret, user, sizeof(user));
                held = true;
                strncat(user, ", ", sizeof(user) - strlen(user) - 1);
                if (depth < HOLDERS_DEPTH_MAX && named_number(entry->d_name, &above) &&
                    stack_user(above, user, depth + 1, ret))
                        return true;
        }
        return held;
}

static bool stack_user(dev_t number, const char *below, unsigned depth, char ret[BLOCK_USER_MAX])
{
        char user[BLOCK_USER_MAX];

        if (!any_line("/proc/self/mountinfo", number, user, mount_matches) &&
            !any_line("/proc/swaps", number, user, swap_matches))
                return holders_user(number, below, depth, ret);
        snprintf(ret, BLOCK_USER_MAX, "%s", below);
        strncat(ret, user, BLOCK_USER_MAX - strlen(ret) - 1);
        return true;
}

bool block_user(dev_t number, char ret[BLOCK_USER_MAX])
{
        return stack_user(number, "", 0, ret);
}

/* ---- partitions ---- */

static bool read_number(int dir, const char *directory, const char *name, uint64_t *ret)
{
        char path[PATH_MAX], text[32] = "";
        _cleanup_close_ int fd = -1;

        snprintf(path, sizeof(path), "%s/%s", directory, name);
        fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
        return fd >= 0 && read(fd, text, sizeof(text) - 1) > 0 && sscanf(text, "%lu", ret) == 1;
}

static bool read_device(int dir, const char *directory, dev_t *ret)
{
        char path[PATH_MAX], text[32] = "";
        _cleanup_close_ int fd = -1;
        unsigned ma, mi;

        snprintf(path, sizeof(path), "%s/dev", directory);
        fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0 || sscanf(text, "%u:%u", &ma, &mi) != 2)
                return false;
        *ret = makedev(ma, mi);
        return true;
}

/* A directory below the disk's that has a file `partition`; false: it is something else. */
static bool read_partition(int dir, const char *name, struct block_partition *p)
{
        uint64_t number, start, size;

        if (*name == '.' || !read_number(dir, name, "partition", &number) ||
            !read_number(dir, name, "start", &start) || !read_number(dir, name, "size", &size) ||
            !read_device(dir, name, &p->device))
                return false;
        p->number = (unsigned)number;
        p->start = start * SYSFS_SECTOR;
        p->size = size * SYSFS_SECTOR;
        return true;
}

int block_partitions(const struct block *b, struct block_partition *ret, size_t *ret_count,
                     struct error *err)
{
        char path[PATH_MAX];
        _cleanup_closedir_ DIR *dir = opendir(sysfs_path(b->number, "", path));
        struct block_map map;
        struct dirent *entry;

        if (block_map_find(b->number, &map))
                return block_map_partitions(b, &map, ret, ret_count, err);
        if (!dir)
                return error_errno(err, "%s", path);
        *ret_count = 0;
        while ((entry = readdir(dir))) {
                if (*ret_count == BLOCK_PARTITIONS_MAX)
                        return error_set(err, -E2BIG, "%s: too many partitions", b->node);
                if (read_partition(dirfd(dir), entry->d_name, &ret[*ret_count]))
                        ++*ret_count;
        }
        return 0;
}

int block_partition_change(const struct block *b, enum block_change change,
                           const struct block_partition *p, struct error *err)
{
        static const struct {
                int code;
                const char *name;
        } changes[] = {
                [BLOCK_ADD] = { BLKPG_ADD_PARTITION, "add" },
                [BLOCK_DELETE] = { BLKPG_DEL_PARTITION, "delete" },
                [BLOCK_RESIZE] = { BLKPG_RESIZE_PARTITION, "resize" },
        };
        struct blkpg_partition partition = { .pno = (int)p->number,
                                             .start = (long long)p->start,
                                             .length = (long long)p->size };
        struct blkpg_ioctl_arg argument = { .op = changes[change].code,
                                            .datalen = sizeof(partition),
                                            .data = &partition };
        struct block_map map;

        if (block_map_find(b->number, &map))
                return block_map_change(b, &map, change, p, err);
        if (ioctl(b->fd, BLKPG, &argument) < 0)
                return error_errno(err, "%s: cannot %s partition %u in the kernel", b->node,
                                   changes[change].name, p->number);
        return 0;
}
