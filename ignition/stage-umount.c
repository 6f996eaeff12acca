/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The umount stage: what the mount stage mounted, deepest first. A file system may be busy for a
 * moment (udev and the like look into it), so it is tried a few times. Provisioning is over then:
 * encrypted volumes made in it lose the mark by which another attempt would make them anew. */

#include <sys/mount.h>

#include "clock.h"
#include "disks.h"
#include "mounts.h"
#include "strv.h"

enum { ATTEMPTS = 30, PAUSE_MS = 100 };

/* A target that is not mounted (any more) is as it should be. */
static int umount_target(const char *target, struct error *err)
{
        for (unsigned i = 1; umount2(target, UMOUNT_NOFOLLOW) < 0; i++) {
                if (errno == EINVAL || errno == ENOENT)
                        return 0;
                if (errno != EBUSY || i == ATTEMPTS)
                        return error_errno(err, "umount %s", target);
                if (clock_sleep(PAUSE_MS, err) < 0)
                        return -EINTR;
        }
        return 0;
}

static int umount_one(struct agent *a, const struct filesystem *f, struct error *err)
{
        const char *root = streq(a->options.root, "/") ? "" : a->options.root;
        _cleanup_free_ char *target = string_format("%s%s", root, f->path);
        unsigned operation;
        int r;

        if (!target)
                return error_oom(err);
        operation = log_start(&a->log, "umounting \"%s\"", target);
        r = umount_target(target, err);
        log_end(&a->log, operation, r < 0 ? err : NULL, "umounting \"%s\"", target);
        return agent_setting(a, f->at, "path", r);
}

static int run(struct agent *a, struct error *err)
{
        _cleanup_mounts_ struct mounts mounts = {};
        int r;

        r = mounts_list(&a->config, &mounts, err);
        for (size_t i = mounts.count; r >= 0 && i > 0; i--)
                r = umount_one(a, mounts.items[i - 1], err);
        return r < 0 ? r : luks_finish(a, err);
}

static bool is_needed(const struct config *c)
{
        return c->root.storage.filesystems.count + c->root.storage.luks.count > 0;
}

const struct stage stage_umount = {
        .name = "umount", .undoes = true, .run = run, .is_needed = is_needed
};
