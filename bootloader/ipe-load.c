/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See ipe-load.h. securityfs takes a policy in one write, and shows it as a directory whose file
 * "active" makes it the one that counts (Documentation/admin-guide/LSM/ipe.rst). */

#include <fcntl.h>

#include "io.h"
#include "ipe-load.h"

/* Two hundred bytes of text in a signature of an RSA key of at most 4096 bits. */
enum { POLICY_SIZE_MAX = 64 * 1024 };

static const char seal_path[] = "systemd/system.conf.d/50-slipway-ipe.conf";
static const char seal_text[] = "[Manager]\nCapabilityBoundingSet=~CAP_MAC_ADMIN\n";

/* Files of securityfs are not written to by a new one that is renamed. */
static int write_node(int dir_fd, const char *name, const void *data, size_t size,
                      struct error *err)
{
        _cleanup_close_ int fd = openat(dir_fd, name, O_WRONLY | O_CLOEXEC);
        int r;

        if (fd < 0)
                return error_errno(err, "%s", name);
        r = io_write(fd, data, size, err);
        return error_prefix(err, r, "%s", name);
}

int ipe_enforces(int ipe_fd, struct error *err)
{
        _cleanup_close_ int fd = openat(ipe_fd, "enforce", O_RDONLY | O_CLOEXEC);
        char answer = 0;
        int r;

        if (fd < 0)
                return error_errno(err, "enforce");
        r = io_read(fd, &answer, sizeof(answer), NULL, err);
        return r < 0 ? r : answer == '1';
}

int ipe_load(int ipe_fd, const char *path, struct error *err)
{
        _cleanup_free_ char *policy = NULL;
        size_t size;
        int r;

        r = file_read(AT_FDCWD, path, POLICY_SIZE_MAX, &policy, &size, err);
        if (r >= 0)
                r = write_node(ipe_fd, "new_policy", policy, size, err);
        if (r >= 0)
                r = write_node(ipe_fd, "policies/" IPE_POLICY_NAME "/active", "1", 1, err);
        return r;
}

int ipe_seal(int run_fd, struct error *err)
{
        int r = path_mkdirs(run_fd, "systemd/system.conf.d", 0755, err);

        return r < 0 ? r
                     : file_write(run_fd, seal_path, seal_text, sizeof(seal_text) - 1, 0644, err);
}
