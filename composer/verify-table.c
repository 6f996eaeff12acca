/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The link that is the partition table. libfdisk reads it, and mends in memory what it finds: a
 * copy that is damaged is passed over for the other one. Here both must be whole and say the same.
 * Format: UEFI Specification 2.10, chapter 5.3. */

#include <endian.h>

#include "crc32.h"
#include "disk.h"
#include "gpt.h"
#include "io.h"
#include "verify-internal.h"

enum { ENTRIES_MAX = 128, ENTRY_SIZE = 128, ARRAY_MAX = ENTRIES_MAX * ENTRY_SIZE };

struct copy {
        struct gpt_header header;
        uint8_t entries[ARRAY_MAX];
};

static bool header_sound(const struct gpt_header *h, uint64_t lba)
{
        struct gpt_header zeroed = *h;

        zeroed.header_crc32 = 0;
        return memcmp(h->signature, "EFI PART", sizeof(h->signature)) == 0 &&
               le32toh(h->header_size) == sizeof(*h) &&
               crc32(&zeroed, sizeof(zeroed)) == le32toh(h->header_crc32) &&
               le64toh(h->my_lba) == lba && le32toh(h->size_of_partition_entry) == ENTRY_SIZE &&
               le32toh(h->number_of_partition_entries) <= ENTRIES_MAX;
}

static int read_copy(const struct verifier *v, const char *name, uint64_t lba, struct copy *ret,
                     struct error *err)
{
        uint64_t at, size;
        size_t n = 0;
        int r = io_pread(v->disk_fd, &ret->header, sizeof(ret->header), lba * SECTOR_SIZE, &n, err);

        if (r < 0)
                return r;
        if (n < sizeof(ret->header) || !header_sound(&ret->header, lba))
                return error_set(err, -EBADMSG, "the header of the %s copy is damaged", name);
        at = le64toh(ret->header.partition_entry_lba);
        size = (uint64_t)le32toh(ret->header.number_of_partition_entries) * ENTRY_SIZE;
        if (at > v->layout.disk_size / SECTOR_SIZE)
                return error_set(err, -EBADMSG, "the %s copy is not on the disk", name);
        r = io_pread(v->disk_fd, ret->entries, size, at * SECTOR_SIZE, &n, err);
        if (r >= 0 && (n < size || crc32(ret->entries, size) !=
                                           le32toh(ret->header.partition_entry_array_crc32)))
                r = error_set(err, -EBADMSG, "the entries of the %s copy are damaged", name);
        return r;
}

static int compare_copies(const struct verifier *v, struct error *err)
{
        struct copy primary = {}, backup = {};
        int r = read_copy(v, "first", 1, &primary, err);

        if (r >= 0)
                r = read_copy(v, "second", v->layout.disk_size / SECTOR_SIZE - 1, &backup, err);
        if (r < 0)
                return r;
        if (memcmp(primary.entries, backup.entries, sizeof(primary.entries)) != 0 ||
            memcmp(primary.header.disk_guid, backup.header.disk_guid,
                   sizeof(primary.header.disk_guid)) != 0)
                return error_set(err, -EBADMSG, "its two copies differ");
        return 0;
}

int verify_check_table(struct verifier *v, struct error *err)
{
        int r = disk_read(v->path, &v->layout, err);

        if (r >= 0)
                r = compare_copies(v, err);
        return r < 0 ? r
                     : verify_say(v, VERIFY_HOLDS, "both copies are sound, %zu partitions",
                                  v->layout.count);
}
