/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Results kept in the cache: found as they were, and never when anything of them has changed. */

#include "test.h"

#include "derived.h"
#include "io.h"

static const char content[] = "a result that takes long";

static int open_cache(void **state)
{
        return open(*state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int setup(void **state)
{
        *state = test_mkdir();
        return 0;
}

static int teardown(void **state)
{
        test_rmdir(*state);
        return 0;
}

/* Whether the entry is found, and as it was kept: both ways of taking it must say the same. */
static bool is_there(int cache, uint64_t limit)
{
        _cleanup_free_ char *data = NULL;
        _cleanup_close_ int fd = -1;
        struct error err = {};
        char bytes[64] = "";
        uint64_t size = 0;
        size_t loaded = 0;
        int r = derived_load(cache, "name", limit, &data, &loaded, &err);

        assert_true(r == 0 || r == 1);
        assert_int_equal(derived_open(cache, "name", limit, &fd, &size, &err), r);
        if (r == 0)
                return false;
        assert_int_equal(size, loaded);
        assert_int_equal(size, sizeof(content));
        assert_int_equal(io_pread(fd, bytes, size, 0, NULL, &err), 0);
        assert_memory_equal(bytes, data, size);
        assert_memory_equal(data, content, sizeof(content));
        return true;
}

static void test_found(void **state)
{
        _cleanup_close_ int cache = open_cache(state);
        struct error err = {};

        assert_false(is_there(cache, 100));
        assert_ok(derived_keep(cache, "name", content, sizeof(content), &err), &err);
        assert_true(is_there(cache, 100));
        assert_true(is_there(cache, sizeof(content)));
        assert_false(is_there(cache, sizeof(content) - 1));
}

/* Each byte changed, each length cut off, one more. */
static void test_damaged(void **state)
{
        _cleanup_close_ int cache = open_cache(state), fd = -1;
        struct error err = {};
        struct stat st;

        assert_ok(derived_keep(cache, "name", content, sizeof(content), &err), &err);
        fd = openat(cache, "derived/name", O_RDWR | O_CLOEXEC);
        assert_true(fd >= 0 && fstat(fd, &st) == 0);
        for (off_t i = 0; i < st.st_size; i++) {
                char byte, other;

                assert_int_equal(pread(fd, &byte, 1, i), 1);
                other = byte ^ 0x10;
                assert_int_equal(pwrite(fd, &other, 1, i), 1);
                assert_false(is_there(cache, 100));
                assert_int_equal(pwrite(fd, &byte, 1, i), 1);
        }
        assert_true(is_there(cache, 100));
        assert_int_equal(ftruncate(fd, st.st_size + 1), 0);
        assert_false(is_there(cache, 100));
        for (off_t size = st.st_size - 1; size >= 0; size--) {
                assert_int_equal(ftruncate(fd, size), 0);
                assert_false(is_there(cache, 100));
        }
}

/* What may lie there instead of a file. */
static void test_no_file(void **state)
{
        _cleanup_close_ int cache = open_cache(state);
        struct error err = {};

        assert_ok(path_mkdirs(cache, "derived/name", 0755, &err), &err);
        assert_false(is_there(cache, 100));
        assert_ok(path_remove_tree(cache, "derived/name", &err), &err);
        assert_int_equal(mkfifoat(cache, "derived/fifo", 0600), 0);
        assert_int_equal(derived_open(cache, "fifo", 100, &(int){ -1 }, &(uint64_t){ 0 }, &err), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_found, setup, teardown),
                cmocka_unit_test_setup_teardown(test_damaged, setup, teardown),
                cmocka_unit_test_setup_teardown(test_no_file, setup, teardown),
        };

        return test_run(tests);
}
