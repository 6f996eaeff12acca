/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The ELF reader reads this very program, which carries a dlopen note of its own, and then reads it
 * damaged in many places: it may refuse, never misbehave. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

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

static void test_own_program(void **state _unused_)
{
        _cleanup_elf_info_ struct elf_info info = {};
        struct error err = {};

        assert_int_equal(elf_read(program, program_size, &info, &err), 1);
        assert_true(strv_contains(info.needed, "libc.so.6"));
        assert_true(strv_contains(info.needed, "libcmocka.so.0"));
        assert_non_null(strstr(info.interpreter, "/ld-linux"));
        assert_null(info.soname);
        assert_int_equal(info.type, 3);
        assert_int_equal(info.is_64, sizeof(void *) == 8);
        assert_int_equal(info.n_dlopens, 2);
        assert_int_equal(info.dlopens[0].priority, ELF_REQUIRED);
        assert_int_equal(strv_length(info.dlopens[0].sonames), 2);
        assert_string_equal(info.dlopens[0].sonames[0], "libx.so.2");
        assert_int_equal(info.dlopens[1].priority, ELF_RECOMMENDED);
        assert_string_equal(info.dlopens[1].sonames[0], "liby.so.0");
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

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_own_program),
                cmocka_unit_test(test_not_elf),
                cmocka_unit_test(test_truncated),
                cmocka_unit_test(test_flipped),
        };

        return note.type == 0x407c0c0a
                       ? cmocka_run_group_tests_name("elf-file", tests, load_program, free_program)
                       : 1;
}
