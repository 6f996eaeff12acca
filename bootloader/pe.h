/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* PE32+ images: read with every field checked, and written with more sections. Nothing is executed
 * or relocated, so only headers and the section table are understood. */

#include "uki.h"

enum {
        PE_SECTIONS_MAX = 96, /* the Windows loader's limit */
        PE_NAME_SIZE = 8,
        PE_FILE_SIZE_MAX = 0x7fffffff, /* half of what 32 bits address: nothing overflows */
};

struct pe_section {
        char name[PE_NAME_SIZE + 1];
        uint32_t address, memory_size; /* in memory, from the image's base */
        uint32_t offset, file_size;    /* in the file */
};

struct pe {
        uint16_t machine; /* 0x8664 amd64, 0xaa64 arm64 */
        uint32_t section_alignment, file_alignment, headers_size, image_size;
        uint32_t initialized_data_size;
        uint32_t coff_offset, table_offset; /* of the COFF header, of the section table */
        uint32_t checksum_offset;
        uint32_t security_offset; /* of the entry for certificates; 0: there is none */
        uint32_t certificates_offset, certificates_size; /* 0: not signed */
        struct pe_section sections[PE_SECTIONS_MAX];
        size_t n_sections;
};

/* -EINVAL unless the bytes are a sound PE32+ image: tables inside the file, sections aligned, in
 * ascending order, not overlapping; certificates, when there are any, behind all of it. */
int pe_read(const void *data, size_t size, struct pe *ret, struct error *err) _must_check_;
/* The section of that name, or NULL. */
const struct pe_section *pe_find(const struct pe *pe, const char *name);
/* A copy of the image with sections behind its last one, in the given order; caller frees *ret.
 * No byte is left between sections, so that it can be signed. -EINVAL when it is signed already,
 * has a section of such a name, or no room for the headers. */
int pe_append(const void *data, size_t size, const struct uki_section *sections, size_t n_sections,
              char **ret, size_t *ret_size, struct error *err) _must_check_;
