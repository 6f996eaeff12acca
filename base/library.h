/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Libraries that one stage needs and the others do not are opened when they are: loading them, and
 * what they bring along, would cost each start more time than the rest of it. */

#include "error.h"

struct library_symbol {
        const char *name;
        size_t offset; /* of a pointer in the struct of the library's functions */
};

#define LIBRARY_SYMBOL(struct_, prefix_, member_)                                                  \
        {                                                                                          \
                prefix_ #member_, offsetof(struct struct_, member_)                                \
        }

/* Fills the pointers in ret. The library stays loaded: what it has set up for the end of the
 * process refers to it. */
int library_load(const char *soname, const struct library_symbol *symbols, size_t count, void *ret,
                 struct error *err) _must_check_;

/* Tells those who make an initrd, see
 * https://uapi-group.org/specifications/specs/elf_dlopen_metadata/ */
#define LIBRARY_NOTE_TEXT(feature_, description_, soname_)                                         \
        "[{\"feature\":\"" feature_ "\",\"description\":\"" description_                           \
        "\",\"priority\":\"required\",\"soname\":[\"" soname_ "\"]}]"
#define LIBRARY_NOTE(feature_, description_, soname_)                                              \
        static const struct {                                                                      \
                uint32_t name_size, text_size, type;                                               \
                char name[4];                                                                      \
                _Alignas(4) char text[sizeof(LIBRARY_NOTE_TEXT(feature_, description_, soname_))]; \
        } library_note __attribute__((used, section(".note.dlopen"), aligned(4))) = {              \
                sizeof("FDO"), sizeof(LIBRARY_NOTE_TEXT(feature_, description_, soname_)),         \
                0x407c0c0a, "FDO", LIBRARY_NOTE_TEXT(feature_, description_, soname_)              \
        }
