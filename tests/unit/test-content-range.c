/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a server says that it sends. */

#include "test.h"

#include "content-range.h"

static void test_accepted(void **state _unused_)
{
        struct content_range r;

        assert_int_equal(content_range_parse("bytes 0-0/1", &r), 0);
        assert_true(r.first == 0 && r.last == 0 && r.total == 1);
        assert_int_equal(content_range_parse("bytes 4096-8191/122683392", &r), 0);
        assert_true(r.first == 4096 && r.last == 8191 && r.total == 122683392);
        assert_int_equal(content_range_parse("bytes 0-1/9999999999999999999", &r), 0);
        assert_true(r.total == 9999999999999999999ULL);
}

static void test_refused(void **state _unused_)
{
        static const char *const texts[] = {
                "",
                "bytes",
                "bytes ",
                "bytes */100",
                "bytes 0-9/*",
                "bytes 0-9",
                "bytes 0-/10",
                "bytes -9/10",
                "bytes 9-0/10",
                "bytes 0-10/10",
                "bytes 0-9/10 ",
                "bytes 0-9/10, 20-29/30",
                "bytes 0 -9/10",
                "bytes +0-9/10",
                "bytes 0x0-9/10",
                "bytes=0-9/10",
                "octets 0-9/10",
                "bytes 0-9/99999999999999999999",
                "bytes 0-18446744073709551616/1",
        };

        for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
                struct content_range r = { .total = 77 };

                assert_int_equal(content_range_parse(texts[i], &r), -EINVAL);
                assert_int_equal(r.total, 77);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_accepted),
                cmocka_unit_test(test_refused),
        };

        return test_run(tests);
}
