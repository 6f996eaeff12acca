/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Durations, as Go reads them. */

#include <inttypes.h>

#include "duration.h"
#include "test.h"

static const struct {
        const char *text;
        int64_t ms; /* -1: none */
} cases[] = {
        { "0", 0 },
        { "-0", 0 },
        { "0s", 0 },
        { "2m0s", 120000 },
        { "1h2m3.5s", 3723500 },
        { "+1s", 1000 },
        { ".5s", 500 },
        { "1.s", 1000 },
        { "1.5h", 5400000 },
        { "1s1ms1s", 2001 },
        { "1ns", 1 },
        { "1000001ns", 2 },
        { "1us", 1 },
        { "1500\u00b5s", 2 },
        { "1500\u03bcs", 2 },
        { "0.100000000000000000000000000001s", 100 },
        { "-1s", 1 },
        { "-1h", 1 },
        { "2562047h", 9223369200000 },
        { "9223372036854775807ns", 9223372036855 },
        { "2562048h", -1 },
        { "99999999h", -1 },
        { "9223372036854775808ns", -1 },
        { "2562047h48m", -1 },
        { "99999999999999999999s", -1 },
        { "", -1 },
        { "-", -1 },
        { "+", -1 },
        { "00", -1 },
        { "1", -1 },
        { ".s", -1 },
        { ".", -1 },
        { "s", -1 },
        { "1s 2s", -1 },
        { " 1s", -1 },
        { "1S", -1 },
        { "1d", -1 },
        { "--1s", -1 },
        { "1e3s", -1 },
        { "0x1s", -1 },
        { "1s2", -1 },
};

static void test_cases(void **state _unused_)
{
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                uint64_t ms = 77;
                bool good = duration_parse(cases[i].text, &ms);

                if (good != (cases[i].ms >= 0) || ms != (good ? (uint64_t)cases[i].ms : 77))
                        fail_msg("'%s': %d, %" PRIu64, cases[i].text, good, ms);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_cases),
        };

        return test_run(tests);
}
