/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See esp.h. What is in it:
 *
 *   /EFI/BOOT/BOOTX64.EFI                systemd-boot, where firmware looks without being told
 *   /EFI/systemd/systemd-bootx64.efi     the same, where `bootctl` and updates look
 *   /EFI/Linux/slipway_<version>+3.efi   the release's UKI, with three tries
 *   /loader/loader.conf
 *
 * With keys to enrol, what systemd-boot takes them from in a virtual machine whose firmware is in
 * setup mode (it does not on hardware by itself, where that may break more than it mends):
 *
 *   /loader/keys/auto/{PK,KEK,db}.auth
 *
 * With shim that is BOOTX64.EFI, and starts by the names that are built into it:
 *
 *   /EFI/BOOT/grubx64.efi                systemd-boot
 *   /EFI/BOOT/mmx64.efi                  MokManager
 *
 * mkfs.vfat takes an offset into its file and mtools an "@@offset", so there is no second file to
 * copy. The tools run in an environment of our own: mtools takes times from SOURCE_DATE_EPOCH and
 * the zone from TZ, mkfs.vfat has --invariant. */

#include <fcntl.h>
#include <inttypes.h>
#include <sys/mman.h>
#include <sys/statvfs.h>

#include "boot-entry.h"
#include "esp.h"
#include "io.h"
#include "process.h"

enum { ARGUMENT_MAX = 4096 + 32 };

#define FAT_EPOCH   315532800ULL /* 1980-01-01 */
#define SMALL_ESP   (260 * MIB)  /* up to here 65525 clusters, as FAT32 has, want the smallest */
#define NO_SPACE_AT (128 * KIB)

static const struct {
        const char *architecture, *removable, *installed, *second, *manager;
} loaders[] = {
        { "amd64", "::EFI/BOOT/BOOTX64.EFI", "::EFI/systemd/systemd-bootx64.efi",
          "::EFI/BOOT/grubx64.efi", "::EFI/BOOT/mmx64.efi" },
        { "arm64", "::EFI/BOOT/BOOTAA64.EFI", "::EFI/systemd/systemd-bootaa64.efi",
          "::EFI/BOOT/grubaa64.efi", "::EFI/BOOT/mmaa64.efi" },
};

/* What every call of a tool shares. */
struct tools {
        const char *path;
        char image[ARGUMENT_MAX]; /* "<path>@@<offset>" */
        char epoch[64];           /* "SOURCE_DATE_EPOCH=…" */
};

/* The tools do not say that the builder's disk is full, which is what a person must know. */
static int explain(const struct tools *t, int code, struct error *err)
{
        struct statvfs fs;

        if (code == 0 || statvfs(t->path, &fs) < 0 || fs.f_bavail * fs.f_frsize > NO_SPACE_AT)
                return code;
        return error_prefix(err, -ENOSPC, "%s", strerror(ENOSPC));
}

static int run(const struct tools *t, const char *const argv[], int stdin_fd, struct error *err)
{
        const char *const environment[] = {
                t->epoch, "TZ=UTC0", "LC_ALL=C", "MTOOLSRC=/dev/null", "MTOOLS_SKIP_CHECK=1", NULL,
        };

        return explain(
                t,
                spawn(argv,
                      &(struct spawn_options){ .environment = environment, .stdin_fd = stdin_fd },
                      NULL, err),
                err);
}

/* The serial number is made from the time, as mkfs.vfat does it by itself. */
static int make_file_system(const struct tools *t, const struct partition *esp, uint64_t epoch,
                            struct error *err)
{
        char offset[32], blocks[32], serial[16];

        snprintf(offset, sizeof(offset), "%" PRIu64, esp->start / SECTOR_SIZE);
        snprintf(blocks, sizeof(blocks), "%" PRIu64, esp->size / 1024);
        snprintf(serial, sizeof(serial), "%08" PRIx32, (uint32_t)epoch);
        /* By itself mkfs.vfat goes by the size of the whole disk, and mtools takes a file system
         * with too few clusters for FAT16. */
        return run(t,
                   (const char *const[]){ "mkfs.vfat", "--invariant", "-F", "32", "-s",
                                          esp->size <= SMALL_ESP ? "1" : "8", "-n", "ESP", "-i",
                                          serial, "--offset", offset, t->path, blocks, NULL },
                   0, err);
}

static int make_directories(const struct tools *t, struct error *err)
{
        return run(t,
                   (const char *const[]){ "mmd", "-i", t->image, "::EFI", "::EFI/BOOT",
                                          "::EFI/Linux", "::EFI/systemd", "::loader", NULL },
                   0, err);
}

/* source "-" is stdin_fd. */
static int put_file(const struct tools *t, const char *source, int stdin_fd, const char *name,
                    struct error *err)
{
        return run(t, (const char *const[]){ "mcopy", "-i", t->image, "--", source, name, NULL },
                   stdin_fd, err);
}

static int put_bytes(const struct tools *t, const void *data, size_t size, const char *name,
                     struct error *err)
{
        _cleanup_close_ int fd = memfd_create("esp-file", MFD_CLOEXEC);
        int r;

        if (fd < 0)
                return error_errno(err, "%s", name);
        r = io_pwrite(fd, data, size, 0, err);
        return r < 0 ? r : put_file(t, "-", fd, name, err);
}

static int put_boot_loader(const struct tools *t, const struct esp_contents *c, const char *name,
                           struct error *err)
{
        return put_bytes(t, c->boot_loader, c->boot_loader_size, name, err);
}

/* Shim, and the boot loader where shim looks for it. */
static int put_shim(const struct tools *t, const struct esp_contents *c, size_t loader,
                    struct error *err)
{
        const struct shim *s = c->shim;
        int r = put_bytes(t, s->loader, s->loader_size, loaders[loader].removable, err);

        if (r >= 0)
                r = put_bytes(t, s->manager, s->manager_size, loaders[loader].manager, err);
        return r < 0 ? r : put_boot_loader(t, c, loaders[loader].second, err);
}

static int put_loader(const struct tools *t, const struct esp_contents *c, struct error *err)
{
        int r;

        for (size_t i = 0; i < ARRAY_SIZE(loaders); i++) {
                if (!streq(loaders[i].architecture, c->architecture))
                        continue;
                r = c->shim ? put_shim(t, c, i, err)
                            : put_boot_loader(t, c, loaders[i].removable, err);
                return r < 0 ? r : put_boot_loader(t, c, loaders[i].installed, err);
        }
        return error_set(err, -EINVAL, "No boot loader for architecture \"%s\"", c->architecture);
}

static int put_uki(const struct tools *t, const char *uki_path, const char *version,
                   struct error *err)
{
        struct boot_entry entry = { .counted = true, .tries_left = BOOT_TRIES };
        char file[BOOT_ENTRY_NAME_MAX], name[BOOT_ENTRY_NAME_MAX + 16];
        struct boot_entry again;

        snprintf(entry.version, sizeof(entry.version), "%s", version);
        if (boot_entry_parse(boot_entry_format(&entry, file), &again) < 0)
                return error_set(err, -EINVAL, "Version \"%s\" cannot name a boot entry", version);
        snprintf(name, sizeof(name), "::EFI/Linux/%s", file);
        return put_file(t, uki_path, 0, name, err);
}

static int put_configuration(const struct tools *t, bool enrol, struct error *err)
{
        _cleanup_buffer_ struct buffer text = {};

        buffer_puts(&text, boot_loader_conf());
        if (enrol)
                buffer_puts(&text, "secure-boot-enroll if-safe\n");
        return text.failed ? error_oom(err)
                           : put_bytes(t, text.data, text.size, "::loader/loader.conf", err);
}

static int put_enrolment(const struct tools *t, const struct enrolment_file files[],
                         struct error *err)
{
        int r = run(t,
                    (const char *const[]){ "mmd", "-i", t->image, "::loader/keys",
                                           "::loader/keys/auto", NULL },
                    0, err);

        for (size_t i = 0; r >= 0 && i < ENROLMENT_FILES; i++) {
                char name[64];

                snprintf(name, sizeof(name), "::loader/keys/auto/%s", files[i].name);
                r = put_bytes(t, files[i].data, files[i].size, name, err);
        }
        return r;
}

static int tools_init(const struct partition *esp, uint64_t epoch, const char *path,
                      struct tools *ret, struct error *err)
{
        ret->path = path;
        if (snprintf(ret->image, sizeof(ret->image), "%s@@%" PRIu64, path, esp->start) >=
            (int)sizeof(ret->image))
                return error_set(err, -ENAMETOOLONG, "%s", path);
        snprintf(ret->epoch, sizeof(ret->epoch), "SOURCE_DATE_EPOCH=%" PRIu64,
                 MAX(epoch, (uint64_t)FAT_EPOCH));
        return 0;
}

int esp_write(const struct partition *esp, const struct esp_contents *contents, const char *path,
              struct error *err)
{
        struct tools t;
        int r = tools_init(esp, contents->epoch, path, &t, err);

        if (r >= 0)
                r = make_file_system(&t, esp, contents->epoch, err);
        if (r >= 0)
                r = make_directories(&t, err);
        if (r >= 0)
                r = put_loader(&t, contents, err);
        if (r >= 0)
                r = put_configuration(&t, contents->enrolment != NULL, err);
        if (r >= 0 && contents->enrolment)
                r = put_enrolment(&t, contents->enrolment, err);
        return error_prefix(err, r, "EFI system partition");
}

int esp_put_uki(const struct partition *esp, const char *uki_path, const char *version,
                uint64_t epoch, const char *path, struct error *err)
{
        struct tools t;
        int r = tools_init(esp, epoch, path, &t, err);

        if (r >= 0)
                r = put_uki(&t, uki_path, version, err);
        return error_prefix(err, r, "EFI system partition");
}
