/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See esp-read.h. mtools follows the first file allocation table and does not look at the second,
 * so that they agree is checked here: one that does not is the only sign that a table was damaged.
 * Layout: Microsoft's FAT32 File System Specification 1.03. */

#include <assert.h>
#include <endian.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/mman.h>

#include "esp-read.h"
#include "io.h"
#include "process.h"

enum {
        IMAGE_ARGUMENT_MAX = 4096 + 32,
        FILES_MAX = 4096,
        LIST_MAX = 1024 * 1024, /* bytes of mdir's output */
        COMPARED = 64 * 1024,
};

struct fat32_boot_sector {
        uint8_t jump[3], name[8];
        uint16_t bytes_per_sector;
        uint8_t sectors_per_cluster;
        uint16_t reserved_sectors;
        uint8_t tables;
        uint16_t root_entries, sectors_16;
        uint8_t media;
        uint16_t table_sectors_16, sectors_per_track, heads;
        uint32_t hidden, sectors_32, table_sectors_32;
} _packed_;
static_assert(sizeof(struct fat32_boot_sector) == 40, "start of the boot sector");

static int read_boot_sector(int fd, const struct partition *esp, struct fat32_boot_sector *ret,
                            struct error *err)
{
        uint8_t sector[SECTOR_SIZE];
        size_t n;
        int r = io_pread(fd, sector, sizeof(sector), esp->start, &n, err);

        if (r < 0)
                return r;
        memcpy(ret, sector, sizeof(*ret));
        if (n < sizeof(sector) || sector[510] != 0x55 || sector[511] != 0xaa ||
            le16toh(ret->bytes_per_sector) != SECTOR_SIZE || ret->sectors_per_cluster == 0 ||
            ret->tables != 2 || ret->root_entries != 0 || ret->table_sectors_16 != 0 ||
            (uint64_t)le32toh(ret->sectors_32) * SECTOR_SIZE > esp->size ||
            le16toh(ret->reserved_sectors) + 2ULL * le32toh(ret->table_sectors_32) >=
                    le32toh(ret->sectors_32))
                return error_set(err, -EBADMSG, "not FAT32 with two tables");
        return 0;
}

int esp_check(int disk_fd, const struct partition *esp, struct error *err)
{
        _cleanup_free_ uint8_t *data = malloc(2 * COMPARED);
        struct fat32_boot_sector b;
        uint64_t first, size;
        int r = data ? read_boot_sector(disk_fd, esp, &b, err) : error_oom(err);

        if (r < 0)
                return r;
        first = esp->start + (uint64_t)le16toh(b.reserved_sectors) * SECTOR_SIZE;
        size = (uint64_t)le32toh(b.table_sectors_32) * SECTOR_SIZE;
        for (uint64_t at = 0, n; at < size; at += n) {
                n = MIN(size - at, (uint64_t)COMPARED);
                r = io_pread(disk_fd, data, n, first + at, NULL, err);
                if (r >= 0)
                        r = io_pread(disk_fd, data + COMPARED, n, first + size + at, NULL, err);
                if (r < 0)
                        return r;
                if (memcmp(data, data + COMPARED, n) != 0)
                        return error_set(err, -EBADMSG, "its two allocation tables differ");
        }
        return 0;
}

/* ---- mtools ---- */

static int run(const char *const argv[], int stdout_fd, char **ret, struct error *err)
{
        static const char *const environment[] = { "LC_ALL=C", "MTOOLSRC=/dev/null",
                                                   "MTOOLS_SKIP_CHECK=1", NULL };

        return spawn(argv,
                     &(struct spawn_options){ .environment = environment,
                                              .stdout_fd = stdout_fd,
                                              .output_limit = LIST_MAX },
                     ret, err);
}

static int image_argument(const char *disk, const struct partition *esp, char *ret,
                          struct error *err)
{
        return snprintf(ret, IMAGE_ARGUMENT_MAX, "%s@@%" PRIu64, disk, esp->start) >=
                               IMAGE_ARGUMENT_MAX
                       ? error_set(err, -ENAMETOOLONG, "%s", disk)
                       : 0;
}

int esp_list(const char *disk, const struct partition *esp, char ***ret, struct error *err)
{
        _cleanup_strv_ char **lines = NULL, **files = NULL;
        char image[IMAGE_ARGUMENT_MAX];
        _cleanup_free_ char *text = NULL;
        int r = image_argument(disk, esp, image, err);

        if (r >= 0)
                r = run((const char *const[]){ "mdir", "-b", "-/", "-a", "-i", image, "::", NULL },
                        0, &text, err);
        if (r < 0)
                return r;
        if (strv_split(text, "\n", &lines) < 0)
                return error_oom(err);
        STRV_FOREACH (line, lines) {
                const char *name = startswith(*line, "::/");

                if (!name || endswith(name, "/"))
                        continue;
                if (strv_length(files) == FILES_MAX)
                        return error_set(err, -E2BIG, "more than %d files", FILES_MAX);
                if (strv_extend(&files, name) < 0)
                        return error_oom(err);
        }
        *ret = TAKE_PTR(files);
        return 0;
}

int esp_read(const char *disk, const struct partition *esp, const char *name, size_t limit,
             char **ret, size_t *ret_size, struct error *err)
{
        _cleanup_close_ int fd = memfd_create("file", MFD_CLOEXEC);
        _cleanup_free_ char *source = string_format("::%s", name), *data = NULL;
        char image[IMAGE_ARGUMENT_MAX];
        struct stat st;
        int r = source ? image_argument(disk, esp, image, err) : error_oom(err);

        if (r < 0)
                return r;
        if (fd < 0)
                return error_errno(err, "memory");
        r = run((const char *const[]){ "mcopy", "-i", image, "--", source, "-", NULL }, fd, NULL,
                err);
        if (r < 0)
                return r;
        if (fstat(fd, &st) < 0)
                return error_errno(err, "%s", name);
        if ((uint64_t)st.st_size > limit)
                return error_set(err, -EFBIG, "%s: larger than %zu bytes", name, limit);
        data = calloc(1, (size_t)st.st_size + 1);
        if (!data)
                return error_oom(err);
        r = io_pread(fd, data, (size_t)st.st_size, 0, NULL, err);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(data);
        *ret_size = (size_t)st.st_size;
        return 0;
}
