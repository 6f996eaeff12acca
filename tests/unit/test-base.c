/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* error, strv/buffer, io, digest, derive, gpt, spawn, parallel, descriptors, checksums. */

#include <fcntl.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "derive.h"
#include "gpt.h"
#include "memory.h"
#include "parallel.h"
#include "process.h"
#include "strv.h"
#include "test.h"
#include "xz.h"

static void error_reads_like_a_path(void **state _unused_)
{
        struct error err = {};

        errno = EACCES;
        assert_int_equal(error_errno(&err, "files/etc/x"), -EACCES);
        assert_int_equal(error_prefix(&err, -EACCES, "layer '%s'", "podman"), -EACCES);
        assert_int_equal(error_prefix(&err, -EACCES, "image '%s'", "edge"), -EACCES);
        assert_string_equal(err.message,
                            "image 'edge': layer 'podman': files/etc/x: Permission denied");
        assert_int_equal(error_prefix(&err, 0, "no failure, no prefix"), 0);
        assert_null(strstr(err.message, "no failure"));
}

static void error_keeps_the_beginning(void **state _unused_)
{
        char text[2 * ERROR_MESSAGE_MAX];
        struct error err = {};

        memset(text, 'x', sizeof(text) - 1);
        text[sizeof(text) - 1] = '\0';
        error_set(&err, -EINVAL, "start %s", text);
        assert_int_equal(strlen(err.message), ERROR_MESSAGE_MAX - 1);
        error_prefix(&err, -EINVAL, "%s", text);
        assert_int_equal(err.message[ERROR_MESSAGE_MAX - 1], 0);
        assert_int_equal(error_set(NULL, -EINVAL, "no receiver"), -EINVAL);
}

static void strv_basics(void **state _unused_)
{
        _cleanup_strv_ char **list = NULL;

        assert_int_equal(strv_split("  b a,,c ", " ,", &list), 0);
        assert_int_equal(strv_length(list), 3);
        strv_sort(list);
        assert_string_equal(list[0], "a");
        assert_true(strv_contains(list, "c"));
        assert_false(strv_contains(list, "d"));
        assert_int_equal(strv_length(NULL), 0);
}

static void octal_escapes_are_decoded(void **state _unused_)
{
        char text[] = "/a\\040b\\134c\\09\\12", plain[] = "/dev/sda1";

        octal_unescape(text);
        assert_string_equal(text, "/a b\\c\\09\\12");
        octal_unescape(plain);
        assert_string_equal(plain, "/dev/sda1");
}

static void buffer_builds(void **state _unused_)
{
        _cleanup_buffer_ struct buffer b = {};
        _cleanup_free_ char *text = NULL;
        size_t size;

        for (int i = 0; i < 1000; i++)
                buffer_printf(&b, "%d,", i);
        assert_int_equal(buffer_take(&b, &text, &size), 0);
        assert_int_equal(size, strlen(text));
        assert_true(endswith(text, ",998,999,"));
}

static void draft_is_seen_only_when_published(void **state _unused_)
{
        char *dir = test_mkdir();
        _cleanup_close_ int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_free_ char *text = NULL;
        struct error err = {};
        struct stat st;

        {
                _cleanup_draft_ struct draft d = DRAFT_NULL;

                assert_ok(draft_open(&d, fd, "file", 0640, &err), &err);
                assert_ok(io_write(d.fd, "abc", 3, &err), &err);
                assert_int_equal(fstatat(fd, "file", &st, 0), -1);
        }
        assert_ok(file_write(fd, "file", "new", 3, 0640, &err), &err);
        assert_int_equal(fstatat(fd, "file", &st, 0), 0);
        assert_int_equal(st.st_mode & 07777, 0640);
        assert_ok(file_read(fd, "file", 3, &text, NULL, &err), &err);
        assert_string_equal(text, "new");
        free(TAKE_PTR(text));
        assert_int_equal(file_read(fd, "file", 2, &text, NULL, &err), -EFBIG);
        test_rmdir(dir);
}

static void copy_keeps_holes(void **state _unused_)
{
        char *dir = test_mkdir();
        _cleanup_close_ int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_close_ int in = openat(dir_fd, "in", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        _cleanup_close_ int out = openat(dir_fd, "out", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        struct error err = {};
        char byte = 0;
        struct stat st;

        assert_ok(io_pwrite(in, "x", 1, 4 * MIB, &err), &err);
        assert_int_equal(ftruncate(in, 8 * MIB), 0);
        assert_int_equal(ftruncate(out, 8 * MIB), 0);
        assert_ok(io_copy(in, 0, out, 0, 8 * MIB, &err), &err);
        assert_ok(io_pread(out, &byte, 1, 4 * MIB, NULL, &err), &err);
        assert_int_equal(byte, 'x');
        assert_int_equal(fstat(out, &st), 0);
        assert_true((uint64_t)st.st_blocks * 512 < 1 * MIB);
        assert_int_equal(io_copy(in, 0, out, 0, 9 * MIB, &err), -ENODATA);
        test_rmdir(dir);
}

static void remove_tree_follows_no_symlink(void **state _unused_)
{
        char *dir = test_mkdir();
        _cleanup_close_ int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct error err = {};

        assert_ok(path_mkdirs(fd, "keep", 0755, &err), &err);
        assert_ok(path_mkdirs(fd, "gone/a/b", 0755, &err), &err);
        assert_int_equal(symlinkat("../keep", fd, "gone/link"), 0);
        assert_ok(path_remove_tree(fd, "gone", &err), &err);
        assert_int_equal(faccessat(fd, "gone", F_OK, 0), -1);
        assert_int_equal(faccessat(fd, "keep", F_OK, 0), 0);
        assert_ok(path_remove_tree(fd, "absent", &err), &err);
        test_rmdir(dir);
}

static void digest_known_answers(void **state _unused_)
{
        char hex[SHA256_HEX_SIZE];
        struct sha256 digest, again;

        /* FIPS 180-4 examples. */
        sha256_of("abc", 3, &digest);
        assert_string_equal(sha256_hex(&digest, hex),
                            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_int_equal(hex_decode(hex, &again, sizeof(again)), 0);
        assert_true(sha256_equal(&digest, &again));
        assert_int_equal(hex_decode("zz", hex, 1), -EINVAL);
        assert_int_equal(hex_decode("abc", hex, 1), -EINVAL);
}

static void derived_uuids_differ_by_role_only(void **state _unused_)
{
        char a[UUID_TEXT_SIZE], b[UUID_TEXT_SIZE];
        struct sha256 seed;
        struct uuid uuid, parsed;

        sha256_of("seed", 4, &seed);
        derive_uuid(&seed, "disk", &uuid);
        uuid_text(&uuid, a);
        assert_int_equal(a[14], '4');
        assert_int_equal(uuid_parse(a, &parsed), 0);
        assert_memory_equal(&uuid, &parsed, sizeof(uuid));
        derive_uuid(&seed, "esp", &uuid);
        assert_string_not_equal(uuid_text(&uuid, b), a);
        assert_int_equal(uuid_parse("8484680c-9521-48c6-9c11-b0720656f69", &parsed), -EINVAL);
        assert_int_equal(uuid_parse("8484680c_9521-48c6-9c11-b0720656f69e", &parsed), -EINVAL);
}

static void slots_are_named_by_the_root_hash(void **state _unused_)
{
        char text[UUID_TEXT_SIZE];
        struct uuid data, tree, type;
        struct sha256 hash;

        for (int i = 0; i < SHA256_SIZE; i++)
                hash.bytes[i] = (uint8_t)i;
        gpt_uuids_from_root_hash(&hash, &data, &tree);
        assert_string_equal(uuid_text(&data, text), "00010203-0405-0607-0809-0a0b0c0d0e0f");
        assert_string_equal(uuid_text(&tree, text), "10111213-1415-1617-1819-1a1b1c1d1e1f");
        for (int role = 0; role < _PARTITION_ROLE_MAX; role++) {
                assert_int_equal(uuid_parse(gpt_type(role, "amd64"), &type), 0);
                assert_int_equal(uuid_parse(gpt_type(role, "arm64"), &type), 0);
        }
        assert_null(gpt_type(PARTITION_USR, "sparc"));
}

static void spawn_captures_and_fails(void **state _unused_)
{
        _cleanup_free_ char *output = NULL;
        struct error err = {};

        assert_ok(spawn((const char *[]){ "echo", "hello", NULL }, NULL, &output, &err), &err);
        assert_string_equal(output, "hello\n");
        assert_int_equal(spawn((const char *[]){ "sh", "-c", "echo why >&2; exit 3", NULL }, NULL,
                               NULL, &err),
                         -ECHILD);
        assert_string_equal(err.message, "sh: exit status 3: why");
        /* Under valgrind posix_spawn() does not learn that there is no program. */
        assert_int_equal(spawn((const char *[]){ "no-such-program", NULL }, NULL, NULL, &err),
                         getenv("SLIPWAY_VALGRIND") ? -ECHILD : -ENOENT);
}

static int count_item(void *context, size_t index, struct error *err)
{
        atomic_int *count = context;

        atomic_fetch_add(count, 1);
        return index >= 70 ? error_set(err, -EDOM, "item %zu", index) : 0;
}

static void parallel_runs_all_or_fails_once(void **state _unused_)
{
        atomic_int count = 0;
        struct error err = {};

        assert_ok(parallel_for(70, 4, count_item, &count, &err), &err);
        assert_int_equal(count, 70);
        assert_int_equal(parallel_for(1000, 4, count_item, &count, &err), -EDOM);
        assert_string_equal(err.message, "item 70");
        assert_true(count < 300);
        assert_ok(parallel_for(0, 4, count_item, &count, &err), &err);
}

/* What had the number before is not closed a second time. */
static void descriptor_is_closed_once(void **state _unused_)
{
        int fd = memfd_create("first", MFD_CLOEXEC), number = fd, other;

        close_p(&fd);
        assert_int_equal(fd, -1);
        other = memfd_create("second", MFD_CLOEXEC);
        assert_int_equal(other, number);
        close_p(&fd);
        assert_true(fcntl(other, F_GETFD) >= 0);
        close_p(&other);
}

/* The check value of CRC-64/XZ is that of "123456789". */
static void checksum_known_answer(void **state _unused_)
{
        uint64_t checksums[3];
        struct error err = {};

        assert_ok(xz_checksums("123456789123456788123456789", 9, 3, checksums, &err), &err);
        assert_int_equal(checksums[0], 0x995dc9bbdf1939fa);
        assert_int_not_equal(checksums[1], checksums[0]);
        assert_int_equal(checksums[2], checksums[0]);
}

static void large_memory_is_of_huge_pages(void **state _unused_)
{
        static const size_t sizes[] = { 0, 1, MEMORY_HUGE_PAGE - 1, MEMORY_HUGE_PAGE,
                                        MEMORY_HUGE_PAGE + 1 };

        for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
                _cleanup_free_ char *memory = memory_large(sizes[i]);

                assert_non_null(memory);
                memset(memory, 1, sizes[i]);
                if (sizes[i] >= MEMORY_HUGE_PAGE)
                        assert_int_equal((uintptr_t)memory % MEMORY_HUGE_PAGE, 0);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(error_reads_like_a_path),
                cmocka_unit_test(error_keeps_the_beginning),
                cmocka_unit_test(strv_basics),
                cmocka_unit_test(octal_escapes_are_decoded),
                cmocka_unit_test(buffer_builds),
                cmocka_unit_test(draft_is_seen_only_when_published),
                cmocka_unit_test(copy_keeps_holes),
                cmocka_unit_test(remove_tree_follows_no_symlink),
                cmocka_unit_test(digest_known_answers),
                cmocka_unit_test(derived_uuids_differ_by_role_only),
                cmocka_unit_test(slots_are_named_by_the_root_hash),
                cmocka_unit_test(spawn_captures_and_fails),
                cmocka_unit_test(descriptor_is_closed_once),
                cmocka_unit_test(checksum_known_answer),
                cmocka_unit_test(large_memory_is_of_huge_pages),
                cmocka_unit_test(parallel_runs_all_or_fails_once),
        };

        return test_run(tests);
}
