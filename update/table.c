/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See table.h. A copy of the table is a header and an array of entries; the header's checksum
 * covers the array's, so a copy that is being written is not valid until all of it is there, in
 * whatever order its sectors arrive: within a copy no order has to be kept. Between copies it has:
 *
 *   backup, flush: the primary is whole, and says what it said
 *   primary, flush: torn, it is not valid, and the backup is, which says the new
 *
 * (The other way round where only the backup was whole: the one that counts comes last.)
 *
 * Both are valid but different in between; firmware and kernel then take the primary, and so does
 * the next update. A torn primary is passed over for the backup by firmware, and by Linux with
 * "gpt" on its command line (block/partitions/efi.c), which our images have.
 *
 * Nothing but this file writes tables on a running host, and what it does not change it copies byte
 * for byte. The format is that of the UEFI Specification 2.10, chapter 5.3. */

#include <assert.h>
#include <endian.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#include "crc32.h"
#include "table.h"

enum {
        TABLE_ENTRIES_MAX = 256, /* twice what every tool makes */
        ENTRY_SIZE_MIN = 128,    /* sizes are this times a power of two */
        ENTRY_SIZE_MAX = 4096,
        SECTOR_MAX = 4096,
        PRIMARY_LBA = 1,
        PRIMARY_ENTRIES_LBA = 2, /* where nothing says otherwise */
};

struct gpt_entry {
        uint8_t partition_type_guid[16], unique_partition_guid[16];
        uint64_t starting_lba, ending_lba, attributes;
        uint16_t partition_name[GPT_LABEL_MAX];
} _packed_;
static_assert(sizeof(struct gpt_entry) == ENTRY_SIZE_MIN, "GPT entry");

/* One copy of the table, as on the disk. */
struct table {
        uint64_t sector, last_lba; /* bytes of a sector; number of the disk's last */
        uint64_t size;             /* bytes of the array, in whole sectors */
        union {
                struct gpt_header header;
                uint8_t header_sector[SECTOR_MAX];
        };
        uint8_t *entries;
};

static void table_done(struct table *t)
{
        free(t->entries);
        t->entries = NULL;
}

/* ---- reading ---- */

static uint32_t header_crc(const struct table *t)
{
        uint8_t copy[SECTOR_MAX];

        memcpy(copy, t->header_sector, t->sector);
        memset(copy + offsetof(struct gpt_header, header_crc32), 0, sizeof(uint32_t));
        return crc32(copy, le32toh(t->header.header_size));
}

static uint32_t entries_crc(const struct table *t)
{
        const struct gpt_header *h = &t->header;

        return crc32(t->entries, (size_t)le32toh(h->number_of_partition_entries) *
                                         le32toh(h->size_of_partition_entry));
}

static struct gpt_entry *entry_at(const struct table *t, unsigned index)
{
        return (struct gpt_entry *)(t->entries +
                                    (size_t)index * le32toh(t->header.size_of_partition_entry));
}

static bool entry_used(const struct gpt_entry *e)
{
        return !memory_is_zero(e->partition_type_guid, sizeof(e->partition_type_guid));
}

static bool header_sound(const struct table *t, uint64_t lba)
{
        const struct gpt_header *h = &t->header;
        uint32_t size = le32toh(h->header_size), entry_size = le32toh(h->size_of_partition_entry),
                 count = le32toh(h->number_of_partition_entries);

        return memcmp(h->signature, "EFI PART", sizeof(h->signature)) == 0 && size >= sizeof(*h) &&
               size <= t->sector && header_crc(t) == le32toh(h->header_crc32) &&
               le64toh(h->my_lba) == lba && entry_size >= ENTRY_SIZE_MIN &&
               entry_size <= ENTRY_SIZE_MAX && (entry_size & (entry_size - 1)) == 0 && count > 0 &&
               count <= TABLE_ENTRIES_MAX;
}

/* Bytes of the array, in whole sectors. */
static uint64_t array_size(const struct table *t)
{
        return ROUND_UP((uint64_t)le32toh(t->header.number_of_partition_entries) *
                                le32toh(t->header.size_of_partition_entry),
                        t->sector);
}

/* Header and array lie on the disk, and outside of what partitions may take. */
static bool places_sound(const struct table *t)
{
        const struct gpt_header *h = &t->header;
        uint64_t first = le64toh(h->first_usable_lba), last = le64toh(h->last_usable_lba),
                 at = le64toh(h->partition_entry_lba), length = array_size(t) / t->sector;

        if (first > last || last >= t->last_lba || at < PRIMARY_ENTRIES_LBA ||
            at > t->last_lba - length)
                return false;
        return le64toh(h->my_lba) == PRIMARY_LBA ? at + length <= first : at > last;
}

static bool entries_sound(const struct table *t)
{
        const struct gpt_header *h = &t->header;

        if (entries_crc(t) != le32toh(h->partition_entry_array_crc32))
                return false;
        for (unsigned i = 0; i < le32toh(h->number_of_partition_entries); i++) {
                const struct gpt_entry *e = entry_at(t, i);

                if (entry_used(e) && (le64toh(e->starting_lba) < le64toh(h->first_usable_lba) ||
                                      le64toh(e->ending_lba) > le64toh(h->last_usable_lba) ||
                                      le64toh(e->starting_lba) > le64toh(e->ending_lba)))
                        return false;
        }
        return true;
}

/* 1: the copy with its header there is whole; 0: it is not. */
static int read_copy(const struct store *s, uint64_t sector, uint64_t lba, struct table *ret,
                     struct error *err)
{
        uint64_t sectors = s->targets[STORE_TABLE].size / sector;
        _cleanup_(table_done) struct table t = { .sector = sector, .last_lba = sectors - 1 };
        int r;

        if (sectors <= PRIMARY_ENTRIES_LBA)
                return 0;
        r = store_read(s, STORE_TABLE, lba * sector, t.header_sector, sector, err);
        if (r < 0 || !header_sound(&t, lba))
                return r;
        t.size = array_size(&t);
        if (t.size >= s->targets[STORE_TABLE].size || !places_sound(&t))
                return 0;
        t.entries = malloc(t.size);
        if (!t.entries)
                return error_oom(err);
        r = store_read(s, STORE_TABLE, le64toh(t.header.partition_entry_lba) * sector, t.entries,
                       t.size, err);
        if (r < 0 || !entries_sound(&t))
                return r;
        *ret = TAKE_STRUCT(t);
        return 1;
}

/* The copy that counts, of a disk with such sectors. */
static int read_disk(const struct store *s, uint64_t sector, struct table *ret, struct error *err)
{
        int r = read_copy(s, sector, PRIMARY_LBA, ret, err);

        return r != 0 ? r
                      : read_copy(s, sector, s->targets[STORE_TABLE].size / sector - 1, ret, err);
}

static int read_table(const struct store *s, struct table *ret, struct error *err)
{
        static const uint64_t sectors[] = { 512, 4096 };
        int device;
        bool known = ioctl(s->targets[STORE_TABLE].fd, BLKSSZGET, &device) == 0;

        /* A file does not say what its sectors are, but a table of the other kind is no table. */
        for (size_t i = 0; i < ARRAY_SIZE(sectors); i++) {
                int r = known && sectors[i] != (uint64_t)device
                                ? 0
                                : read_disk(s, sectors[i], ret, err);

                if (r != 0)
                        return r < 0 ? r : 0;
        }
        return error_set(err, -EBADMSG, "neither of its two copies is whole");
}

/* ---- changing ---- */

/* The first three fields are little-endian in a GPT. */
static void put_guid(uint8_t *guid, const struct uuid *uuid)
{
        static const uint8_t order[UUID_SIZE] = { 3, 2, 1,  0,  5,  4,  7,  6,
                                                  8, 9, 10, 11, 12, 13, 14, 15 };

        for (size_t i = 0; i < UUID_SIZE; i++)
                guid[i] = uuid->bytes[order[i]];
}

static int put_label(struct gpt_entry *e, const char *label, struct error *err)
{
        uint16_t name[GPT_LABEL_MAX] = {};

        for (size_t i = 0; label[i]; i++) {
                if (i == GPT_LABEL_MAX || label[i] < ' ' || label[i] > '~')
                        return error_set(err, -EINVAL,
                                         "label '%s': over %d characters, or not ASCII", label,
                                         GPT_LABEL_MAX);
                name[i] = htole16((uint16_t)label[i]);
        }
        memcpy(e->partition_name, name, sizeof(name));
        return 0;
}

/* Two partitions of one UUID would be two answers to the same question. */
static bool guid_taken(const struct table *t, unsigned except, const uint8_t *guid)
{
        for (unsigned i = 0; i < le32toh(t->header.number_of_partition_entries); i++)
                if (i != except && entry_used(entry_at(t, i)) &&
                    memcmp(entry_at(t, i)->unique_partition_guid, guid, UUID_SIZE) == 0)
                        return true;
        return false;
}

static int apply(struct table *t, const struct table_change *change, struct error *err)
{
        unsigned count = le32toh(t->header.number_of_partition_entries);
        struct gpt_entry *e;
        uint8_t guid[UUID_SIZE];

        if (change->number < 1 || change->number > count ||
            !entry_used(entry_at(t, change->number - 1)))
                return error_set(err, -ENXIO, "no such partition");
        e = entry_at(t, change->number - 1);
        put_guid(guid, &change->uuid);
        if (guid_taken(t, change->number - 1, guid))
                return error_set(err, -EEXIST, "another partition has its UUID");
        memcpy(e->unique_partition_guid, guid, sizeof(guid));
        return put_label(e, change->label, err);
}

/* ---- writing ---- */

/* Where the array of a copy is: the backup's is just before its header. */
static int place_copy(const struct table *t, uint64_t lba, uint64_t *ret, struct error *err)
{
        const struct gpt_header *h = &t->header;
        uint64_t length = t->size / t->sector, at;

        if (lba == PRIMARY_LBA) {
                at = le64toh(h->my_lba) == PRIMARY_LBA ? le64toh(h->partition_entry_lba)
                                                       : PRIMARY_ENTRIES_LBA;
                if (at + length > le64toh(h->first_usable_lba))
                        return error_set(err, -ENOSPC, "no room for a primary copy");
        } else {
                at = lba - length;
                if (length >= lba || at <= le64toh(h->last_usable_lba))
                        return error_set(err, -ENOSPC, "no room for a backup copy");
        }
        *ret = at;
        return 0;
}

/* The header of the copy at `lba`. */
static void seal(struct table *t, uint64_t lba, uint64_t entries_lba)
{
        struct gpt_header *h = &t->header;

        h->my_lba = htole64(lba);
        h->alternate_lba = htole64(lba == PRIMARY_LBA ? t->last_lba : PRIMARY_LBA);
        h->partition_entry_lba = htole64(entries_lba);
        h->partition_entry_array_crc32 = htole32(entries_crc(t));
        h->header_crc32 = htole32(header_crc(t));
}

static int write_changed(struct store *s, uint64_t offset, const void *data, uint64_t size,
                         struct error *err)
{
        _cleanup_free_ void *there = malloc(size);
        int r;

        if (!there)
                return error_oom(err);
        r = store_read(s, STORE_TABLE, offset, there, size, err);
        if (r < 0 || memcmp(there, data, size) == 0)
                return r;
        return store_write(s, STORE_TABLE, offset, data, size, err);
}

/* The flush is for what an earlier run may have left in the cache, too. */
static int write_copy(struct store *s, const struct table *table, uint64_t lba, struct error *err)
{
        struct table t = *table;
        uint64_t at = 0;
        int r = place_copy(table, lba, &at, err);

        if (r < 0)
                return r;
        seal(&t, lba, at);
        r = write_changed(s, at * t.sector, t.entries, t.size, err);
        if (r >= 0)
                r = write_changed(s, lba * t.sector, t.header_sector, t.sector, err);
        return r < 0 ? r : store_flush(s, STORE_TABLE, err);
}

/* The copy that was read, and so may be the only whole one, is written when the other one is. */
static int write_both(struct store *s, const struct table *t, struct error *err)
{
        bool from_primary = le64toh(t->header.my_lba) == PRIMARY_LBA;
        int r = write_copy(s, t, from_primary ? t->last_lba : PRIMARY_LBA, err);

        return r < 0 ? r : write_copy(s, t, from_primary ? PRIMARY_LBA : t->last_lba, err);
}

int table_update(struct store *s, const struct table_change *changes, size_t count,
                 struct error *err)
{
        _cleanup_(table_done) struct table t = {};
        int r = read_table(s, &t, err);

        for (size_t i = 0; r >= 0 && i < count; i++)
                r = error_prefix(err, apply(&t, &changes[i], err), "partition %u",
                                 changes[i].number);
        if (r >= 0)
                r = write_both(s, &t, err);
        return error_prefix(err, r, "Partition table");
}
