/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The ELF reader reads this very program, which carries a dlopen note of its own, and then reads it
 * damaged in many places: it may refuse, never misbehave. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <elf.h>
#include <fcntl.h>

#include "elf-file.h"
#include "io.h"
#include "strv.h"

#define NOTE                                                                                       \
        "[{\"feature\":\"x\",\"priority\":\"required\",\"soname\":[\"libx.so.2\",\"libx.so.1\"]}," \
        "{\"feature\":\"y\",\"soname\":[\"liby.so.0\"]}]"

static const struct {
        uint32_t name_size, description_size, type;
        char name[4];
        char description[sizeof(NOTE)];
} note __attribute__((used, aligned(4), section(".note.dlopen"))) = { 4, sizeof(NOTE), 0x407c0c0a,
                                                                      "FDO", NOTE };

static char *program;
static size_t program_size;

static int load_program(void **state _unused_)
{
        return file_read(AT_FDCWD, "/proc/self/exe", 256 * MIB, &program, &program_size, NULL);
}

static int free_program(void **state _unused_)
{
        free(program);
        return 0;
}

/* The libraries this program is linked with have notes, too. */
static const struct elf_dlopen *find_dlopen(const struct elf_info *info, const char *soname)
{
        for (size_t i = 0; i < info->n_dlopens; i++)
                if (strv_contains(info->dlopens[i].sonames, soname))
                        return &info->dlopens[i];
        fail_msg("nothing says '%s'", soname);
        return NULL;
}

static void test_own_program(void **state _unused_)
{
        _cleanup_elf_info_ struct elf_info info = {};
        const struct elf_dlopen *x, *y;
        struct error err = {};

        assert_int_equal(elf_read(program, program_size, &info, &err), 1);
        assert_true(strv_contains(info.needed, "libc.so.6"));
        assert_true(strv_contains(info.needed, "libcmocka.so.0"));
        assert_non_null(strstr(info.interpreter, "/ld-linux"));
        assert_null(info.soname);
        assert_int_equal(info.type, 3);
        assert_int_equal(info.is_64, sizeof(void *) == 8);
        x = find_dlopen(&info, "libx.so.2");
        assert_int_equal(x->priority, ELF_REQUIRED);
        assert_int_equal(strv_length(x->sonames), 2);
        assert_string_equal(x->sonames[0], "libx.so.2");
        y = find_dlopen(&info, "liby.so.0");
        assert_int_equal(y->priority, ELF_RECOMMENDED);
        assert_int_equal(strv_length(y->sonames), 1);
}

static void test_not_elf(void **state _unused_)
{
        struct elf_info info = {};

        assert_int_equal(elf_read("#!/bin/sh\n", 10, &info, NULL), 0);
        assert_int_equal(elf_read("", 0, &info, NULL), 0);
        assert_true(elf_read("\177ELF", 4, &info, NULL) < 0);
}

static void read_damaged(const char *data, size_t size)
{
        _cleanup_elf_info_ struct elf_info info = {};
        struct error err = {};

        if (elf_read(data, size, &info, &err) < 0)
                assert_true(err.code < 0);
}

static void test_truncated(void **state _unused_)
{
        for (size_t size = 0; size < program_size; size += size < 4096 ? 16 : 65536) {
                _cleanup_free_ char *copy = malloc(size + 1);

                memcpy(copy, program, size);
                read_damaged(copy, size);
        }
}

static void test_flipped(void **state _unused_)
{
        size_t head = MIN(program_size, (size_t)4096);

        for (size_t i = 4; i < head; i++) {
                char saved = program[i];

                program[i] = (char)(saved ^ 0xff);
                read_damaged(program, program_size);
                program[i] = saved;
        }
}

/* ---- modules ---- */

enum { CODE_AT = 5000, CODE_SIZE = 10000, DATA_AT = CODE_AT + CODE_SIZE, DATA_SIZE = 5000 };

/* A relocatable file: code, data, and the table that says where they are. */
struct module {
        Elf64_Ehdr header;
        Elf64_Shdr sections[3];
        char rest[DATA_AT + DATA_SIZE - sizeof(Elf64_Ehdr) - 3 * sizeof(Elf64_Shdr)];
};

static void make_module(struct module *m)
{
        memset(m, 'x', sizeof(*m));
        m->header = (Elf64_Ehdr){ .e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64,
                                               ELFDATA2LSB, EV_CURRENT },
                                  .e_type = ET_REL,
                                  .e_machine = EM_X86_64,
                                  .e_version = EV_CURRENT,
                                  .e_ehsize = sizeof(Elf64_Ehdr),
                                  .e_shentsize = sizeof(Elf64_Shdr),
                                  .e_shoff = offsetof(struct module, sections),
                                  .e_shnum = ARRAY_SIZE(m->sections) };
        m->sections[0] = (Elf64_Shdr){};
        m->sections[1] = (Elf64_Shdr){ .sh_type = SHT_PROGBITS,
                                       .sh_flags = SHF_ALLOC | SHF_EXECINSTR,
                                       .sh_offset = CODE_AT,
                                       .sh_size = CODE_SIZE };
        m->sections[2] = (Elf64_Shdr){ .sh_type = SHT_PROGBITS,
                                       .sh_flags = SHF_ALLOC,
                                       .sh_offset = DATA_AT,
                                       .sh_size = DATA_SIZE };
}

/* Whole blocks inside the code and nothing else: of 5000 to 15000 the one from 8192 to 12288. */
static void test_clear_code(void **state _unused_)
{
        struct module m, before;
        const char *bytes = (const char *)&m;

        make_module(&m);
        before = m;
        elf_clear_code((char *)&m, sizeof(m), 4096);
        assert_memory_equal(bytes, &before, 8192);
        assert_true(memory_is_zero(bytes + 8192, 4096));
        assert_memory_equal(bytes + 12288, (const char *)&before + 12288, sizeof(m) - 12288);
}

/* Programs stay as they are, and a section that says it goes on behind the end is left alone. */
static void test_clear_nothing(void **state _unused_)
{
        _cleanup_free_ char *copy = malloc(program_size);
        struct module m, before;

        memcpy(copy, program, program_size);
        elf_clear_code(copy, program_size, 4096);
        assert_memory_equal(copy, program, program_size);
        make_module(&m);
        m.sections[1].sh_size = UINT64_MAX - 4096;
        before = m;
        elf_clear_code((char *)&m, sizeof(m), 4096);
        assert_memory_equal(&m, &before, sizeof(m));
        for (size_t size = 0; size < 1000; size++)
                elf_clear_code((char *)&m, size, 64);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_own_program), cmocka_unit_test(test_not_elf),
                cmocka_unit_test(test_truncated),   cmocka_unit_test(test_flipped),
                cmocka_unit_test(test_clear_code),  cmocka_unit_test(test_clear_nothing),
        };

        return note.type == 0x407c0c0a
                       ? cmocka_run_group_tests_name("elf-file", tests, load_program, free_program)
                       : 1;
}
