/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The file that ldconfig writes and ld.so searches (glibc, sysdeps/generic/dl-cache.h):
 *
 *   header, 48 bytes · entries, 24 bytes each · strings
 *
 * ld.so searches the entries by bisection, so they are in falling order of its own comparison of
 * names, in which runs of digits count as numbers. Offsets of strings count from the start of the
 * file. The extension area (glibc-hwcaps, name of the generator) is left out: offset 0. */

#include <ctype.h>
#include <endian.h>

#include "ld-cache.h"
#include "strv.h"

enum { ENTRIES_MAX = 100000, FLAGS_LITTLE_ENDIAN = 2 };

struct cache_header {
        char magic[17], version[3];
        uint32_t count;
        uint32_t strings_size;
        uint8_t flags;
        uint8_t padding[3];
        uint32_t extension_offset;
        uint32_t unused[3];
} _packed_;
_Static_assert(sizeof(struct cache_header) == 48, "ld.so.cache header");

struct cache_entry {
        uint32_t flags;
        uint32_t key, value; /* offsets of soname and path */
        uint32_t os_version;
        uint64_t hwcap;
} _packed_;
_Static_assert(sizeof(struct cache_entry) == 24, "ld.so.cache entry");

uint32_t ld_cache_flags(unsigned machine)
{
        static const struct {
                unsigned machine;
                uint32_t flags; /* 0x3: ELF for glibc 2; 0x300 and so on: the architecture */
        } kinds[] = {
                { 62 /* EM_X86_64 */, 0x0303 },
                { 183 /* EM_AARCH64 */, 0x0a03 },
        };

        for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
                if (kinds[i].machine == machine)
                        return kinds[i].flags;
        return 0;
}

/* Takes a run of digits off *s as ld.so does: as a number. */
static unsigned long take_number(const char **s)
{
        char *end;
        unsigned long value = strtoul(*s, &end, 10);

        *s = end;
        return value;
}

/* ld.so's order of names. */
static int compare_names(const char *a, const char *b)
{
        while (*a != '\0') {
                bool x = isdigit((unsigned char)*a), y = isdigit((unsigned char)*b);

                if (x != y)
                        return x ? 1 : -1;
                if (x) {
                        unsigned long m = take_number(&a), n = take_number(&b);

                        if (m != n)
                                return m < n ? -1 : 1;
                } else if (*a != *b) {
                        return (unsigned char)*a - (unsigned char)*b;
                } else {
                        a++;
                        b++;
                }
        }
        return -(int)(unsigned char)*b;
}

/* Insertion sort: stable, and the entries come from directories sorted by name. */
static void sort_entries(struct ld_cache_entry *entries, size_t count)
{
        for (size_t i = 1; i < count; i++) {
                struct ld_cache_entry entry = entries[i];
                size_t k = i;

                for (; k > 0 && compare_names(entries[k - 1].soname, entry.soname) < 0; k--)
                        entries[k] = entries[k - 1];
                entries[k] = entry;
        }
}

static size_t strings_size(const struct ld_cache_entry *entries, size_t count)
{
        size_t size = 0;

        for (size_t i = 0; i < count; i++)
                size += strlen(entries[i].soname) + 1 + strlen(entries[i].path) + 1;
        return size;
}

int ld_cache_build(struct ld_cache_entry *entries, size_t count, void **ret, size_t *ret_size,
                   struct error *err)
{
        struct cache_header header = { .magic = "glibc-ld.so.cache", .version = "1.1" };
        size_t offset = sizeof(header) + count * sizeof(struct cache_entry);
        _cleanup_buffer_ struct buffer b = {}, strings = {};
        char *data;

        if (count > ENTRIES_MAX)
                return error_set(err, -E2BIG, "more than %d libraries", ENTRIES_MAX);
        sort_entries(entries, count);
        header.count = htole32((uint32_t)count);
        header.strings_size = htole32((uint32_t)strings_size(entries, count));
        header.flags = FLAGS_LITTLE_ENDIAN;
        buffer_append(&b, &header, sizeof(header));
        for (size_t i = 0; i < count; i++) {
                struct cache_entry entry = { .flags = htole32(entries[i].flags) };

                entry.key = htole32((uint32_t)(offset + strings.size));
                buffer_append(&strings, entries[i].soname, strlen(entries[i].soname) + 1);
                entry.value = htole32((uint32_t)(offset + strings.size));
                buffer_append(&strings, entries[i].path, strlen(entries[i].path) + 1);
                buffer_append(&b, &entry, sizeof(entry));
        }
        buffer_append(&b, strings.data, strings.size);
        if (strings.failed || buffer_take(&b, &data, ret_size) < 0)
                return error_oom(err);
        *ret = data;
        return 0;
}
