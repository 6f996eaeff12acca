/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See probe.h. This is the only file that includes libblkid. */

#include <blkid/blkid.h>
#include <fcntl.h>

#include "io.h"
#include "probe.h"
#include "process.h"

enum { PROBE_AMBIVALENT = -2, PROBE_NOTHING = 1 };

static void probe_free_p(blkid_probe *probe)
{
        blkid_free_probe(*probe);
}

static int probe_open(int fd, uint64_t offset, uint64_t size, blkid_probe *ret, struct error *err)
{
        _cleanup_(probe_free_p) blkid_probe probe = blkid_new_probe();

        if (!probe)
                return error_oom(err);
        if (blkid_probe_set_device(probe, fd, (blkid_loff_t)offset, (blkid_loff_t)size) < 0)
                return error_set(err, -EIO, "cannot probe");
        *ret = TAKE_PTR(probe);
        return 0;
}

static void lookup(blkid_probe probe, const char *name, char *ret, size_t size)
{
        const char *value = NULL;

        if (blkid_probe_lookup_value(probe, name, &value, NULL) < 0)
                value = NULL;
        snprintf(ret, size, "%s", value ?: "");
}

/* mkfs.xfs sets a byte in the superblock while it works. The others write theirs last. */
static bool is_unfinished(int fd, uint64_t offset, const char *type)
{
        enum { XFS_SB_INPROGRESS = 126 };
        uint8_t byte = 0;

        return streq(type, "xfs") && pread(fd, &byte, 1, (off_t)offset + XFS_SB_INPROGRESS) == 1 &&
               byte != 0;
}

static int probe_fd(int fd, uint64_t offset, uint64_t size, struct probe *ret, struct error *err)
{
        _cleanup_(probe_free_p) blkid_probe probe = NULL;
        int r;

        r = probe_open(fd, offset, size, &probe, err);
        if (r < 0)
                return r;
        blkid_probe_enable_superblocks(probe, 1);
        blkid_probe_set_superblocks_flags(probe, BLKID_SUBLKS_TYPE | BLKID_SUBLKS_UUID |
                                                         BLKID_SUBLKS_LABEL | BLKID_SUBLKS_VERSION);
        r = blkid_do_safeprobe(probe);
        if (r == PROBE_AMBIVALENT)
                return error_set(err, -EUCLEAN, "signatures of several kinds");
        if (r < 0)
                return error_set(err, -EIO, "cannot probe");
        *ret = (struct probe){};
        if (r == PROBE_NOTHING)
                return 0;
        lookup(probe, "TYPE", ret->type, sizeof(ret->type));
        lookup(probe, "VERSION", ret->version, sizeof(ret->version));
        lookup(probe, "UUID", ret->uuid, sizeof(ret->uuid));
        lookup(probe, "LABEL", ret->label, sizeof(ret->label));
        ret->unfinished = is_unfinished(fd, offset, ret->type);
        return 0;
}

int probe_region(const char *path, uint64_t offset, uint64_t size, struct probe *ret,
                 struct error *err)
{
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);

        if (fd < 0)
                return error_errno(err, "%s", path);
        return error_prefix(err, probe_fd(fd, offset, size, ret, err), "%s", path);
}

int probe_device(const char *node, struct probe *ret, struct error *err)
{
        return probe_region(node, 0, 0, ret, err);
}

static int wipe_fd(int fd, struct error *err)
{
        _cleanup_(probe_free_p) blkid_probe probe = NULL;
        int r;

        r = probe_open(fd, 0, 0, &probe, err);
        if (r < 0)
                return r;
        blkid_probe_enable_superblocks(probe, 1);
        blkid_probe_set_superblocks_flags(probe, BLKID_SUBLKS_MAGIC | BLKID_SUBLKS_BADCSUM);
        blkid_probe_enable_partitions(probe, 1);
        blkid_probe_set_partitions_flags(probe, BLKID_PARTS_MAGIC | BLKID_PARTS_FORCE_GPT);
        while ((r = blkid_do_probe(probe)) == 0)
                if (blkid_do_wipe(probe, 0) < 0)
                        return error_set(err, -EIO, "cannot wipe");
        if (r < 0)
                return error_set(err, -EIO, "cannot probe");
        return fsync(fd) < 0 ? error_errno(err, "sync") : 0;
}

static int wipe_alone(const char *node, struct error *err)
{
        _cleanup_close_ int fd = open(node, O_RDWR | O_EXCL | O_CLOEXEC);

        if (fd < 0)
                return error_errno(err, "%s", node);
        return error_prefix(err, wipe_fd(fd, err), "%s", node);
}

/* Another thread's child with a copy of the descriptor would keep the device in use for mkfs. */
int probe_wipe(const char *node, struct error *err)
{
        int r;

        spawn_hold();
        r = wipe_alone(node, err);
        spawn_release();
        return r;
}
