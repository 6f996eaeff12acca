/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The disk of powercut.c as it would be found after a cut, and what boots from it: firmware's and
 * the kernel's reading of the GPT, systemd-boot's choice, dm-verity's judgement, each written here
 * from its specification and sharing nothing with the code under test but the order of boot
 * entries. */

#undef NDEBUG /* what must hold does in a release build, too */
#include <assert.h>
#include <endian.h>

#include "blocks.h"
#include "entries.h"
#include "gpt.h"
#include "release.h"

enum {
        WORLD_DISK = 320 * 1024,
        WORLD_FILES = 12, /* names, and files behind them */
        WORLD_NAME = 128,
        WORLD_SECTOR = 512,
        USR_BLOCKS = 24,
        TREE_BLOCKS = 2, /* superblock, leaves */
        UKI_SIZE = 2 * BLOCK_SIZE + 700,
        UKI_BLOCKS = 3,
        SIGNATURE_ROOM = 4096, /* bytes of its partition */
        BOOTS_MAX = 24,        /* before everything that could boot has been tried often enough */
        RELEASES = 4,
        EMPTY_FILE = WORLD_FILES - 1, /* what a new name has before it gets its file */
};

/* A release, with its bytes. */
struct sample {
        struct release release;
        char version[16];
        uint8_t usr[USR_BLOCKS * BLOCK_SIZE], tree[TREE_BLOCKS * BLOCK_SIZE];
        uint8_t uki[UKI_BLOCKS * BLOCK_SIZE]; /* padded */
        uint8_t signature[SIGNATURE_ROOM];    /* as its partition has it; zeros: it is unsigned */
};

struct world_file {
        uint8_t data[UKI_BLOCKS * BLOCK_SIZE];
        size_t size;
};

struct world_name {
        char text[WORLD_NAME]; /* "": free */
        unsigned file;
};

struct world {
        uint8_t disk[WORLD_DISK];
        struct world_file files[WORLD_FILES];
        struct world_name names[WORLD_FILES];
};

static inline struct world_name *world_find(struct world *w, const char *text)
{
        for (size_t i = 0; i < WORLD_FILES; i++)
                if (streq(w->names[i].text, text))
                        return &w->names[i];
        return NULL;
}

static inline void world_name(struct world *w, const char *text, unsigned file)
{
        struct world_name *name = world_find(w, text) ?: world_find(w, "");

        assert(name && strlen(text) < WORLD_NAME);
        strcpy(name->text, text);
        name->file = file;
}

static inline void world_unname(struct world *w, const char *text)
{
        struct world_name *name = world_find(w, text);

        if (name)
                *name = (struct world_name){};
}

/* ---- the partition table, as kernel and firmware read it ---- */

static inline uint32_t read32(const uint8_t *p)
{
        uint32_t n;

        memcpy(&n, p, sizeof(n));
        return le32toh(n);
}

static inline uint64_t read64(const uint8_t *p)
{
        uint64_t n;

        memcpy(&n, p, sizeof(n));
        return le64toh(n);
}

/* CRC-32 of a text in which `hole` (4 bytes) counts as zeros. */
static inline uint32_t crc_with_hole(const uint8_t *data, size_t size, size_t hole)
{
        static uint32_t table[256];
        uint32_t crc = ~0U;

        for (uint32_t i = 0; table[255] == 0; i++) {
                uint32_t n = i;

                for (int bit = 0; bit < 8; bit++)
                        n = n & 1 ? n >> 1 ^ 0xedb88320 : n >> 1;
                table[i] = n;
        }
        for (size_t i = 0; i < size; i++) {
                uint8_t byte = i >= hole && i < hole + 4 ? 0 : data[i];

                crc = table[(crc ^ byte) & 255] ^ crc >> 8;
        }
        return ~crc;
}

/* The array of the copy at that LBA; NULL: the copy does not count. */
static inline const uint8_t *table_copy(const struct world *w, uint64_t lba)
{
        const uint8_t *h = w->disk + lba * WORLD_SECTOR, *array;
        uint64_t at = read64(h + 72), size = (uint64_t)read32(h + 80) * read32(h + 84);

        if (memcmp(h, "EFI PART", 8) != 0 || read32(h + 12) != 92 || read64(h + 24) != lba ||
            crc_with_hole(h, 92, 16) != read32(h + 16) || read32(h + 84) != 128 ||
            at >= WORLD_DISK / WORLD_SECTOR || size > WORLD_DISK - at * WORLD_SECTOR)
                return NULL;
        array = w->disk + at * WORLD_SECTOR;
        return crc_with_hole(array, size, SIZE_MAX - 8) == read32(h + 88) ? array : NULL;
}

static inline const uint8_t *table_array(const struct world *w)
{
        return table_copy(w, 1) ?: table_copy(w, WORLD_DISK / WORLD_SECTOR - 1);
}

/* What is in the partition of that UUID, or so many behind it; NULL: there is none. */
static inline const uint8_t *table_partition(const struct world *w, const struct uuid *uuid,
                                             unsigned behind, uint64_t size)
{
        const uint8_t *array = table_array(w);

        for (unsigned i = 0; array && i < 128 - behind; i++) {
                const uint8_t *e = array + i * 128;
                uint64_t start = read64(e + behind * 128 + 32) * WORLD_SECTOR;
                char text[UUID_TEXT_SIZE];
                struct uuid found;

                snprintf(text, sizeof(text), "%08x-%04x-%04x-%02x%02x-%02x%02x%02x%02x%02x%02x",
                         read32(e + 16), read32(e + 20) & 0xffff, read32(e + 20) >> 16, e[24],
                         e[25], e[26], e[27], e[28], e[29], e[30], e[31]);
                if (uuid_parse(text, &found) == 0 && memcmp(&found, uuid, sizeof(found)) == 0 &&
                    start + size <= WORLD_DISK)
                        return w->disk + start;
        }
        return NULL;
}

/* ---- dm-verity, all blocks at once ---- */

static inline bool verity_opens(const uint8_t *usr, const uint8_t *tree,
                                const struct sha256 *root_hash)
{
        struct sha256 leaves[DIGESTS_PER_BLOCK] = {}, root;

        sha256_each(usr, BLOCK_SIZE, USR_BLOCKS, leaves);
        sha256_of(tree + BLOCK_SIZE, BLOCK_SIZE, &root);
        return memcmp(tree, "verity\0\0", 8) == 0 && read64(tree + 72) == USR_BLOCKS &&
               memcmp(tree + BLOCK_SIZE, leaves, BLOCK_SIZE) == 0 && sha256_equal(&root, root_hash);
}

/* ---- systemd-boot ---- */

/* How a boot of some samples ends that are not well. */
struct boot {
        const struct sample *started; /* NULL: nothing boots */
        const char *defect;           /* what should never have been started */
        unsigned failed;              /* boots before it */
};

static inline const struct sample *sample_of_uki(const struct sample *const *samples,
                                                 const struct world_file *file)
{
        for (size_t i = 0; samples[i]; i++)
                if (file->size == UKI_SIZE && memcmp(file->data, samples[i]->uki, UKI_SIZE) == 0)
                        return samples[i];
        return NULL;
}

/* The entry that is next, or NULL. What is no PE image systemd-boot does not list. */
static inline struct world_name *next_entry(struct world *w, struct boot_entry *ret)
{
        char text[BOOT_ENTRY_NAME_MAX];
        struct entries entries = {};

        for (size_t i = 0; i < WORLD_FILES; i++) {
                const struct world_file *file = &w->files[w->names[i].file];

                if (boot_entry_parse(w->names[i].text, &entries.items[entries.count]) == 0 &&
                    file->size > 2 && memcmp(file->data, "MZ", 2) == 0)
                        entries.count++;
        }
        if (!entries_next(&entries))
                return NULL;
        *ret = *entries_next(&entries);
        return world_find(w, boot_entry_format(ret, text));
}

/* What the kernel finds when this UKI runs: "" or what is wrong. */
static inline const char *try_sample(const struct world *w, const struct sample *s)
{
        const uint8_t *usr, *tree, *signature;
        struct uuid usr_uuid, tree_uuid;
        struct sha256 root_hash;
        const char *hex = strstr((const char *)s->uki, "usrhash=");
        char text[SHA256_HEX_SIZE];

        snprintf(text, sizeof(text), "%.64s", hex + strlen("usrhash="));
        if (hex_decode(text, root_hash.bytes, SHA256_SIZE) < 0)
                return "a UKI without root hash";
        gpt_uuids_from_root_hash(&root_hash, &usr_uuid, &tree_uuid);
        usr = table_partition(w, &usr_uuid, 0, sizeof(s->usr));
        tree = table_partition(w, &tree_uuid, 0, sizeof(s->tree));
        signature = table_partition(w, &tree_uuid, 1, sizeof(s->signature));
        if (!table_array(w))
                return "no partition table";
        if (!usr || !tree || !signature)
                return "the entry's slot is not there";
        if (memcmp(signature, s->signature, sizeof(s->signature)) != 0)
                return "the entry's slot has not its signature, or another's";
        return verity_opens(usr, tree, &root_hash) ? "" : "the entry's slot is damaged";
}

/* Starts until something stays up. `sick` never does. */
static inline struct boot boot_world(const struct world *world, const struct sample *const *samples,
                                     const struct sample *sick)
{
        struct world *w = malloc(sizeof(*w));
        struct boot boot = {};
        struct boot_entry e;

        assert(w);
        *w = *world;
        for (; boot.failed < BOOTS_MAX; boot.failed++) {
                struct world_name *name = next_entry(w, &e);
                const struct sample *s =
                        name ? sample_of_uki(samples, &w->files[name->file]) : NULL;
                const char *defect = !name ? "no boot entry"
                                     : !s  ? "a UKI that is none"
                                           : try_sample(w, s);

                if (!*defect && s != sick) {
                        boot.started = s;
                        break;
                }
                if (*defect)
                        boot.defect = defect;
                if (!name)
                        break;
                e.tries_left -= e.counted && e.tries_left > 0;
                e.tries_done += e.counted;
                boot_entry_format(&e, name->text);
        }
        free(w);
        return boot;
}

/* ---- which worlds were seen ---- */

static inline uint64_t mix(uint64_t hash, const void *data, size_t size)
{
        const uint8_t *bytes = data;

        for (; size >= 8; size -= 8, bytes += 8)
                hash = (hash ^ read64(bytes)) * 0x9e3779b97f4a7c15 + (hash >> 29);
        for (; size > 0; size--, bytes++)
                hash = (hash ^ *bytes) * 0x100000001b3;
        return hash ^ hash >> 32;
}

static inline uint64_t world_hash(const struct world *w)
{
        uint64_t hash = mix(1, w->disk, sizeof(w->disk));

        /* Names are a set. */
        for (size_t i = 0; i < WORLD_FILES; i++) {
                const struct world_name *name = &w->names[i];
                const struct world_file *file = &w->files[name->file];

                if (*name->text)
                        hash += mix(mix(2, name->text, strlen(name->text)), file->data, file->size);
        }
        return hash;
}
