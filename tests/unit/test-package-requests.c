/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What layers ask for together, and who has the last word about a package. */

#include "test.h"

#include "package-requests.h"
#include "strv.h"

static char *const none[] = { NULL };

static struct layer layer(const char *name, char *const *packages, char *const *exclude)
{
        return (struct layer){
                .name = (char *)name,
                .packages = (char **)packages,
                .exclude = (char **)exclude,
        };
}

static int requests(struct layer *layers, size_t count, char ***ret, struct error *err)
{
        const struct manifest m = { .layers = layers, .n_layers = count };

        return package_requests(&m, ret, err);
}

static void test_together(void **state _unused_)
{
        char *const a[] = { "systemd", "bash", NULL }, *const b[] = { "bash", "chrony", NULL };
        struct layer layers[] = { layer("a", a, none), layer("b", b, none) };
        _cleanup_strv_ char **names = NULL;
        struct error err = {};

        assert_ok(requests(layers, 2, &names, &err), &err);
        assert_int_equal(strv_length(names), 3);
        assert_string_equal(names[0], "bash");
        assert_string_equal(names[1], "chrony");
        assert_string_equal(names[2], "systemd");
        strv_free(TAKE_PTR(names));
        assert_ok(requests(layers, 0, &names, &err), &err);
        assert_int_equal(strv_length(names), 0);
}

/* chrony and systemd-timesyncd cannot be in one image. */
static void test_taken_back(void **state _unused_)
{
        char *const a[] = { "systemd-timesyncd", "systemd", NULL }, *const b[] = { "chrony", NULL },
                    *const without[] = { "systemd-timesyncd", NULL };
        struct layer layers[] = { layer("a", a, none), layer("b", b, without) };
        _cleanup_strv_ char **names = NULL;
        struct error err = {};

        assert_ok(requests(layers, 2, &names, &err), &err);
        assert_int_equal(strv_length(names), 2);
        assert_string_equal(names[0], "chrony");
        assert_string_equal(names[1], "systemd");
}

/* Who excludes it first, or in the same breath, contradicts the one who asks. */
static void test_refused(void **state _unused_)
{
        char *const p[] = { "perl", NULL };
        struct layer orders[][2] = {
                { layer("a", none, p), layer("b", p, none) },
                { layer("a", none, none), layer("b", p, p) },
        };
        struct error err = {};
        char **names = NULL;

        for (size_t i = 0; i < ARRAY_SIZE(orders); i++) {
                assert_int_equal(requests(orders[i], 2, &names, &err), -EINVAL);
                assert_string_equal(err.message,
                                    i == 0 ? "layer 'b': package 'perl' is excluded by "
                                             "layer 'a'"
                                           : "layer 'b': package 'perl' is excluded by "
                                             "layer 'b'");
                assert_null(names);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_together),
                cmocka_unit_test(test_taken_back),
                cmocka_unit_test(test_refused),
        };

        return test_run(tests);
}
