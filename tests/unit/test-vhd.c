/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The footer of a VHD: its bytes against a golden file, its geometry against what the specification
 * promises of every size, and against QEMU's; and what is refused. */

#include "test.h"

#include <endian.h>

#include "golden.h"
#include "process.h"
#include "strv.h"
#include "vhd.h"

static const struct vhd_footer example = {
        .size = 31122 * MIB,
        .uuid = { { 0, 1, 2, 3, 4, 5, 0x46, 7, 0x88, 9, 10, 11, 12, 13, 14, 15 } },
        .time_stamp = 1700000000,
};

static void test_golden(void **state _unused_)
{
        _cleanup_buffer_ struct buffer text = {};
        uint8_t data[VHD_FOOTER_SIZE];
        struct error err = {};

        assert_ok(vhd_footer_write(&example, data, &err), &err);
        for (size_t i = 0; i < sizeof(data); i += 16) {
                char hex[33];

                hex_encode(data + i, 16, hex);
                buffer_printf(&text, "%03zx %s\n", i, hex);
        }
        assert_golden("vhd-footer.txt", text.data);
}

static void check_geometry(uint64_t sectors)
{
        struct vhd_geometry g = vhd_geometry(sectors * 512);
        uint64_t cylinder = (uint64_t)g.heads * g.sectors_per_track;
        uint64_t named = g.cylinders * cylinder;

        assert_true(g.cylinders <= 65535 && g.heads >= 4 && g.heads <= 16);
        assert_true(g.sectors_per_track == 17 || g.sectors_per_track == 31 ||
                    g.sectors_per_track == 63 || g.sectors_per_track == 255);
        assert_true(named <= sectors);
        if (sectors < 65535ULL * 16 * 255)
                assert_true(sectors - named < cylinder);
        else
                assert_int_equal(named, 65535ULL * 16 * 255);
}

/* Every size near a power of two, near where the algorithm changes its mind, and many between. */
static void test_geometry(void **state _unused_)
{
        static const uint64_t edges[] = { 17 * 4 * 1024,      17 * 16 * 1024,      31 * 16 * 1024,
                                          65535ULL * 16 * 63, 65535ULL * 16 * 255, 17 * 1024 };

        for (size_t i = 0; i < ARRAY_SIZE(edges); i++)
                for (uint64_t sectors = edges[i] - 2000; sectors < edges[i] + 2000; sectors++)
                        check_geometry(sectors);
        for (uint64_t bit = 1 << 12; bit <= 1ULL << 32; bit <<= 1)
                for (uint64_t sectors = bit - 1; sectors <= bit + 1; sectors++)
                        check_geometry(sectors);
        for (uint64_t sectors = 68, step = 1; sectors < 1ULL << 32; sectors += step, step += 7)
                check_geometry(sectors);
}

/* Makes a VHD with QEMU, which chooses a size that its geometry names exactly. */
static void check_against_qemu(const char *directory, uint64_t wanted)
{
        _cleanup_free_ char *path = string_format("%s/qemu.vhd", directory),
                            *size = string_format("%llu", (unsigned long long)wanted);
        uint8_t data[VHD_FOOTER_SIZE];
        struct vhd_footer footer = {};
        struct vhd_geometry g;
        struct error err = {};
        bool found = false;

        assert_ok(spawn((const char *const[]){ "qemu-img", "create", "-q", "-f", "vpc", "-o",
                                               "subformat=fixed", path, size, NULL },
                        NULL, NULL, &err),
                  &err);
        {
                _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);

                assert_true(fd >= 0);
                assert_ok(vhd_footer_read(fd, &found, &footer, &err), &err);
                assert_true(found);
                assert_ok(io_pread(fd, data, sizeof(data), footer.size, NULL, &err), &err);
        }
        g = vhd_geometry(footer.size);
        assert_int_equal(data[56] << 8 | data[57], g.cylinders);
        assert_int_equal(data[58], g.heads);
        assert_int_equal(data[59], g.sectors_per_track);
}

static void test_qemu(void **state _unused_)
{
        static const uint64_t sizes[] = { MIB,       5 * MIB,  100 * MIB, 300 * MIB, 504 * MIB,
                                          505 * MIB, 2 * GIB,  7 * GIB,   30 * GIB,  31 * GIB,
                                          32 * GIB,  60 * GIB, 100 * GIB, 127 * GIB };
        char *directory = test_mkdir();

        for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
                check_against_qemu(directory, sizes[i]);
        test_rmdir(directory);
}

static void test_sizes(void **state _unused_)
{
        static const uint64_t bad[] = {
                0, 1, 512, MIB - 512, MIB + 1, 2040 * GIB + MIB, UINT64_MAX
        };
        struct vhd_footer footer = example;
        uint8_t data[VHD_FOOTER_SIZE];
        struct error err = {};

        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
                footer.size = bad[i];
                assert_int_equal(vhd_footer_write(&footer, data, &err), -EINVAL);
        }
        footer.size = VHD_DISK_MAX;
        assert_ok(vhd_footer_write(&footer, data, &err), &err);
}

/* What is written is read again; times before and after what the field can say are the nearest. */
static void test_parse(void **state _unused_)
{
        static const struct {
                uint64_t written, read;
        } times[] = { { 1700000000, 1700000000 },
                      { 0, 946684800 },
                      { 946684800, 946684800 },
                      { UINT64_MAX, 946684800ULL + UINT32_MAX } };

        for (size_t i = 0; i < ARRAY_SIZE(times); i++) {
                struct vhd_footer footer = example, again = {};
                uint8_t data[VHD_FOOTER_SIZE];
                struct error err = {};
                bool found = false;

                footer.time_stamp = times[i].written;
                assert_ok(vhd_footer_write(&footer, data, &err), &err);
                assert_ok(vhd_footer_parse(data, footer.size + 512, &found, &again, &err), &err);
                assert_true(found);
                assert_int_equal(again.size, footer.size);
                assert_int_equal(again.time_stamp, times[i].read);
                assert_memory_equal(&again.uuid, &footer.uuid, sizeof(again.uuid));
        }
}

/* A change of any byte is noticed; one of the first eight makes it no footer. */
static void test_damaged(void **state _unused_)
{
        uint8_t data[VHD_FOOTER_SIZE];
        struct vhd_footer footer = {};
        struct error err = {};
        bool found;

        assert_ok(vhd_footer_write(&example, data, &err), &err);
        for (size_t i = 0; i < sizeof(data); i++) {
                data[i] ^= 0x40;
                assert_int_equal(vhd_footer_parse(data, example.size + 512, &found, &footer, &err),
                                 i < 8 ? 0 : -EBADMSG);
                assert_true(found == (i >= 8));
                data[i] ^= 0x40;
        }
        assert_int_equal(vhd_footer_parse(data, example.size, &found, &footer, &err), -EBADMSG);
        assert_string_equal(err.message, "the VHD's footer is of a disk of 32633782272 bytes, but "
                                         "the file has 32633782272");
        data[63] = 3; /* a dynamic one; the checksum changes by as much */
        data[67]--;
        assert_int_equal(vhd_footer_parse(data, example.size + 512, &found, &footer, &err),
                         -ENOTSUP);
}

/* Files of tests/data/vhd; the size that goes with each is the one it names. */
static void check_file(const char *name)
{
        _cleanup_free_ char *path = string_format(TEST_DATA_DIR "/vhd/%s", name), *data = NULL;
        uint8_t footer[VHD_FOOTER_SIZE] = {};
        struct vhd_footer parsed;
        struct error err = {};
        bool found = false;
        uint64_t named;
        size_t size;
        int r;

        assert_ok(file_read(AT_FDCWD, path, sizeof(footer), &data, &size, &err), &err);
        memcpy(footer, data, size);
        memcpy(&named, footer + 48, sizeof(named));
        r = vhd_footer_parse(footer, be64toh(named) + sizeof(footer), &found, &parsed, &err);
        if ((r == 0 && found) == (startswith(name, "should-fail-") != NULL))
                fail_msg("%s: %d %s", name, r, err.message);
}

static void test_files(void **state _unused_)
{
        _cleanup_closedir_ DIR *d = opendir(TEST_DATA_DIR "/vhd");
        size_t n = 0;

        assert_non_null(d);
        for (struct dirent *e; (e = readdir(d));)
                if (endswith(e->d_name, ".footer")) {
                        check_file(e->d_name);
                        n++;
                }
        assert_true(n > 10);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_golden), cmocka_unit_test(test_geometry),
                cmocka_unit_test(test_qemu),   cmocka_unit_test(test_sizes),
                cmocka_unit_test(test_parse),  cmocka_unit_test(test_damaged),
                cmocka_unit_test(test_files),
        };

        return test_run(tests);
}
