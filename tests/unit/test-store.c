/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The only way to change a disk: each change is announced before it happens and not made when the
 * observer refuses, and none reaches outside the ranges and the directory. */

#include "test.h"

#include "store.h"

enum { TARGET_OFFSET = 4096, TARGET_SIZE = 8192, EVENTS_MAX = 16 };

struct fixture {
        char *directory;
        struct store store;
        enum store_operation seen[EVENTS_MAX];
        size_t count;
        bool refuse;
};

/* Notes the operation; whatever is announced has not happened yet. */
static int observe(void *userdata, const struct store_event *event, struct error *err)
{
        struct fixture *f = userdata;

        assert_true(f->count < EVENTS_MAX);
        f->seen[f->count++] = event->operation;
        if (event->operation == STORE_WRITE) {
                char now[16];

                assert_true(event->size <= sizeof(now));
                assert_ok(
                        store_read(&f->store, event->target, event->offset, now, event->size, err),
                        err);
                assert_memory_not_equal(now, event->data, event->size);
        }
        return f->refuse ? error_set(err, -EPERM, "refused") : 0;
}

static int open_in(const struct fixture *f, const char *name, int flags)
{
        _cleanup_free_ char *path = NULL;
        int fd;

        assert_true(asprintf(&path, "%s/%s", f->directory, name) > 0);
        fd = open(path, flags | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        return fd;
}

static void fixture_init(struct fixture *f)
{
        *f = (struct fixture){ .directory = test_mkdir(), .store = STORE_NULL };
        f->store.targets[STORE_USR] = (struct store_range){
                .fd = open_in(f, "disk", O_RDWR | O_CREAT),
                .offset = TARGET_OFFSET,
                .size = TARGET_SIZE,
        };
        assert_int_equal(ftruncate(f->store.targets[STORE_USR].fd, 4 * TARGET_OFFSET), 0);
        f->store.entries_fd = open_in(f, ".", O_RDONLY | O_DIRECTORY);
        f->store.observe = observe;
        f->store.userdata = f;
}

static void fixture_done(struct fixture *f)
{
        store_done(&f->store);
        test_rmdir(f->directory);
}

static void test_targets(void **state _unused_)
{
        struct error err = {};
        char data[4] = {};
        struct fixture f;

        fixture_init(&f);
        assert_ok(store_write(&f.store, STORE_USR, TARGET_SIZE - 4, "abcd", 4, &err), &err);
        assert_ok(store_flush(&f.store, STORE_USR, &err), &err);
        assert_ok(io_pread(f.store.targets[STORE_USR].fd, data, 4, TARGET_OFFSET + TARGET_SIZE - 4,
                           NULL, &err),
                  &err);
        assert_memory_equal(data, "abcd", 4);
        assert_int_equal(f.count, 2);
        assert_int_equal(f.seen[0], STORE_WRITE);
        assert_int_equal(f.seen[1], STORE_FLUSH);
        fixture_done(&f);
}

static void test_range(void **state _unused_)
{
        static const struct {
                uint64_t offset, size;
        } outside[] = {
                { TARGET_SIZE - 3, 4 }, { TARGET_SIZE, 1 },          { TARGET_SIZE + 1, 0 },
                { UINT64_MAX, 4 },      { UINT64_MAX - 4095, 4096 }, { 0, UINT64_MAX },
        };
        struct error err = {};
        struct fixture f;
        char byte;

        fixture_init(&f);
        for (size_t i = 0; i < ARRAY_SIZE(outside); i++) {
                assert_int_equal(store_write(&f.store, STORE_USR, outside[i].offset, &byte,
                                             outside[i].size, &err),
                                 -ERANGE);
                assert_int_equal(store_read(&f.store, STORE_USR, outside[i].offset, &byte,
                                            outside[i].size, &err),
                                 -ERANGE);
        }
        assert_int_equal(store_write(&f.store, STORE_TABLE, 0, &byte, 1, &err), -ENODEV);
        assert_int_equal(store_flush(&f.store, STORE_TREE, &err), -ENODEV);
        assert_int_equal(f.count, 0);
        assert_int_equal(ftruncate(f.store.targets[STORE_USR].fd, TARGET_OFFSET), 0);
        assert_int_equal(store_read(&f.store, STORE_USR, 0, &byte, 1, &err), -ENODATA);
        fixture_done(&f);
}

static void test_files(void **state _unused_)
{
        static const enum store_operation expected[] = {
                STORE_FILE_WRITE,  STORE_FILE_WRITE,  STORE_FILE_SYNC,  STORE_FILE_RENAME,
                STORE_FILE_REMOVE, STORE_FILE_REMOVE, STORE_NAMES_SYNC,
        };
        struct error err = {};
        struct fixture f;
        char data[8];
        size_t got;

        fixture_init(&f);
        assert_int_equal(store_file_read(&f.store, "a", 0, data, 1, &got, &err), -ENOENT);
        assert_ok(store_file_write(&f.store, "a", 4, "efgh", 4, &err), &err);
        assert_ok(store_file_write(&f.store, "a", 0, "abcd", 4, &err), &err);
        assert_ok(store_file_sync(&f.store, "a", &err), &err);
        assert_ok(store_file_rename(&f.store, "a", "b", &err), &err);
        assert_ok(store_file_read(&f.store, "b", 2, data, sizeof(data), &got, &err), &err);
        assert_int_equal(got, 6);
        assert_memory_equal(data, "cdefgh", 6);
        assert_ok(store_file_remove(&f.store, "b", &err), &err);
        assert_ok(store_file_remove(&f.store, "b", &err), &err);
        assert_ok(store_names_sync(&f.store, &err), &err);
        assert_int_equal(f.count, ARRAY_SIZE(expected));
        assert_memory_equal(f.seen, expected, sizeof(expected));
        fixture_done(&f);
}

static void test_names(void **state _unused_)
{
        static const char *const names[] = { "", ".", "..", "../a", "/a", "a/b" };
        struct error err = {};
        struct fixture f;

        fixture_init(&f);
        for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
                assert_int_equal(store_file_write(&f.store, names[i], 0, "x", 1, &err), -EINVAL);
                assert_int_equal(store_file_rename(&f.store, "a", names[i], &err), -EINVAL);
                assert_int_equal(store_file_remove(&f.store, names[i], &err), -EINVAL);
        }
        assert_int_equal(symlinkat("/tmp/slipway-must-not-appear", f.store.entries_fd, "link"), 0);
        assert_int_equal(store_file_write(&f.store, "link", 0, "x", 1, &err), -ELOOP);
        assert_int_equal(access("/tmp/slipway-must-not-appear", F_OK), -1);
        fixture_done(&f);
}

/* What the observer refuses does not happen. */
static void test_refused(void **state _unused_)
{
        struct error err = {};
        struct fixture f;
        char byte = 1;

        fixture_init(&f);
        assert_ok(store_file_write(&f.store, "a", 0, "x", 1, &err), &err);
        f.refuse = true;
        assert_int_equal(store_write(&f.store, STORE_USR, 0, "x", 1, &err), -EPERM);
        assert_ok(store_read(&f.store, STORE_USR, 0, &byte, 1, &err), &err);
        assert_int_equal(byte, 0);
        assert_int_equal(store_flush(&f.store, STORE_USR, &err), -EPERM);
        assert_int_equal(store_file_write(&f.store, "b", 0, "x", 1, &err), -EPERM);
        assert_int_equal(store_file_sync(&f.store, "a", &err), -EPERM);
        assert_int_equal(store_file_rename(&f.store, "a", "b", &err), -EPERM);
        assert_int_equal(store_file_remove(&f.store, "a", &err), -EPERM);
        assert_int_equal(store_names_sync(&f.store, &err), -EPERM);
        assert_int_equal(faccessat(f.store.entries_fd, "a", F_OK, 0), 0);
        assert_int_equal(faccessat(f.store.entries_fd, "b", F_OK, 0), -1);
        fixture_done(&f);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_targets), cmocka_unit_test(test_range),
                cmocka_unit_test(test_files),   cmocka_unit_test(test_names),
                cmocka_unit_test(test_refused),
        };

        return test_run(tests);
}
