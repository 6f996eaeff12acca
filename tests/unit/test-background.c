/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Jobs beside the caller: one at a time, in order, none after one that failed. */

#include "test.h"

#include "background.h"

struct job {
        unsigned *sum;
        unsigned add;
};

static int add(void *job, struct error *err)
{
        const struct job *j = job;

        usleep(j->add % 3 * 100);
        if (j->add == 0)
                return error_set(err, -EIO, "nothing to add");
        *j->sum += j->add;
        return 0;
}

static void test_order(void **state _unused_)
{
        struct background *b = NULL;
        struct job jobs[2];
        struct error err = {};
        unsigned sum = 0;

        assert_ok(background_new(&b, &err), &err);
        assert_ok(background_wait(b, &err), &err); /* for nothing */
        for (unsigned i = 1; i <= 1000; i++) {
                jobs[i % 2] = (struct job){ &sum, i };
                assert_ok(background_start(b, add, &jobs[i % 2], &err), &err);
        }
        assert_ok(background_wait(b, &err), &err);
        assert_int_equal(sum, 500500);
        background_free(b);
}

static void test_failure(void **state _unused_)
{
        struct background *b = NULL;
        struct error err = {};
        unsigned sum = 0;
        struct job bad = { &sum, 0 }, good = { &sum, 7 };

        assert_ok(background_new(&b, &err), &err);
        assert_ok(background_start(b, add, &bad, &err), &err);
        assert_int_equal(background_start(b, add, &good, &err), -EIO);
        assert_string_equal(err.message, "nothing to add");
        assert_int_equal(background_wait(b, &err), -EIO);
        assert_int_equal(sum, 0);
        background_free(b);
}

/* Who gives up waits for the job that runs. */
static void test_given_up(void **state _unused_)
{
        struct background *b = NULL;
        struct error err = {};
        unsigned sum = 0;
        struct job job = { &sum, 5 };

        assert_ok(background_new(&b, &err), &err);
        assert_ok(background_start(b, add, &job, &err), &err);
        background_free(b);
        assert_int_equal(sum, 5);
        background_free(NULL);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_order),
                cmocka_unit_test(test_failure),
                cmocka_unit_test(test_given_up),
        };

        return test_run(tests);
}
