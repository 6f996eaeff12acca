/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See probe.h. This is the only file that includes libblkid. */

#include <blkid/blkid.h>
#include <fcntl.h>

#include "io.h"
#include "library.h"
#include "probe.h"
#include "process.h"

enum { PROBE_AMBIVALENT = -2, PROBE_NOTHING = 1 };

/* What is used of libblkid. */
#define BLKID_LIBRARY "libblkid.so.1"

struct blkid {
        __typeof__(blkid_free_probe) *free_probe;
        __typeof__(blkid_new_probe) *new_probe;
        __typeof__(blkid_probe_set_device) *probe_set_device;
        __typeof__(blkid_probe_lookup_value) *probe_lookup_value;
        __typeof__(blkid_probe_enable_superblocks) *probe_enable_superblocks;
        __typeof__(blkid_probe_set_superblocks_flags) *probe_set_superblocks_flags;
        __typeof__(blkid_do_safeprobe) *do_safeprobe;
        __typeof__(blkid_probe_enable_partitions) *probe_enable_partitions;
        __typeof__(blkid_probe_set_partitions_flags) *probe_set_partitions_flags;
        __typeof__(blkid_do_probe) *do_probe;
        __typeof__(blkid_do_wipe) *do_wipe;
};

#define SYMBOL(name) LIBRARY_SYMBOL(blkid, "blkid_", name)
static const struct library_symbol symbols[] = {
        SYMBOL(free_probe),
        SYMBOL(new_probe),
        SYMBOL(probe_set_device),
        SYMBOL(probe_lookup_value),
        SYMBOL(probe_enable_superblocks),
        SYMBOL(probe_set_superblocks_flags),
        SYMBOL(do_safeprobe),
        SYMBOL(probe_enable_partitions),
        SYMBOL(probe_set_partitions_flags),
        SYMBOL(do_probe),
        SYMBOL(do_wipe),
};
LIBRARY_NOTE("filesystems", "Telling what a device holds", BLKID_LIBRARY);

struct prober {
        struct blkid blkid;
        blkid_probe probe;
};

static void prober_done(struct prober *p)
{
        if (p->blkid.free_probe)
                p->blkid.free_probe(p->probe);
}

static int probe_open(int fd, uint64_t offset, uint64_t size, struct prober *ret, struct error *err)
{
        int r;

        r = library_load(BLKID_LIBRARY, symbols, ARRAY_SIZE(symbols), &ret->blkid, err);
        if (r < 0)
                return r;
        ret->probe = ret->blkid.new_probe();
        if (!ret->probe)
                return error_oom(err);
        if (ret->blkid.probe_set_device(ret->probe, fd, (blkid_loff_t)offset, (blkid_loff_t)size) <
            0)
                return error_set(err, -EIO, "cannot probe");
        return 0;
}

static void lookup(const struct prober *p, const char *name, char *ret, size_t size)
{
        const char *value = NULL;

        if (p->blkid.probe_lookup_value(p->probe, name, &value, NULL) < 0)
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
        _cleanup_(prober_done) struct prober p = {};
        int r;

        r = probe_open(fd, offset, size, &p, err);
        if (r < 0)
                return r;
        p.blkid.probe_enable_superblocks(p.probe, 1);
        p.blkid.probe_set_superblocks_flags(p.probe, BLKID_SUBLKS_TYPE | BLKID_SUBLKS_UUID |
                                                             BLKID_SUBLKS_LABEL |
                                                             BLKID_SUBLKS_VERSION);
        r = p.blkid.do_safeprobe(p.probe);
        if (r == PROBE_AMBIVALENT)
                return error_set(err, -EUCLEAN, "signatures of several kinds");
        if (r < 0)
                return error_set(err, -EIO, "cannot probe");
        *ret = (struct probe){};
        if (r == PROBE_NOTHING)
                return 0;
        lookup(&p, "TYPE", ret->type, sizeof(ret->type));
        lookup(&p, "VERSION", ret->version, sizeof(ret->version));
        lookup(&p, "UUID", ret->uuid, sizeof(ret->uuid));
        lookup(&p, "LABEL", ret->label, sizeof(ret->label));
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
        _cleanup_(prober_done) struct prober p = {};
        int r;

        r = probe_open(fd, 0, 0, &p, err);
        if (r < 0)
                return r;
        p.blkid.probe_enable_superblocks(p.probe, 1);
        p.blkid.probe_set_superblocks_flags(p.probe, BLKID_SUBLKS_MAGIC | BLKID_SUBLKS_BADCSUM);
        p.blkid.probe_enable_partitions(p.probe, 1);
        p.blkid.probe_set_partitions_flags(p.probe, BLKID_PARTS_MAGIC | BLKID_PARTS_FORCE_GPT);
        while ((r = p.blkid.do_probe(p.probe)) == 0)
                if (p.blkid.do_wipe(p.probe, 0) < 0)
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
