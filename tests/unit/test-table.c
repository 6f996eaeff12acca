/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Tables of sfdisk's making, changed by us, judged by sgdisk and sfdisk; every kind of damage to
 * one copy is made good from the other, and both copies never lack at the same time. */

#include <sys/mman.h>

#include "test.h"

#include "process.h"
#include "strv.h"
#include "../../update/table.h" /* the composer has one of that name */

enum { EVENTS_MAX = 64, DISK_SIZE = 16 << 20 };

static const struct uuid uuid_new = { { 0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99,
                                        0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff } };

static const char script[] = "label: gpt\n"
                             "size=4M,type=c12a7328-f81f-11d2-ba4b-00a0c93ec93b,name=ESP,"
                             "uuid=11111111-2222-4333-8444-555555555555\n"
                             "size=4M,type=8484680c-9521-48c6-9c11-b0720656f69e,name=usr_1.0,"
                             "uuid=01020304-0506-4708-890a-0b0c0d0e0f10,attrs=\"GUID:60\"\n";

struct fixture {
        char *directory, *disk;
        struct store store;
        struct store_event seen[EVENTS_MAX];
        size_t count;
};

static int observe(void *userdata, const struct store_event *event, struct error *err _unused_)
{
        struct fixture *f = userdata;

        assert_true(f->count < EVENTS_MAX);
        assert_int_equal(event->target, STORE_TABLE);
        f->seen[f->count++] = *event;
        return 0;
}

/* What a program prints of the disk. Caller frees. */
static char *ask(const struct fixture *f, const char *program, const char *option,
                 const char *number)
{
        const char *const argv[] = { program, option, number ?: f->disk, number ? f->disk : NULL,
                                     NULL };
        _cleanup_free_ char *path = string_format("%s/answer", f->directory);
        _cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        struct error err = {};
        char *text;

        assert_ok(spawn(argv, &(struct spawn_options){ .stdout_fd = fd }, NULL, &err), &err);
        assert_ok(file_read(AT_FDCWD, path, 65536, &text, NULL, &err), &err);
        return text;
}

static void assert_says(const struct fixture *f, const char *program, const char *option,
                        const char *number, const char *what)
{
        _cleanup_free_ char *text = ask(f, program, option, number);

        if (!strstr(text, what))
                fail_msg("%s %s: no '%s' in: %s", program, option, what, text);
}

static void assert_sound(const struct fixture *f)
{
        assert_says(f, "sgdisk", "--verify", NULL, "No problems found");
        assert_says(f, "sfdisk", "--verify", NULL, "No errors detected");
}

static void open_store(struct fixture *f, uint64_t size)
{
        int fd = open(f->disk, O_RDWR | O_CLOEXEC);

        assert_true(fd >= 0);
        f->store = (struct store)STORE_NULL;
        f->store.targets[STORE_TABLE] = (struct store_range){ fd, 0, size };
        f->store.observe = observe;
        f->store.userdata = f;
}

/* A program's way of making a table: commands on its standard input. */
static void make_table(const struct fixture *f, const char *const argv[], const char *commands)
{
        _cleanup_free_ char *path = string_format("%s/commands", f->directory);
        _cleanup_close_ int in = -1;
        struct error err = {};

        assert_ok(file_write(AT_FDCWD, path, commands, strlen(commands), 0600, &err), &err);
        in = open(path, O_RDONLY | O_CLOEXEC);
        assert_ok(spawn(argv, &(struct spawn_options){ .stdin_fd = in }, NULL, &err), &err);
}

static void make_disk(struct fixture *f)
{
        _cleanup_close_ int fd = -1;

        *f = (struct fixture){ .directory = test_mkdir() };
        f->disk = string_format("%s/disk", f->directory);
        fd = open(f->disk, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        assert_int_equal(ftruncate(fd, DISK_SIZE), 0);
        open_store(f, DISK_SIZE);
}

static void fixture_init(struct fixture *f)
{
        make_disk(f);
        make_table(f, (const char *const[]){ "sfdisk", "-q", f->disk, NULL }, script);
}

static void fixture_done(struct fixture *f)
{
        store_done(&f->store);
        free(f->disk);
        test_rmdir(f->directory);
}

static int update(struct fixture *f, const char *label, struct error *err)
{
        struct table_change change = { .number = 2, .uuid = uuid_new };

        snprintf(change.label, sizeof(change.label), "%s", label);
        f->count = 0;
        return table_update(&f->store, &change, 1, err);
}

static size_t count_writes(const struct fixture *f)
{
        size_t n = 0;

        for (size_t i = 0; i < f->count; i++)
                n += f->seen[i].operation == STORE_WRITE;
        return n;
}

static void test_change(void **state _unused_)
{
        struct error err = {};
        struct fixture f;

        fixture_init(&f);
        assert_ok(update(&f, "usr_1.2.0", &err), &err);
        assert_sound(&f);
        assert_says(&f, "sgdisk", "--info", "2", "00112233-4455-6677-8899-AABBCCDDEEFF");
        assert_says(&f, "sgdisk", "--info", "2", "'usr_1.2.0'");
        assert_says(&f, "sgdisk", "--info", "2", "Attribute flags: 1000000000000000");
        assert_says(&f, "sgdisk", "--info", "1", "11111111-2222-4333-8444-555555555555");
        /* Backup, flush, primary, flush. */
        assert_int_equal(f.count, 6);
        assert_true(f.seen[0].offset > DISK_SIZE / 2 && f.seen[1].offset > DISK_SIZE / 2);
        assert_int_equal(f.seen[2].operation, STORE_FLUSH);
        assert_true(f.seen[3].offset < DISK_SIZE / 2 && f.seen[4].offset < DISK_SIZE / 2);
        assert_int_equal(f.seen[5].operation, STORE_FLUSH);
        /* The same again: nothing to write. */
        assert_ok(update(&f, "usr_1.2.0", &err), &err);
        assert_int_equal(count_writes(&f), 0);
        fixture_done(&f);
}

static void test_large_sectors(void **state _unused_)
{
        _cleanup_free_ char *listed = NULL, *verified = NULL;
        struct error err = {};
        struct fixture f;

        make_disk(&f);
        make_table(&f, (const char *const[]){ "fdisk", "-b", "4096", f.disk, NULL },
                   "g\nn\n1\n\n+4M\nn\n2\n\n+4M\nw\n");
        assert_ok(update(&f, "usr_2", &err), &err);
        assert_int_equal(f.count, 6);
        for (size_t i = 0; i < f.count; i++)
                assert_int_equal(f.seen[i].offset % 4096 + f.seen[i].size % 4096, 0);
        assert_ok(spawn((const char *const[]){ "fdisk", "-b", "4096", "-x", f.disk, NULL }, NULL,
                        &listed, &err),
                  &err);
        assert_non_null(strstr(listed, "00112233-4455-6677-8899-AABBCCDDEEFF usr_2"));
        assert_ok(spawn((const char *const[]){ "sh", "-c", "echo v | fdisk -b 4096 \"$0\" 2>&1",
                                               f.disk, NULL },
                        NULL, &verified, &err),
                  &err);
        assert_non_null(strstr(verified, "No errors detected"));
        fixture_done(&f);
}

/* Bytes that are inverted. */
static const struct {
        const char *name;
        uint64_t at[2]; /* 0: none */
} damages[] = {
        { "primary's signature", { 512, 0 } },
        { "primary's checksum", { 512 + 16, 0 } },
        { "primary's place", { 512 + 24, 0 } },
        { "primary's usable area", { 512 + 40, 0 } },
        { "primary's array", { 1024 + 130, 0 } },
        { "end of the primary's array", { 1024 + 16383, 0 } },
        { "backup's signature", { DISK_SIZE - 512, 0 } },
        { "backup's array", { DISK_SIZE - 512 - 16384, 0 } },
        { "neither", { 0, 0 } },
        { "both headers", { 512, DISK_SIZE - 512 } },
        { "primary's header, backup's array", { 512, DISK_SIZE - 1024 } },
};

static void invert(const struct fixture *f, uint64_t at)
{
        int fd = f->store.targets[STORE_TABLE].fd;
        struct error err = {};
        uint8_t byte;

        if (at == 0)
                return;
        assert_ok(io_pread(fd, &byte, 1, at, NULL, &err), &err);
        byte ^= 0xff;
        assert_ok(io_pwrite(fd, &byte, 1, at, &err), &err);
}

/* The copy that is whole is written when the other one is, and flushed. */
static void assert_repaired_in_order(const struct fixture *f, bool primary_first)
{
        assert_true(f->count >= 2);
        assert_int_equal(f->seen[0].offset < DISK_SIZE / 2, primary_first);
        for (size_t i = 0; i < f->count && f->seen[i].operation == STORE_WRITE; i++)
                assert_int_equal(f->seen[i].offset < DISK_SIZE / 2, primary_first);
}

static void test_damage(void **state _unused_)
{
        for (size_t i = 0; i < ARRAY_SIZE(damages); i++) {
                bool both = damages[i].at[1] != 0;
                struct error err = {};
                struct fixture f;
                int r;

                fixture_init(&f);
                invert(&f, damages[i].at[0]);
                invert(&f, damages[i].at[1]);
                r = update(&f, "_empty", &err);
                if (r != (both ? -EBADMSG : 0))
                        fail_msg("%s: %d %s", damages[i].name, r, err.message);
                if (both) {
                        assert_int_equal(f.count, 0);
                } else {
                        assert_repaired_in_order(&f, damages[i].at[0] > 0 &&
                                                             damages[i].at[0] < DISK_SIZE / 2);
                        assert_sound(&f);
                        assert_says(&f, "sgdisk", "--info", "2", "'_empty'");
                }
                fixture_done(&f);
        }
}

static void test_refused(void **state _unused_)
{
        static const struct {
                struct table_change change;
                int code;
        } cases[] = {
                { { 0, { { 1 } }, "a" }, -ENXIO },
                { { 3, { { 1 } }, "a" }, -ENXIO },
                { { 129, { { 1 } }, "a" }, -ENXIO },
                { { 2, { { 1 } }, "a\tb" }, -EINVAL },
                { { 2,
                    { { 0x11, 0x11, 0x11, 0x11, 0x22, 0x22, 0x43, 0x33, 0x84, 0x44, 0x55, 0x55,
                        0x55, 0x55, 0x55, 0x55 } },
                    "twin" },
                  -EEXIST },
        };
        struct error err = {};
        struct fixture f;

        fixture_init(&f);
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                assert_int_equal(table_update(&f.store, &cases[i].change, 1, &err), cases[i].code);
                assert_int_equal(f.count, 0);
        }
        fixture_done(&f);
}

/* What the fuzzer begins with: a name says what is to come of it. */
static void test_corpus(void **state _unused_)
{
        _cleanup_closedir_ DIR *d = opendir(TEST_DATA_DIR "/table");
        size_t refused = 0, taken = 0;
        struct dirent *e;

        assert_non_null(d);
        while ((e = readdir(d))) {
                const struct table_change change = { 1, { { 1, 2, 3 } }, "corpus" };
                bool bad = startswith(e->d_name, "should-fail-");
                _cleanup_store_ struct store s = STORE_NULL;
                _cleanup_free_ char *data = NULL;
                struct error err = {};
                size_t size;
                int fd;

                if (e->d_name[0] == '.')
                        continue;
                assert_ok(file_read(dirfd(d), e->d_name, 65536, &data, &size, &err), &err);
                fd = memfd_create("disk", MFD_CLOEXEC);
                assert_ok(io_pwrite(fd, data, size, 0, &err), &err);
                s.targets[STORE_TABLE] = (struct store_range){ fd, 0, size };
                if ((table_update(&s, &change, 1, &err) < 0) != bad)
                        fail_msg("%s: %s", e->d_name, err.message);
                refused += bad;
                taken += !bad;
        }
        assert_true(refused >= 20 && taken >= 3);
}

/* On a disk that has grown since, the backup goes where the kernel looks for it. */
static void test_grown(void **state _unused_)
{
        struct error err = {};
        struct fixture f;

        fixture_init(&f);
        store_done(&f.store);
        assert_int_equal(truncate(f.disk, DISK_SIZE + (1 << 20)), 0);
        open_store(&f, DISK_SIZE + (1 << 20));
        assert_ok(update(&f, "usr_3", &err), &err);
        assert_says(&f, "sgdisk", "--info", "2", "'usr_3'");
        invert(&f, 512);
        assert_ok(update(&f, "usr_3", &err), &err);
        assert_says(&f, "sgdisk", "--info", "2", "'usr_3'");
        assert_sound(&f);
        fixture_done(&f);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_change), cmocka_unit_test(test_large_sectors),
                cmocka_unit_test(test_damage), cmocka_unit_test(test_refused),
                cmocka_unit_test(test_grown),  cmocka_unit_test(test_corpus),
        };

        return test_run(tests);
}
