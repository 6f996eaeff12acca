/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The second step of the disks stage: arrays, made by mdadm. There is no re-use: an array that the
 * configuration lists is made anew. */

#include <fcntl.h>
#include <sys/stat.h>

#include "block.h"
#include "disks.h"
#include "process.h"
#include "strv.h"

/* Of creating an array, where udev took a member meanwhile. */
enum { CREATE_ATTEMPTS = 5 };

/* Where the array's node is to be. */
static char *array_node(const char *name)
{
        return startswith(name, "/dev") ? strdup(name) : string_format("/dev/md/%s", name);
}

/* ---- what an earlier attempt left ---- */

/* Whether the array's name, "host:name" in its superblock, is ours. */
static bool has_name(const char *node, const char *name)
{
        const char *const argv[] = { "mdadm", "--detail", "--export", node, NULL };
        const char *base = strrchr(name, '/') ? strrchr(name, '/') + 1 : name, *found;
        _cleanup_free_ char *output = NULL;
        struct error ignored;
        size_t n;

        if (spawn(argv, NULL, &output, &ignored) < 0)
                return false;
        found = strstr(output, "MD_NAME=");
        if (!found || (found > output && found[-1] != '\n'))
                return false;
        found += strlen("MD_NAME=");
        n = strcspn(found, "\n");
        if (memchr(found, ':', n)) {
                const char *colon = memchr(found, ':', n);

                n -= (size_t)(colon + 1 - found);
                found = colon + 1;
        }
        return n == strlen(base) && strncmp(found, base, n) == 0;
}

/* Where no udev runs, mdadm made the link itself and leaves it behind when the array is stopped;
 * the next array would get another number beside it. */
static int remove_link(const struct raid *raid, struct error *err)
{
        _cleanup_free_ char *link = array_node(raid->name);
        struct stat st;

        if (!link)
                return error_oom(err);
        if (lstat(link, &st) < 0 || !S_ISLNK(st.st_mode) || unlink(link) == 0 || errno == ENOENT)
                return 0;
        return error_errno(err, "%s", link);
}

/* Stops the array that holds a member, when it is ours and nobody uses it. Where an earlier attempt
 * was cut off some members have their superblocks already, and udev puts half an array together of
 * these (mdadm --incremental) whenever it sees one. So its events go first. */
static int release_member(struct agent *a, const struct raid *raid, const char *device,
                          struct error *err)
{
        _cleanup_block_ struct block member = BLOCK_NULL, array = BLOCK_NULL;
        char holder[BLOCK_NODE_MAX], user[BLOCK_USER_MAX], node[BLOCK_NODE_MAX + 8];
        const char *const argv[] = { "mdadm", "--stop", node, NULL };
        struct error absent;
        int r;

        if (access(device, F_OK) < 0)
                return 0;
        r = devices_settle(a, device, err);
        if (r < 0)
                return r;
        if (block_open(device, O_RDONLY, &member, &absent) < 0 ||
            !block_holder(member.number, "md", holder))
                return 0;
        snprintf(node, sizeof(node), "/dev/%s", holder);
        if (!has_name(node, raid->name) || block_open(node, O_RDONLY, &array, &absent) < 0 ||
            block_user(array.number, user))
                return 0;
        block_done(&array);
        log_line(&a->log, LOG_NOTICE, "stopping %s, which an earlier attempt made from %s", node,
                 device);
        r = spawn(argv, NULL, NULL, err);
        return r < 0 ? r : remove_link(raid, err);
}

static int release_members(struct agent *a, const struct raid *raid, struct error *err)
{
        int r = 0;

        for (size_t i = 0; r >= 0 && i < raid->devices.count; i++)
                r = release_member(a, raid, raid->devices.items[i], err);
        return r;
}

int raid_release(struct agent *a, const struct raid *raid, struct error *err)
{
        return agent_setting(a, raid->at, NULL, release_members(a, raid, err));
}

/* ---- making it ---- */

static int run_mdadm(const struct raid *raid, struct error *err)
{
        _cleanup_free_ const char **argv =
                calloc(raid->options.count + raid->devices.count + 16, sizeof(*argv));
        int64_t spares = raid->spares.value;
        char active[32], spare[32];
        size_t n = 0;

        if (!argv)
                return error_oom(err);
        snprintf(active, sizeof(active), "%jd", (intmax_t)raid->devices.count - spares);
        snprintf(spare, sizeof(spare), "%jd", (intmax_t)spares);
        for (const char *const *word =
                     (const char *const[]){ "mdadm", "--create", raid->name, "--force", "--run",
                                            "--homehost", "any", "--level", raid->level,
                                            "--raid-devices", active, NULL };
             *word; word++)
                argv[n++] = *word;
        if (spares > 0) {
                argv[n++] = "--spare-devices";
                argv[n++] = spare;
        }
        for (size_t i = 0; i < raid->options.count; i++)
                argv[n++] = raid->options.items[i];
        for (size_t i = 0; i < raid->devices.count; i++)
                argv[n++] = raid->devices.items[i];
        return spawn(argv, NULL, NULL, err);
}

/* A stale link would lead the steps that follow to another device. */
static int check_node(const struct raid *raid, const char *path, struct error *err)
{
        _cleanup_block_ struct block member = BLOCK_NULL, array = BLOCK_NULL;
        char holder[BLOCK_NODE_MAX] = "nothing";
        int r;

        r = block_open(path, O_RDONLY, &array, err);
        if (r >= 0)
                r = block_open(raid->devices.items[0], O_RDONLY, &member, err);
        if (r < 0)
                return r;
        block_holder(member.number, "md", holder);
        return endswith(array.node, holder)
                       ? 0
                       : error_set(err, -ENODEV, "%s leads to %s, the array is %s", path,
                                   array.node, holder);
}

static bool is_held(const struct raid *raid)
{
        char holder[BLOCK_NODE_MAX];
        struct error absent;

        for (size_t i = 0; i < raid->devices.count; i++) {
                _cleanup_block_ struct block member = BLOCK_NULL;

                if (block_open(raid->devices.items[i], O_RDONLY, &member, &absent) >= 0 &&
                    block_holder(member.number, "md", holder))
                        return true;
        }
        return false;
}

/* udev may see a member after disks_release() too, as when partitions appear anew: what came of
 * that is stopped, and mdadm is quicker than the next event, or all is done again. */
static int make(struct agent *a, const struct raid *raid, struct error *err)
{
        int r = -EBUSY;

        for (unsigned attempt = 0; attempt < CREATE_ATTEMPTS; attempt++) {
                r = release_members(a, raid, err);
                if (r < 0)
                        return r;
                r = run_mdadm(raid, err);
                if (r >= 0 || !is_held(raid))
                        return r;
        }
        return r;
}

static int create(struct agent *a, const struct raid *raid, struct error *err)
{
        _cleanup_free_ char *node = array_node(raid->name);
        const char *const devices[] = { node };
        int r;

        if (!node)
                return error_oom(err);
        r = make(a, raid, err);
        if (r >= 0)
                r = devices_wait(a, devices, 1, err);
        if (r >= 0)
                r = devices_settle(a, node, err);
        return r < 0 ? r : check_node(raid, node, err);
}

static int create_array(struct agent *a, const struct raid *raid, struct error *err)
{
        unsigned operation = log_start(&a->log, "creating \"%s\"", raid->name);
        int r;

        r = devices_wait(a, raid->devices.items, raid->devices.count, err);
        if (r >= 0)
                r = create(a, raid, err);
        log_end(&a->log, operation, r < 0 ? err : NULL, "creating \"%s\"", raid->name);
        return agent_setting(a, raid->at, NULL, r);
}

int disks_raid(struct agent *a, struct error *err)
{
        int r = 0;

        CONFIG_FOREACH(struct raid, raid, &a->config.root.storage.raid)
        if (r >= 0)
                r = create_array(a, raid, err);
        return r;
}
