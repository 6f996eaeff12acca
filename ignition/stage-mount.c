/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The mount stage: what the configuration mounts is mounted below --root, shallow first. Nothing on
 * the way may be a symlink: a mount would land elsewhere than where the running system sees it.
 * Directories made for it are noted in the state, because homes among them change their owner.
 * A mount that an earlier attempt in the same boot made is left as it is. */

#include <fcntl.h>

#include "block.h"
#include "disks.h"
#include "mounts.h"
#include "process.h"
#include "strv.h"

/* Opens `name` in *dir in its place; made when it is missing. */
static int enter(struct agent *a, int *dir, const char *name, const char *path, struct error *err)
{
        bool made = mkdirat(*dir, name, 0755) == 0;
        int fd = openat(*dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

        if (fd < 0)
                return errno == ENOTDIR || errno == ELOOP
                               ? error_set(err, -ENOTDIR,
                                           "%s is not a directory: mount paths may contain "
                                           "neither symlinks nor files",
                                           path)
                               : error_errno(err, "%s", path);
        close(*dir);
        *dir = fd;
        if (made && fchmod(fd, 0755) < 0)
                return error_errno(err, "%s", path);
        return made && state_add_directory(&a->state, path) < 0 ? error_oom(err) : 0;
}

/* Walks from the root to the mount point; returns it open. */
static int open_mount_point(struct agent *a, const char *path, struct error *err)
{
        _cleanup_close_ int dir = openat(a->root.fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_free_ char *text = strdup(path);
        int r = 0;

        if (dir < 0 || !text)
                return error_errno(err, "%s", path);
        for (char *name = text; r >= 0 && *name;) {
                char *end;

                name += strspn(name, "/");
                end = name + strcspn(name, "/");
                if (end > name) {
                        char saved = *end;

                        *end = '\0';
                        r = enter(a, &dir, name, text, err);
                        *end = saved;
                }
                name = end;
        }
        return r < 0 ? r : TAKE_FD(dir);
}

static char *target_path(const struct agent *a, const struct filesystem *f)
{
        const char *root = streq(a->options.root, "/") ? "" : a->options.root;

        return string_format("%s%s", root, f->path);
}

/* Whether the device is what is mounted at the target. findmnt compares as mount does, which knows
 * about btrfs' own device numbers. */
static bool is_mounted(const char *device, const char *target)
{
        const char *const argv[] = { "findmnt",      "--noheadings", "--source", device,
                                     "--mountpoint", target,         NULL };
        struct error ignored;

        return spawn(argv, NULL, NULL, &ignored) >= 0;
}

static int run_mount(const struct filesystem *f, const char *target, struct error *err)
{
        const char *const argv[] = { "mount", "-o", NULL /* options */, "-t", f->format, f->device,
                                     target,  NULL };
        _cleanup_buffer_ struct buffer options = {};
        _cleanup_free_ char *text = NULL;
        const char *command[ARRAY_SIZE(argv)];

        for (size_t i = 0; i < f->mount_options.count; i++)
                buffer_printf(&options, "%s%s", i > 0 ? "," : "", f->mount_options.items[i]);
        if (buffer_take(&options, &text, NULL) < 0)
                return error_oom(err);
        memcpy(command, argv, sizeof(argv));
        command[2] = text;
        return spawn(command, NULL, NULL, err);
}

static int mount_one(struct agent *a, const struct filesystem *f, struct error *err)
{
        _cleanup_free_ char *target = target_path(a, f);
        _cleanup_close_ int dir = -1;

        if (!target)
                return error_oom(err);
        dir = open_mount_point(a, f->path, err);
        if (dir < 0)
                return dir;
        if (is_mounted(f->device, target)) {
                log_line(&a->log, LOG_INFO, "\"%s\" is mounted at \"%s\" already", f->device,
                         target);
                return 0;
        }
        return run_mount(f, target, err);
}

static int mount_logged(struct agent *a, const struct filesystem *f, struct error *err)
{
        unsigned operation = log_start(&a->log, "mounting \"%s\" at \"%s\" with type \"%s\"",
                                       f->device, f->path, f->format);
        int r = mount_one(a, f, err);

        log_end(&a->log, operation, r < 0 ? err : NULL,
                "mounting \"%s\" at \"%s\" with type \"%s\"", f->device, f->path, f->format);
        return agent_setting(a, f->at, "path", r);
}

static int run(struct agent *a, struct error *err)
{
        _cleanup_mounts_ struct mounts mounts = {};
        int r;

        r = mounts_list(&a->config, &mounts, err);
        for (size_t i = 0; r >= 0 && i < mounts.count; i++)
                r = mount_logged(a, mounts.items[i], err);
        return r;
}

static bool is_needed(const struct config *c)
{
        return c->root.storage.filesystems.count > 0;
}

const struct stage stage_mount = { .name = "mount", .run = run, .is_needed = is_needed };
