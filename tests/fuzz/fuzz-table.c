/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Any disk: its table is refused, or changed; then it says the same a second time, and from either
 * copy alone. With the last bit set, checksums are made right first, else few inputs would get far.
 */

#include <assert.h>
#include <endian.h>
#include <sys/mman.h>

#include "../../update/table.h" /* the composer has one of that name */
#include "io.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SECTOR = 512, DISK_MIN = 6 * SECTOR, DISK_MAX = 64 * 1024 };

static uint32_t crc(const uint8_t *data, size_t size)
{
        uint32_t n = ~0U;

        for (size_t i = 0; i < 8 * size; i++) {
                n ^= i % 8 == 0 ? data[i / 8] : 0;
                n = n & 1 ? n >> 1 ^ 0xedb88320 : n >> 1;
        }
        return ~n;
}

static void put_crc(uint8_t *at, uint32_t value)
{
        value = htole32(value);
        memcpy(at, &value, sizeof(value));
}

static uint64_t get(const uint8_t *at, size_t bytes)
{
        uint64_t value = 0;

        memcpy(&value, at, bytes);
        return le64toh(value);
}

/* The checksums of the copy whose header is there. */
static void seal(uint8_t *disk, size_t size, size_t at)
{
        uint64_t array = get(disk + at + 72, 8) % 1024 * SECTOR,
                 length = get(disk + at + 80, 4) * get(disk + at + 84, 4);

        if (array <= size && length <= size - array)
                put_crc(disk + at + 88, crc(disk + array, length));
        put_crc(disk + at + 16, 0);
        put_crc(disk + at + 16, crc(disk + at, 92));
}

static int update(struct store *s, struct error *err)
{
        const struct table_change change = { 1, { { 1, 2, 3 } }, "fuzzed" };

        return table_update(s, &change, 1, err);
}

static int refuse_writes(void *userdata _unused_, const struct store_event *event,
                         struct error *err _unused_)
{
        assert(event->operation != STORE_WRITE);
        return 0;
}

static void try(uint8_t *disk, size_t size)
{
        _cleanup_store_ struct store s = STORE_NULL;
        const uint64_t headers[] = { SECTOR, size - SECTOR };
        struct error err = {};

        s.targets[STORE_TABLE] = (struct store_range){ memfd_create("disk", MFD_CLOEXEC), 0, size };
        if (io_pwrite(s.targets[STORE_TABLE].fd, disk, size, 0, &err) < 0 || update(&s, &err) < 0)
                return;
        s.observe = refuse_writes;
        assert(update(&s, &err) == 0);
        s.observe = NULL;
        for (size_t i = 0; i < 2; i++) {
                if (io_pwrite(s.targets[STORE_TABLE].fd, "", 1, headers[i], &err) < 0)
                        abort();
                assert(update(&s, &err) == 0 || size % 4096 == 0);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        size_t whole = size / SECTOR * SECTOR;
        uint8_t *disk;

        if (size < DISK_MIN || size > DISK_MAX)
                return 0;
        disk = malloc(whole);
        assert(disk);
        memcpy(disk, data, whole);
        if (data[size - 1] & 1) {
                seal(disk, whole, SECTOR);
                seal(disk, whole, whole - SECTOR);
        }
        try(disk, whole);
        free(disk);
        return 0;
}
