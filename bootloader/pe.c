/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See pe.h. The format (https://learn.microsoft.com/windows/win32/debug/pe-format), all fields
 * little-endian:
 *
 *   0                  "MZ" … at 0x3c: where the COFF header is
 *   coff_offset        "PE\0\0", COFF header
 *   + 24               optional header (PE32+), data directories
 *   table_offset       section table, 40 bytes each, up to SizeOfHeaders
 *   file-aligned       the sections' bytes
 *
 *   certificates_offset  at the end of a signed image: pe-certificate.c
 *
 * Appending: the new rows go behind the table, the bytes behind the file, addresses behind the last
 * section. Sizes in the optional header follow; the checksum, which UEFI ignores, becomes 0. What
 * alignment leaves free between two sections in the file becomes the end of the first one, beyond
 * its size in memory: signatures are of the sections' bytes. */

#include <assert.h>
#include <endian.h>

#include "memory.h"
#include "pe.h"

enum {
        DOS_COFF_POINTER = 0x3c,
        PE32_PLUS = 0x20b,
        DIRECTORY_SECURITY = 4, /* where Authenticode signatures are */
        DIRECTORIES_MAX = 16,
        /* Where large sections begin in the file, so that a kernel has the blocks here that it has
         * in an image, and an update fetches them once. */
        FILE_BLOCK = 4096,
        IMAGE_SIZE_MAX = PE_FILE_SIZE_MAX,
        CERTIFICATE_ALIGN = 8,
};

/* Contents of sections that are only data for the stub. */
enum { SECTION_INITIALIZED_DATA = 0x40, SECTION_READ = 0x40000000 };

struct coff_header {
        uint8_t signature[4];
        uint16_t machine, number_of_sections;
        uint32_t time_date_stamp, pointer_to_symbol_table, number_of_symbols;
        uint16_t size_of_optional_header, characteristics;
} _packed_;
static_assert(sizeof(struct coff_header) == 24, "COFF header with signature");

struct optional_header {
        uint16_t magic;
        uint8_t major_linker_version, minor_linker_version;
        uint32_t size_of_code, size_of_initialized_data, size_of_uninitialized_data;
        uint32_t address_of_entry_point, base_of_code;
        uint64_t image_base;
        uint32_t section_alignment, file_alignment;
        uint16_t versions[6];
        uint32_t win32_version_value, size_of_image, size_of_headers, check_sum;
        uint16_t subsystem, dll_characteristics;
        uint64_t stack_and_heap[4];
        uint32_t loader_flags, number_of_rva_and_sizes;
} _packed_;
static_assert(sizeof(struct optional_header) == 112, "PE32+ optional header");

struct section_header {
        char name[PE_NAME_SIZE];
        uint32_t virtual_size, virtual_address, size_of_raw_data, pointer_to_raw_data;
        uint32_t pointer_to_relocations, pointer_to_line_numbers;
        uint16_t number_of_relocations, number_of_line_numbers;
        uint32_t characteristics;
} _packed_;
static_assert(sizeof(struct section_header) == 40, "section table row");

static int malformed(struct error *err, const char *what)
{
        return error_set(err, -EINVAL, "Not a sound PE32+ image: %s", what);
}

/* Copies a header out of the file; false when it does not lie inside. */
static bool fetch(const void *data, size_t size, uint64_t offset, void *ret, size_t want)
{
        if (offset > size || want > size - offset)
                return false;
        memcpy(ret, (const uint8_t *)data + offset, want);
        return true;
}

static bool power_of_two(uint32_t n)
{
        return n > 0 && (n & (n - 1)) == 0;
}

static int read_coff(const void *data, size_t size, struct pe *pe, struct coff_header *coff,
                     struct error *err)
{
        char magic[2];
        uint32_t at;

        if (!fetch(data, size, 0, magic, sizeof(magic)) || memcmp(magic, "MZ", 2) != 0)
                return malformed(err, "no MZ magic");
        if (!fetch(data, size, DOS_COFF_POINTER, &at, sizeof(at)) ||
            !fetch(data, size, le32toh(at), coff, sizeof(*coff)))
                return malformed(err, "the COFF header lies outside of the file");
        if (memcmp(coff->signature, "PE\0\0", 4) != 0)
                return malformed(err, "no PE signature");
        pe->coff_offset = le32toh(at);
        pe->machine = le16toh(coff->machine);
        pe->n_sections = le16toh(coff->number_of_sections);
        if (pe->n_sections == 0 || pe->n_sections > PE_SECTIONS_MAX)
                return malformed(err, "no sections, or more than 96");
        return 0;
}

/* Where certificates are, which must be the end of the file. Overlap with sections is for the
 * sections' check to find: `size` ends where the table begins. */
static int read_directories(const void *data, size_t size, uint64_t at, uint32_t n, struct pe *pe,
                            struct error *err)
{
        uint32_t entry[2];

        pe->checksum_offset = (uint32_t)(at + offsetof(struct optional_header, check_sum));
        if (n <= DIRECTORY_SECURITY)
                return 0;
        at += sizeof(struct optional_header) + DIRECTORY_SECURITY * sizeof(entry);
        if (!fetch(data, size, at, entry, sizeof(entry)))
                return malformed(err, "the data directories do not fit");
        pe->security_offset = (uint32_t)at;
        pe->certificates_offset = le32toh(entry[0]);
        pe->certificates_size = le32toh(entry[1]);
        if (pe->certificates_offset == 0 && pe->certificates_size == 0)
                return 0;
        if (pe->certificates_size == 0 || pe->certificates_offset % CERTIFICATE_ALIGN != 0 ||
            (uint64_t)pe->certificates_offset + pe->certificates_size != size)
                return malformed(err, "the certificate table is not the end of the file");
        return 0;
}

static int read_optional(const void *data, size_t size, const struct coff_header *coff,
                         struct pe *pe, struct error *err)
{
        uint64_t at = pe->coff_offset + sizeof(struct coff_header);
        size_t length = le16toh(coff->size_of_optional_header);
        struct optional_header o;

        if (length < sizeof(o) || !fetch(data, size, at, &o, sizeof(o)))
                return malformed(err, "the optional header is too short");
        if (le16toh(o.magic) != PE32_PLUS)
                return malformed(err, "not PE32+");
        if (le32toh(o.number_of_rva_and_sizes) > DIRECTORIES_MAX ||
            length < sizeof(o) + 8 * (size_t)le32toh(o.number_of_rva_and_sizes))
                return malformed(err, "the data directories do not fit");
        pe->section_alignment = le32toh(o.section_alignment);
        pe->file_alignment = le32toh(o.file_alignment);
        pe->headers_size = le32toh(o.size_of_headers);
        pe->image_size = le32toh(o.size_of_image);
        pe->initialized_data_size = le32toh(o.size_of_initialized_data);
        if (at + length > IMAGE_SIZE_MAX || size > PE_FILE_SIZE_MAX)
                return malformed(err, "it is too large");
        pe->table_offset = (uint32_t)(at + length);
        if (!power_of_two(pe->section_alignment) || !power_of_two(pe->file_alignment) ||
            pe->file_alignment > pe->section_alignment || pe->section_alignment > 64 * KIB)
                return malformed(err, "strange alignments");
        if (pe->headers_size > size || pe->table_offset > pe->headers_size ||
            pe->n_sections * sizeof(struct section_header) > pe->headers_size - pe->table_offset)
                return malformed(err, "the section table lies outside of the headers");
        if (pe->image_size > IMAGE_SIZE_MAX || pe->image_size % pe->section_alignment != 0)
                return malformed(err, "strange image size");
        return read_directories(data, size, at, le32toh(o.number_of_rva_and_sizes), pe, err);
}

static int check_section(const struct pe *pe, const struct pe_section *s, uint64_t previous_end,
                         size_t size, struct error *err)
{
        if (s->address % pe->section_alignment != 0 || s->address < previous_end)
                return malformed(err, "sections are not aligned, or overlap");
        if ((uint64_t)s->address + s->memory_size > pe->image_size)
                return malformed(err, "a section lies outside of the image");
        if (s->file_size > 0 &&
            (s->offset < pe->headers_size || s->offset > size || s->file_size > size - s->offset))
                return malformed(err, "a section lies outside of the file");
        return 0;
}

static int read_sections(const void *data, size_t size, struct pe *pe, struct error *err)
{
        uint64_t end = pe->headers_size;
        int r;

        for (size_t i = 0; i < pe->n_sections; i++) {
                struct pe_section *s = &pe->sections[i];
                struct section_header h;

                if (!fetch(data, size, pe->table_offset + i * sizeof(h), &h, sizeof(h)))
                        return malformed(err, "the section table lies outside of the file");
                memcpy(s->name, h.name, PE_NAME_SIZE);
                s->address = le32toh(h.virtual_address);
                s->memory_size = le32toh(h.virtual_size);
                s->offset = le32toh(h.pointer_to_raw_data);
                s->file_size = le32toh(h.size_of_raw_data);
                r = check_section(pe, s, end, size, err);
                if (r < 0)
                        return r;
                end = (uint64_t)s->address + s->memory_size;
        }
        return 0;
}

int pe_read(const void *data, size_t size, struct pe *ret, struct error *err)
{
        struct coff_header coff;
        struct pe pe = {};
        int r;

        r = read_coff(data, size, &pe, &coff, err);
        if (r >= 0)
                r = read_optional(data, size, &coff, &pe, err);
        if (r >= 0)
                r = read_sections(data, pe.certificates_size > 0 ? pe.certificates_offset : size,
                                  &pe, err);
        if (r >= 0)
                *ret = pe;
        return r;
}

const struct pe_section *pe_find(const struct pe *pe, const char *name)
{
        for (size_t i = 0; i < pe->n_sections; i++)
                if (streq(pe->sections[i].name, name))
                        return &pe->sections[i];
        return NULL;
}

/* The section whose bytes are the last in the file; NULL when none has any. */
static struct pe_section *last_in_file(struct pe *pe)
{
        struct pe_section *last = NULL;

        for (size_t i = 0; i < pe->n_sections; i++) {
                struct pe_section *s = &pe->sections[i];

                if (s->file_size > 0 && (!last || s->offset > last->offset))
                        last = s;
        }
        return last;
}

static void reach(struct pe *pe, struct pe_section *s, uint64_t end)
{
        uint32_t grown = (uint32_t)end - s->offset;

        pe->initialized_data_size += grown - s->file_size;
        s->file_size = grown;
}

/* Gives the new sections their places behind what is there. */
static int place(const struct uki_section *sections, size_t n_sections, size_t size, struct pe *pe,
                 uint64_t *ret_size, struct error *err)
{
        const struct pe_section *last = &pe->sections[pe->n_sections - 1];
        uint64_t address = (uint64_t)last->address + last->memory_size, at = size;
        struct pe_section *before = last_in_file(pe);

        if (!before)
                return malformed(err, "its sections have no bytes");
        if (n_sections > PE_SECTIONS_MAX - pe->n_sections ||
            (pe->n_sections + n_sections) * sizeof(struct section_header) >
                    pe->headers_size - pe->table_offset)
                return malformed(err, "no room for more section headers");
        for (size_t i = 0; i < n_sections; i++) {
                const struct uki_section *in = &sections[i];
                struct pe_section *s = &pe->sections[pe->n_sections];

                if (strlen(in->name) > PE_NAME_SIZE || pe_find(pe, in->name))
                        return error_set(err, -EINVAL, "Section %s: bad name, or there already",
                                         in->name);
                address = ROUND_UP(address, pe->section_alignment);
                at = ROUND_UP(at, in->size < FILE_BLOCK
                                          ? pe->file_alignment
                                          : MAX(pe->file_alignment, (uint32_t)FILE_BLOCK));
                if (in->size > IMAGE_SIZE_MAX || address + in->size > IMAGE_SIZE_MAX ||
                    at + in->size > IMAGE_SIZE_MAX - MAX(pe->file_alignment, (uint32_t)FILE_BLOCK))
                        return error_set(err, -EFBIG, "Section %s: the image exceeds 2 GiB",
                                         in->name);
                reach(pe, before, at);
                strcpy(s->name, in->name);
                s->address = (uint32_t)address;
                s->memory_size = (uint32_t)in->size;
                s->offset = (uint32_t)at;
                s->file_size = (uint32_t)ROUND_UP(in->size, pe->file_alignment);
                address += in->size;
                at += s->file_size;
                pe->initialized_data_size += s->file_size;
                pe->n_sections++;
                if (s->file_size > 0)
                        before = s;
        }
        pe->image_size = (uint32_t)ROUND_UP(address, pe->section_alignment);
        *ret_size = at;
        return 0;
}

static void put_headers(char *image, const struct pe *pe)
{
        struct coff_header coff;
        struct optional_header o;
        size_t at = pe->coff_offset;

        memcpy(&coff, image + at, sizeof(coff));
        coff.number_of_sections = htole16((uint16_t)pe->n_sections);
        coff.pointer_to_symbol_table = coff.number_of_symbols = 0;
        memcpy(image + at, &coff, sizeof(coff));
        at += sizeof(coff);
        memcpy(&o, image + at, sizeof(o));
        o.size_of_initialized_data = htole32(pe->initialized_data_size);
        o.size_of_image = htole32(pe->image_size);
        o.check_sum = 0;
        memcpy(image + at, &o, sizeof(o));
}

/* Of sections that were there, the last one's size in the file may have changed. */
static void put_old_sections(char *image, const struct pe *pe, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                uint32_t size = htole32(pe->sections[i].file_size);

                memcpy(image + pe->table_offset + i * sizeof(struct section_header) +
                               offsetof(struct section_header, size_of_raw_data),
                       &size, sizeof(size));
        }
}

static void put_section(char *image, const struct pe *pe, size_t index,
                        const struct uki_section *in)
{
        const struct pe_section *s = &pe->sections[index];
        struct section_header h = {
                .virtual_size = htole32(s->memory_size),
                .virtual_address = htole32(s->address),
                .size_of_raw_data = htole32(s->file_size),
                .pointer_to_raw_data = htole32(s->offset),
                .characteristics = htole32(SECTION_INITIALIZED_DATA | SECTION_READ),
        };

        memcpy(h.name, s->name, PE_NAME_SIZE);
        memcpy(image + pe->table_offset + index * sizeof(h), &h, sizeof(h));
        if (in->size > 0)
                memcpy(image + s->offset, in->data, in->size);
}

int pe_append(const void *data, size_t size, const struct uki_section *sections, size_t n_sections,
              char **ret, size_t *ret_size, struct error *err)
{
        uint64_t total = 0;
        size_t n_old;
        struct pe pe;
        char *image;
        int r;

        r = pe_read(data, size, &pe, err);
        if (r < 0)
                return r;
        if (pe.certificates_size > 0)
                return malformed(err, "it is signed, so nothing can be appended");
        n_old = pe.n_sections;
        r = place(sections, n_sections, size, &pe, &total, err);
        if (r < 0)
                return r;
        image = memory_large(total);
        if (!image)
                return error_oom(err);
        memcpy(image, data, size);
        memset(image + size, 0, total - size);
        put_headers(image, &pe);
        put_old_sections(image, &pe, n_old);
        for (size_t i = 0; i < n_sections; i++)
                put_section(image, &pe, n_old + i, &sections[i]);
        *ret = image;
        *ret_size = total;
        return 0;
}
