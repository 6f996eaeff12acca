/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See block-map.h. What is there is read from sysfs, where a map is on its device from `dmsetup`,
 * which makes the maps, too, and waits for udev. */

#include <inttypes.h>
#include <limits.h>
#include <sys/sysmacros.h>

#include "block-map.h"
#include "io.h"
#include "process.h"
#include "strv.h"

enum { TEXT_MAX = 256, SYSFS_SECTOR = 512 };

/* A line of a file in sysfs, without its end; "" when there is none. */
static bool read_line(const char *path, char *ret, size_t size)
{
        _cleanup_fclose_ FILE *f = fopen(path, "re");

        *ret = '\0';
        if (!f)
                return false;
        if (fgets(ret, (int)size, f))
                ret[strcspn(ret, "\n")] = '\0';
        return true;
}

static bool read_map(const char *directory, struct block_map *ret)
{
        char path[PATH_MAX];

        snprintf(path, sizeof(path), "%s/dm/uuid", directory);
        if (!read_line(path, ret->uuid, sizeof(ret->uuid)))
                return false;
        snprintf(path, sizeof(path), "%s/dm/name", directory);
        return read_line(path, ret->name, sizeof(ret->name)) && *ret->name;
}

static bool read_holder(const char *holder, struct block_map *ret)
{
        char directory[PATH_MAX];

        snprintf(directory, sizeof(directory), "/sys/class/block/%s", holder);
        return read_map(directory, ret);
}

bool block_map_find(dev_t number, struct block_map *ret)
{
        char directory[PATH_MAX];

        snprintf(directory, sizeof(directory), "/sys/dev/block/%u:%u", major(number),
                 minor(number));
        return read_map(directory, ret);
}

unsigned block_map_partition(const struct block_map *m, const char *holder)
{
        struct block_map other;
        unsigned number;
        int end = 0;

        if (!read_holder(holder, &other) || sscanf(other.uuid, "part%u-%n", &number, &end) != 1 ||
            end == 0 || !streq(other.uuid + end, m->uuid))
                return 0;
        return number;
}

/* ---- what is there ---- */

/* "0 SIZE linear MAJOR:MINOR START" */
static int read_place(const char *name, struct block_partition *p, struct error *err)
{
        const char *const argv[] = { "dmsetup", "table", name, NULL };
        _cleanup_free_ char *table = NULL;
        int r = spawn(argv, NULL, &table, err);

        if (r < 0)
                return r;
        if (sscanf(table, "%*u %" SCNu64 " linear %*u:%*u %" SCNu64, &p->size, &p->start) != 2)
                return error_set(err, -EINVAL, "%s is no partition: %s", name, table);
        p->size *= SYSFS_SECTOR;
        p->start *= SYSFS_SECTOR;
        return 0;
}

static int read_partition(const struct block_map *m, const char *holder, struct block_partition *p,
                          struct error *err)
{
        char path[PATH_MAX], text[TEXT_MAX];
        struct block_map map;
        unsigned ma, mi;

        p->number = block_map_partition(m, holder);
        if (p->number == 0)
                return 0;
        snprintf(path, sizeof(path), "/sys/class/block/%s/dev", holder);
        if (!read_holder(holder, &map) || !read_line(path, text, sizeof(text)) ||
            sscanf(text, "%u:%u", &ma, &mi) != 2)
                return error_set(err, -EINVAL, "%s: cannot be read", path);
        p->device = makedev(ma, mi);
        return read_place(map.name, p, err);
}

int block_map_partitions(const struct block *b, const struct block_map *m,
                         struct block_partition *ret, size_t *ret_count, struct error *err)
{
        char path[PATH_MAX];
        _cleanup_closedir_ DIR *dir = NULL;
        struct dirent *entry;

        snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/holders", major(b->number),
                 minor(b->number));
        dir = opendir(path);
        if (!dir)
                return error_errno(err, "%s", path);
        *ret_count = 0;
        while ((entry = readdir(dir))) {
                int r;

                if (*ret_count == BLOCK_PARTITIONS_MAX)
                        return error_set(err, -E2BIG, "%s: too many partitions", b->node);
                r = read_partition(m, entry->d_name, &ret[*ret_count], err);
                if (r < 0)
                        return error_prefix(err, r, "%s", b->node);
                *ret_count += ret[*ret_count].number != 0;
        }
        return 0;
}

/* ---- changing ---- */

/* The name that a partition's map has, or will have. */
static void map_name(const struct block *b, const struct block_map *m, unsigned number,
                     char ret[TEXT_MAX])
{
        char path[PATH_MAX];
        _cleanup_closedir_ DIR *dir = NULL;
        struct dirent *entry;
        struct block_map map;

        snprintf(ret, TEXT_MAX, "%sp%u", m->name, number);
        snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/holders", major(b->number),
                 minor(b->number));
        dir = opendir(path);
        while (dir && (entry = readdir(dir)))
                if (block_map_partition(m, entry->d_name) == number &&
                    read_holder(entry->d_name, &map))
                        snprintf(ret, TEXT_MAX, "%s", map.name);
}

static int dmsetup(struct error *err, const char *verb, const char *name, const char *const more[])
{
        const char *argv[8] = { "dmsetup", verb, name };

        for (size_t i = 0; more && more[i]; i++)
                argv[3 + i] = more[i];
        return spawn(argv, NULL, NULL, err);
}

int block_map_change(const struct block *b, const struct block_map *m, enum block_change change,
                     const struct block_partition *p, struct error *err)
{
        char name[TEXT_MAX], uuid[TEXT_MAX], table[TEXT_MAX];
        int r;

        map_name(b, m, p->number, name);
        snprintf(uuid, sizeof(uuid), "part%u-%s", p->number, m->uuid);
        snprintf(table, sizeof(table), "0 %" PRIu64 " linear %u:%u %" PRIu64,
                 p->size / SYSFS_SECTOR, major(b->number), minor(b->number),
                 p->start / SYSFS_SECTOR);
        switch (change) {
        case BLOCK_ADD:
                return dmsetup(err, "create", name,
                               (const char *const[]){ "--uuid", uuid, "--table", table, NULL });
        case BLOCK_DELETE: return dmsetup(err, "remove", name, NULL);
        default:
                r = dmsetup(err, "reload", name, (const char *const[]){ "--table", table, NULL });
                return r < 0 ? r : dmsetup(err, "resume", name, NULL);
        }
}
