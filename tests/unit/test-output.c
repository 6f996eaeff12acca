/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Output formats against qemu-img: its check of a qcow2 file finds nothing, its comparison with the
 * raw disk says they are the same, holes are kept, and the bytes (of a VHD: the digest, which is
 * the same for equal bytes) do not depend on where the disk file has holes. */

#include "test.h"

#include <endian.h>

#include "digest.h"
#include "output.h"
#include "process.h"
#include "vhd.h"

enum { CLUSTER = 65536 };

static const struct sha256 identity = { { 1, 2, 3 } };

static int write_output(const char *format, int disk_fd, uint64_t size,
                        const struct known_blocks *known, int fd, struct sha256 *ret,
                        struct error *err)
{
        const struct output_disk disk = { disk_fd, size, known, &identity, 1700000000, 2 };

        return output_find(format)->write(&disk, fd, ret, err);
}

struct piece { /* `size` bytes of the value at offset */
        uint64_t offset;
        size_t size;
        uint8_t value;
};

static void write_piece(int fd, const struct piece *p)
{
        _cleanup_free_ uint8_t *data = malloc(p->size);
        struct error err = {};

        assert_non_null(data);
        memset(data, p->value, p->size);
        assert_ok(io_pwrite(fd, data, p->size, p->offset, &err), &err);
}

static int create_file(const char *directory, const char *name, uint64_t size)
{
        _cleanup_free_ char *path = NULL;
        int fd;

        assert_true(asprintf(&path, "%s/%s", directory, name) > 0);
        fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        assert_int_equal(ftruncate(fd, (off_t)size), 0);
        return fd;
}

/* The disk's size as the header states it: big-endian, at byte 24. */
static uint64_t virtual_size(int fd)
{
        uint64_t size;

        assert_int_equal(io_pread(fd, &size, sizeof(size), 24, NULL, NULL), 0);
        return be64toh(size);
}

static void qemu_img(const char *directory, const char *const argv[])
{
        const char *command[16] = { "env", "-C", directory, "qemu-img" };
        struct error err = {};
        size_t n = 4;

        while (*argv)
                command[n++] = *argv++;
        assert_ok(spawn(command, NULL, NULL, &err), &err);
}

/* Writes a disk of these pieces (the list ends with size 0), checks it, gives its file's size. */
static uint64_t check_disk(uint64_t size, const struct piece *pieces)
{
        char *directory = test_mkdir();
        struct sha256 digest, written;
        struct error err = {};
        struct stat st;

        {
                _cleanup_close_ int disk = create_file(directory, "disk.raw", size);
                _cleanup_close_ int fd = create_file(directory, "disk.qcow2", 0);

                for (; pieces->size > 0; pieces++)
                        write_piece(disk, pieces);
                assert_ok(write_output("qcow2", disk, size, NULL, fd, &digest, &err), &err);
                assert_ok(sha256_fd(fd, 0, UINT64_MAX, &written, &err), &err);
                assert_true(sha256_equal(&digest, &written));
                assert_int_equal(fstat(fd, &st), 0);
                assert_int_equal(virtual_size(fd), size);
                qemu_img(directory,
                         (const char *const[]){ "check", "-f", "qcow2", "disk.qcow2", NULL });
                qemu_img(directory, (const char *const[]){ "compare", "-f", "raw", "-F", "qcow2",
                                                           "disk.raw", "disk.qcow2", NULL });
        }
        test_rmdir(directory);
        return (uint64_t)st.st_size;
}

static void test_formats(void **state _unused_)
{
        assert_string_equal(output_find("raw")->suffix, ".raw");
        assert_null(output_find("raw")->write);
        assert_string_equal(output_find("qcow2")->suffix, ".qcow2");
        assert_string_equal(output_find("vhd")->suffix, ".vhd");
        assert_true(output_sparse("a_1.raw") && output_sparse("a_1.vhd"));
        assert_false(output_sparse("a_1.qcow2") || output_sparse("a_1.efi") ||
                     output_sparse("raw"));
        assert_null(output_find("vmdk"));
        for (size_t i = 0; output_formats[i]; i++)
                assert_ptr_equal(output_find(output_formats[i]->name), output_formats[i]);
}

static void test_qcow2_empty(void **state _unused_)
{
        static const struct piece none[] = { {} };

        /* header, L1 table, refcount block, refcount table */
        assert_int_equal(check_disk(10 * GIB, none), 4 * CLUSTER);
        assert_int_equal(check_disk(512, none), 4 * CLUSTER);
}

static void test_qcow2_edges(void **state _unused_)
{
        static const struct piece pieces[] = {
                { 0, 1, 1 },
                { CLUSTER - 1, 2, 2 },
                { 10 * CLUSTER + 100, 3 * CLUSTER, 3 },
                { 512 * MIB - 1, 2, 4 }, /* the edge between two L2 tables */
                { 3 * GIB + 512, 20 * CLUSTER, 5 },
                { 4 * GIB + 1024 - 1, 1, 6 }, /* the last byte, of a partial cluster */
                {},
        };

        /* 2 + 4 + 2 + 21 + 1 of data, 4 L2 tables (0, 1, 6 and 8), 4 others */
        assert_int_equal(check_disk(4 * GIB + 1024, pieces),
                         (2 + 4 + 2 + 21 + 1 + 4 + 4) * CLUSTER);
}

/* So much data that one block of refcounts (32,768 clusters, 2 GiB) would not do is too much to
 * write here; a disk that fills many L2 tables thinly is the next best. */
static void test_qcow2_many_tables(void **state _unused_)
{
        struct piece pieces[41] = {};

        for (size_t i = 0; i < 40; i++)
                pieces[i] =
                        (struct piece){ i * 512 * MIB + i * CLUSTER, CLUSTER, (uint8_t)(i + 1) };
        assert_int_equal(check_disk(20 * GIB, pieces), (40 + 40 + 4) * CLUSTER);
}

/* Explicit zeros and holes are the same disk, so the same file. */
static void test_qcow2_deterministic(void **state _unused_)
{
        static const struct piece data = { 5 * CLUSTER + 7, 100000, 9 }, zeros = { 0, 4 * MIB, 0 };
        char *directory = test_mkdir();
        struct sha256 digests[2];
        struct error err = {};

        for (unsigned i = 0; i < 2; i++) {
                _cleanup_close_ int disk = create_file(directory, i ? "b.raw" : "a.raw", 8 * MIB);
                _cleanup_close_ int fd = create_file(directory, i ? "b.qcow2" : "a.qcow2", 0);

                if (i == 1)
                        write_piece(disk, &zeros);
                write_piece(disk, &data);
                assert_ok(write_output("qcow2", disk, 8 * MIB, NULL, fd, &digests[i], &err), &err);
        }
        assert_memory_equal(&digests[0], &digests[1], sizeof(digests[0]));
        test_rmdir(directory);
}

/* What is known of the disk is believed: a part known as zeros is not written. */
static void test_qcow2_known(void **state _unused_)
{
        static const struct piece all = { 0, 8 * MIB, 7 };
        char *directory = test_mkdir();
        struct error err = {};

        {
                _cleanup_close_ int disk = create_file(directory, "disk.raw", 8 * MIB);
                _cleanup_close_ int fd = create_file(directory, "disk.qcow2", 0);
                _cleanup_block_digests_ struct block_digests zeros = {};
                const struct known_blocks known = { .digests = &zeros };
                struct sha256 digest;

                assert_ok(block_digests_init(&zeros, 3 * CLUSTER / BLOCK_SIZE, &err), &err);
                write_piece(disk, &all);
                assert_ok(write_output("qcow2", disk, 8 * MIB, &known, fd, &digest, &err), &err);
                assert_int_equal(lseek(fd, 0, SEEK_END), (5 + 8 * MIB / CLUSTER - 3) * CLUSTER);
        }
        test_rmdir(directory);
}

static void test_qcow2_refused(void **state _unused_)
{
        char *directory = test_mkdir();
        struct sha256 digest;
        struct error err = {};

        {
                _cleanup_close_ int disk = create_file(directory, "disk.raw", CLUSTER);
                _cleanup_close_ int fd = create_file(directory, "disk.qcow2", 0);

                assert_int_equal(write_output("qcow2", disk, 0, NULL, fd, &digest, &err), -EINVAL);
                assert_int_equal(write_output("qcow2", disk, 513, NULL, fd, &digest, &err),
                                 -EINVAL);
                assert_int_equal(
                        write_output("qcow2", disk, 17ULL * 1024 * GIB, NULL, fd, &digest, &err),
                        -EINVAL);
                assert_string_equal(err.message, "qcow2: a disk of 18691697672192 bytes");
                assert_int_equal(
                        write_output("qcow2", disk, (uint64_t)2 * CLUSTER, NULL, fd, &digest, &err),
                        -ENODATA);
                assert_string_equal(err.message, "qcow2: the disk is not 131072 bytes long");
        }
        test_rmdir(directory);
}

/* ---- vhd ---- */

static void check_footer(int fd, uint64_t size)
{
        struct vhd_footer footer = {};
        struct error err = {};
        bool found = false;

        assert_ok(vhd_footer_read(fd, &found, &footer, &err), &err);
        assert_true(found);
        assert_int_equal(footer.size, size);
        assert_int_equal(footer.time_stamp, 1700000000);
}

/* The disk's bytes and holes, and qemu-img's word for it. */
static void check_vhd(uint64_t size, const struct piece *pieces, struct sha256 *ret)
{
        char *directory = test_mkdir();
        struct sha256 again;
        struct error err = {};
        struct stat st, raw;

        {
                _cleanup_close_ int disk = create_file(directory, "disk.raw", size);
                _cleanup_close_ int fd = create_file(directory, "disk.vhd", 0);

                for (; pieces->size > 0; pieces++)
                        write_piece(disk, pieces);
                assert_ok(write_output("vhd", disk, size, NULL, fd, ret, &err), &err);
                assert_ok(sparse_digest(fd, size + VHD_FOOTER_SIZE, NULL, 0, &again, &err), &err);
                assert_true(sha256_equal(ret, &again));
                check_footer(fd, size);
                assert_int_equal(fsync(disk) | fsync(fd) | fstat(fd, &st) | fstat(disk, &raw), 0);
                assert_int_equal(st.st_size, size + VHD_FOOTER_SIZE);
                assert_true(st.st_blocks <= raw.st_blocks + 64);
                qemu_img(directory, (const char *const[]){ "compare", "-f", "raw", "-F", "vpc",
                                                           "disk.raw", "disk.vhd", NULL });
        }
        test_rmdir(directory);
}

static void test_vhd(void **state _unused_)
{
        static const struct piece pieces[] = {
                { 0, 1, 1 },
                { 10 * CLUSTER + 100, 3 * CLUSTER, 3 },
                { 130 * GIB - 1, 1, 6 }, /* more than the geometry can express */
                {},
        };
        static const struct piece none[] = { {} };
        struct sha256 digest;

        check_vhd(130 * GIB, pieces, &digest);
        check_vhd(7 * GIB, none, &digest);
        check_vhd(31122 * MIB, none, &digest);
        check_vhd(MIB, none, &digest);
}

static void test_vhd_deterministic(void **state _unused_)
{
        static const struct piece sparse[] = { { 5 * CLUSTER + 7, 100000, 9 }, {} };
        static const struct piece full[] = { { 0, 8 * MIB, 0 },
                                             { 5 * CLUSTER + 7, 100000, 9 },
                                             {} };
        struct sha256 digests[2];

        check_vhd(8 * MIB, sparse, &digests[0]);
        check_vhd(8 * MIB, full, &digests[1]);
        assert_true(sha256_equal(&digests[0], &digests[1]));
}

static void test_vhd_refused(void **state _unused_)
{
        char *directory = test_mkdir();
        struct sha256 digest;
        struct error err = {};

        {
                _cleanup_close_ int disk = create_file(directory, "disk.raw", MIB);
                _cleanup_close_ int fd = create_file(directory, "disk.vhd", 0);

                assert_int_equal(write_output("vhd", disk, MIB + 512, NULL, fd, &digest, &err),
                                 -EINVAL);
                assert_string_equal(err.message,
                                    "vhd: a VHD of 1049088 bytes: only whole MiB up to "
                                    "2040 GiB");
                assert_int_equal(lseek(fd, 0, SEEK_END), 0);
                assert_int_equal(write_output("vhd", disk, 2 * MIB, NULL, fd, &digest, &err),
                                 -ENODATA);
        }
        test_rmdir(directory);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_formats),
                cmocka_unit_test(test_qcow2_empty),
                cmocka_unit_test(test_qcow2_edges),
                cmocka_unit_test(test_qcow2_many_tables),
                cmocka_unit_test(test_qcow2_deterministic),
                cmocka_unit_test(test_qcow2_known),
                cmocka_unit_test(test_qcow2_refused),
                cmocka_unit_test(test_vhd),
                cmocka_unit_test(test_vhd_deterministic),
                cmocka_unit_test(test_vhd_refused),
        };

        return test_run(tests);
}
