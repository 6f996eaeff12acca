/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What an ELF file says to the dynamic linker. elf-file.c is the only file that includes libelf.
 * Any number of threads may read at once. (Not named elf.h: the system's <elf.h> would be hidden.)
 */

#include <sys/stat.h>

#include "tree.h"

enum { ELF_STRING_MAX = 4096, ELF_STRINGS_MAX = 1024, ELF_NOTE_MAX = 65536 };

enum elf_priority { ELF_SUGGESTED, ELF_RECOMMENDED, ELF_REQUIRED };

/* One entry of a .note.dlopen note: a library that the program opens by itself when it wants the
 * feature. https://systemd.io/ELF_DLOPEN_METADATA/ */
struct elf_dlopen {
        char **sonames; /* alternatives, best first */
        enum elf_priority priority;
};

struct elf_info {
        bool is_64;
        unsigned machine;  /* EM_X86_64 = 62, EM_AARCH64 = 183 … */
        unsigned type;     /* ET_REL = 1, ET_EXEC = 2, ET_DYN = 3 */
        char *soname;      /* DT_SONAME; NULL: none */
        char *interpreter; /* PT_INTERP; NULL: none */
        char **needed;     /* DT_NEEDED, in order */
        char **runpath;    /* DT_RUNPATH, or DT_RPATH when there is none; "$ORIGIN" is kept */
        struct elf_dlopen *dlopens;
        size_t n_dlopens;
};

/* Reads an ELF file in memory. Returns 1, or 0 when the bytes are no ELF file (*ret untouched), or
 * a negative errno when they start like one and are broken. */
int elf_read(const void *data, size_t size, struct elf_info *ret, struct error *err) _must_check_;
/* The same for a regular file of a tree; other inodes are no ELF file. */
int elf_load(const struct tree_inode *inode, const struct content_store *store,
             struct elf_info *ret, struct error *err) _must_check_;
/* Clears the whole blocks inside a relocatable file's code and relocations, which are more than
 * half of a kernel module. Any other file stays as it is. */
void elf_clear_code(char *data, size_t size, size_t block);
void elf_info_done(struct elf_info *info);
#define _cleanup_elf_info_ _cleanup_(elf_info_done)
