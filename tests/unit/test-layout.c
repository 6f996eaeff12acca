/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Layouts against golden texts, and what does not fit. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "golden.h"
#include "layout.h"

static char architecture[] = "amd64", version[] = "1.2.0";

static struct manifest manifest(void)
{
        return (struct manifest){ .architecture = architecture, .version = version };
}

static struct layout_contents contents(void)
{
        struct layout_contents c = {
                .usr_size = 300 * MIB,
                .tree_size = 3 * MIB,
                .uki_size = 25 * MIB,
                .boot_size = 128 * KIB,
        };

        for (size_t i = 0; i < SHA256_SIZE; i++)
                c.root_hash.bytes[i] = (uint8_t)(7 * i + 1);
        return c;
}

static void check(const struct manifest *m, const struct layout_contents *c, const char *golden)
{
        _cleanup_buffer_ struct buffer text = {};
        struct error err = {};
        struct layout layout;
        json_object *json;

        assert_int_equal(layout_plan(m, c, &layout, &err), 0);
        layout_print(&layout, &text);
        json = layout_json(&layout);
        assert_non_null(json);
        buffer_printf(&text, "%s\n", json_object_to_json_string_ext(json, JSON_C_TO_STRING_PRETTY));
        json_object_put(json);
        assert_golden(golden, text.data);
}

static void test_default(void **state _unused_)
{
        struct manifest m = manifest();
        struct layout_contents c = contents();

        check(&m, &c, "layout-default.txt");
}

static void test_unknown(void **state _unused_)
{
        struct manifest m = manifest();

        check(&m, &(struct layout_contents){}, "layout-unknown.txt");
}

static void test_sized(void **state _unused_)
{
        struct manifest m = manifest();
        struct layout_contents c = contents();

        m.partitions =
                (struct partitions_config){ 96 * MIB, 333 * MIB + 1, 4 * MIB, 2 * MIB, 2 * GIB };
        check(&m, &c, "layout-sized.txt");
}

static void refuse(struct manifest m, struct layout_contents c, int code, const char *message)
{
        struct error err = {};
        struct layout layout;

        assert_int_equal(layout_plan(&m, &c, &layout, &err), code);
        assert_string_equal(err.message, message);
}

static void test_too_small(void **state _unused_)
{
        struct manifest m = manifest();
        struct layout_contents c = contents();

        m.partitions.usr = 299 * MIB;
        refuse(m, c, -ENOSPC,
               "Partition usr (313524224 bytes) is too small for its content (314572800 bytes): "
               "1048576 bytes are missing");
        m.partitions.usr = 0;
        m.partitions.usr_verity = 2 * MIB;
        refuse(m, c, -ENOSPC,
               "Partition usr-verity (2097152 bytes) is too small for its content (3145728 "
               "bytes): 1048576 bytes are missing");
        m.partitions = (struct partitions_config){ .disk = GIB };
        refuse(m, c, -ENOSPC,
               "Disk (1073741824 bytes) is too small for its partitions: 1648361472 bytes are "
               "missing");
        c.uki_size = 33 * MIB;
        m.partitions = (struct partitions_config){ .esp = 64 * MIB };
        refuse(m, c, -ENOSPC,
               "Partition esp (67108864 bytes) is too small for three kernel images and FAT "
               "(106168320 bytes): 39059456 bytes are missing");
}

/* The partitions that are the smallest take it, and are not one MiB too large. */
static void test_minimum(void **state _unused_)
{
        struct manifest m = manifest();
        struct release_layout minimum;
        struct layout layout;

        for (uint64_t uki = 1 * MIB; uki < 200 * MIB; uki += 13 * MIB + 4711) {
                struct layout_contents c = contents();

                c.uki_size = uki;
                layout_minimum(&c, &minimum);
                m.partitions.esp = minimum.esp;
                m.partitions.usr = minimum.usr;
                m.partitions.usr_verity = minimum.usr_verity;
                assert_int_equal(layout_plan(&m, &c, &layout, NULL), 0);
                m.partitions.esp -= MIB;
                assert_true(layout_plan(&m, &c, &layout, NULL) < 0);
        }
        assert_int_equal(minimum.usr, 300 * MIB);
        assert_int_equal(minimum.usr_verity, 3 * MIB);
}

static void test_refused(void **state _unused_)
{
        static char long_version[] = "1.2.3.4.5.6.7.8.9.10.11", sparc[] = "sparc";
        struct manifest m = manifest();

        m.partitions.esp = 63 * MIB;
        refuse(m, contents(), -EINVAL, "Partition esp must have at least 64 MiB");
        m = manifest();
        m.architecture = sparc;
        refuse(m, contents(), -EINVAL, "No partition types for architecture \"sparc\"");
        m = manifest();
        m.version = long_version;
        refuse(m, contents(), -EINVAL,
               "Version \"1.2.3.4.5.6.7.8.9.10.11\" is too long: partition label "
               "\"usr-verity-sig_…\" may have 36 characters");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_default), cmocka_unit_test(test_unknown),
                cmocka_unit_test(test_sized),   cmocka_unit_test(test_too_small),
                cmocka_unit_test(test_refused), cmocka_unit_test(test_minimum),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
