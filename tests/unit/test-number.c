/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "number.h"
#include "test.h"

static void test_round_trip(void **state _unused_)
{
        static const uint64_t numbers[] = { 0, 1, 127, 128, 16383, 16384, UINT32_MAX, INT64_MAX };

        for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
                _cleanup_buffer_ struct buffer b = {};
                const uint8_t *at, *end;
                uint64_t number;

                number_put(&b, numbers[i]);
                at = (const uint8_t *)b.data;
                end = at + b.size;
                assert_null(number_take(&at, end, INT64_MAX, &number));
                assert_int_equal(number, numbers[i]);
                assert_ptr_equal(at, end);
        }
}

static void refused(const char *bytes, size_t size, uint64_t max, const char *why)
{
        const uint8_t *at = (const uint8_t *)bytes, *start = at;
        uint64_t number;

        assert_string_equal(number_take(&at, at + size, max, &number), why);
        assert_ptr_equal(at, start);
}

static void test_refused(void **state _unused_)
{
        refused("", 0, 9, "it ends early");
        refused("\x80", 1, 9, "it ends early");
        refused("\x0a", 1, 9, "a number is too large");
        refused("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10, UINT64_MAX, "a number is too long");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_round_trip),
                cmocka_unit_test(test_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
