/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* QEMU's firmware configuration device: `-fw_cfg name=opt/com.coreos/config,file=…`, or Flatcar's
 * name. The kernel starts from the beginning for every read, so there are as few reads as may be;
 * its own limit is a page. Machines that have no such device (s390x, ppc64le) get a block device
 * with the serial number "ignition", padded with NUL bytes. */

#include <fcntl.h>
#include <sys/utsname.h>

#include "process.h"
#include "provider.h"
#include "strv.h"

enum { DISK_WAIT_MS = 300000, SIZE_TEXT_MAX = 64, SLOW_SIZE = 1024 * 1024 };

static const char fw_cfg[] = "/sys/firmware/qemu_fw_cfg";
static const char disk[] = "/dev/disk/by-id/virtio-ignition";
static const char *const keys[] = { "opt/com.coreos/config", "opt/org.flatcar-linux/config" };

/* ---- the firmware configuration device ---- */

static int read_size(int dir, size_t *ret, struct error *err)
{
        _cleanup_free_ char *text = NULL;
        int r = file_read(dir, "size", SIZE_TEXT_MAX, &text, NULL, err);

        if (r < 0)
                return r;
        *ret = strtoul(text, NULL, 10);
        return *ret > CONFIG_SIZE_MAX ? error_set(err, -EFBIG, "%zu bytes", *ret) : 0;
}

static int read_key(struct agent *a, int dir, struct config_text *ret, struct error *err)
{
        _cleanup_close_ int fd = openat(dir, "raw", O_RDONLY | O_CLOEXEC);
        size_t size = 0;
        int r;

        if (fd < 0)
                return error_errno(err, "raw");
        r = read_size(dir, &size, err);
        if (r < 0)
                return r;
        if (size > SLOW_SIZE)
                log_line(&a->log, LOG_WARNING, "reading %zu bytes from fw_cfg, which is slow",
                         size);
        ret->text = malloc(size + 1);
        if (!ret->text)
                return error_oom(err);
        r = io_read(fd, ret->text, size, &ret->size, err);
        if (r >= 0 && ret->size != size)
                return error_set(err, -EIO, "%zu of %zu bytes", ret->size, size);
        ret->text[ret->size] = '\0';
        return r;
}

static int fetch_fw_cfg(struct agent *a, struct config_text *ret, struct error *err)
{
        for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
                _cleanup_free_ char *path = string_format("%s/by_name/%s", fw_cfg, keys[i]);
                _cleanup_close_ int dir = -1;

                if (!path)
                        return error_oom(err);
                dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                if (dir < 0)
                        continue;
                ret->source = TAKE_PTR(path);
                return error_prefix(err, read_key(a, dir, ret, err), "%s", ret->source);
        }
        return PROVIDER_NONE;
}

/* ---- the block device ---- */

static bool has_disks_only(void)
{
        struct utsname name;

        return uname(&name) == 0 &&
               (streq(name.machine, "s390x") || streq(name.machine, "ppc64le"));
}

static int fetch_disk(struct agent *a, struct config_text *ret, struct error *err)
{
        int r = 0;

        if (access(disk, F_OK) < 0 && !has_disks_only())
                return PROVIDER_NONE;
        r = patience_path(a, disk, DISK_WAIT_MS, err);
        if (r == -ETIMEDOUT)
                return PROVIDER_NONE;
        if (r >= 0)
                r = config_text_read((const char *const[]){ disk, NULL }, ret, err);
        if (r >= 0)
                config_text_strip(ret);
        return r;
}

static int fetch(struct agent *a, struct config_text *ret, struct error *err)
{
        const char *module = has_disks_only() ? "virtio_blk" : "qemu_fw_cfg";
        struct error ignored = {};
        int r;

        if (access(fw_cfg, F_OK) < 0 && access(disk, F_OK) < 0 &&
            spawn((const char *const[]){ "modprobe", "-q", module, NULL }, NULL, NULL, &ignored) <
                    0)
                log_line(&a->log, LOG_WARNING, "loading %s: %s", module, ignored.message);
        r = fetch_fw_cfg(a, ret, err);
        return r == PROVIDER_NONE ? fetch_disk(a, ret, err) : r;
}

const struct provider provider_qemu = { .name = "qemu", .fetch = fetch };
