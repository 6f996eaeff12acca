/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the initrd asks: where ROOT is (in a made sysfs), what is on it; and consoles. */

#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "boot.h"
#include "console.h"
#include "test.h"

static void put(int dir, const char *path, const char *text)
{
        struct error err = {};
        char *parent = strdup(path);

        assert_non_null(parent);
        *strrchr(parent, '/') = '\0';
        assert_int_equal(path_mkdirs(dir, parent, 0755, &err), 0);
        assert_int_equal(file_write(dir, path, text, strlen(text), 0644, &err), 0);
        free(parent);
}

static void put_link(int dir, const char *path, const char *target)
{
        struct error err = {};
        char *parent = strdup(path);

        assert_non_null(parent);
        *strrchr(parent, '/') = '\0';
        assert_int_equal(path_mkdirs(dir, parent, 0755, &err), 0);
        assert_int_equal(symlinkat(target, dir, path), 0);
        free(parent);
}

/* Two disks; /usr is dm-0 on a partition of the second, and both have a partition called root. */
static void make_sysfs(int dir)
{
        put(dir, "devices/vda/vda1/uevent", "DEVNAME=vda1\nPARTN=1\nPARTNAME=root\n");
        put(dir, "devices/vda/vda1/partition", "1\n");
        put(dir, "devices/vdb/uevent", "DEVNAME=vdb\n");
        put(dir, "devices/vdb/vdb2/uevent", "DEVNAME=vdb2\nPARTN=2\nPARTNAME=usr-a\n");
        put(dir, "devices/vdb/vdb2/partition", "2\n");
        put(dir, "devices/vdb/vdb4/uevent", "DEVNAME=vdb4\nPARTN=4\nPARTNAME=rootless\n");
        put(dir, "devices/virtual/dm-0/uevent", "DEVNAME=dm-0\n");
        put_link(dir, "devices/virtual/dm-0/slaves/vdb2", "../../../vdb/vdb2");
        put_link(dir, "dev/block/254:0", "../../devices/virtual/dm-0");
        put_link(dir, "dev/block/8:1", "../../devices/vda/vda1");
}

static void test_find_root(void **state _unused_)
{
        char *path = test_mkdir();
        _cleanup_close_ int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        char name[ROOT_NAME_MAX] = "";

        make_sysfs(dir);
        assert_true(boot_find_root(path, makedev(8, 1), name));
        assert_string_equal(name, "vda1");
        assert_false(boot_find_root(path, makedev(254, 0), name));
        assert_false(boot_find_root(path, makedev(1, 1), name));
        put(dir, "devices/vdb/vdb5/uevent", "DEVNAME=vdb5\nPARTN=5\nPARTNAME=root\n");
        assert_true(boot_find_root(path, makedev(254, 0), name));
        assert_string_equal(name, "vdb5");
        test_rmdir(path);
}

static const struct {
        const char *magic;
        uint64_t offset;
        const char *want;
} contents[] = {
        { "\x53\xef", 1080, "ext4" }, { "_BHRfS_M", 65600, "btrfs" }, { "XFSB", 0, "xfs" },
        { "XFSX", 0, NULL },          { "\x53", 1080, NULL },
};

static void test_format(void **state _unused_)
{
        struct error err = {};

        for (size_t i = 0; i < ARRAY_SIZE(contents); i++) {
                _cleanup_close_ int fd = memfd_create("disk", MFD_CLOEXEC);
                const struct root_format *f;

                assert_null(boot_root_format(fd));
                assert_int_equal(ftruncate(fd, 128 * KIB), 0);
                assert_int_equal(io_pwrite(fd, contents[i].magic, strlen(contents[i].magic),
                                           contents[i].offset, &err),
                                 0);
                f = boot_root_format(fd);
                if (contents[i].want)
                        assert_string_equal(f ? f->name : "none", contents[i].want);
                else
                        assert_null(f);
        }
}

/* mkfs.xfs marks what is not finished. */
static void test_unfinished(void **state _unused_)
{
        _cleanup_close_ int fd = memfd_create("disk", MFD_CLOEXEC);
        struct error err = {};

        assert_int_equal(ftruncate(fd, 4096), 0);
        assert_int_equal(io_pwrite(fd, "XFSB", 4, 0, &err), 0);
        assert_int_equal(io_pwrite(fd, "\1", 1, 126, &err), 0);
        assert_null(boot_root_format(fd));
}

static void test_consoles(void **state _unused_)
{
        char *path = test_mkdir();
        _cleanup_close_ int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_free_ char *active = NULL, *text = NULL;
        struct error err = {};

        assert_true(asprintf(&active, "%s/active", path) > 0);
        assert_int_equal(console_write(active, path, "x", 1), 0);
        assert_int_equal(file_write(dir, "active", "tty0 ttyS0 gone\n", 16, 0644, &err), 0);
        assert_int_equal(file_write(dir, "tty0", "", 0, 0644, &err), 0);
        assert_int_equal(file_write(dir, "ttyS0", "", 0, 0644, &err), 0);
        assert_int_equal(console_write(active, path, "reason\n", 7), 2);
        assert_int_equal(file_read(dir, "ttyS0", 100, &text, NULL, &err), 0);
        assert_string_equal(text, "reason\n");
        test_rmdir(path);
}

/* ---- the stamp ---- */

static const char one[] = "550e8400-e29b-41d4-a716-446655440000",
                  other[] = "11111111-2222-3333-4444-555555555555";

static void be(int dir, const char *id)
{
        put(dir, "sys/class/dmi/id/product_uuid", id);
        put(dir, "sys/firmware/efi/vars", "");
}

static void test_stamp(void **state _unused_)
{
        char *path = test_mkdir();
        _cleanup_close_ int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct error err = {};

        assert_int_equal(boot_read_stamp(dir, dir), BOOT_FIRST);
        assert_int_equal(mkdirat(dir, ".etc", 0755), 0);
        be(dir, one);
        assert_ok(boot_write_stamp(dir, dir, &err), &err);
        assert_int_equal(boot_read_stamp(dir, dir), BOOT_PROVISIONED);
        be(dir, other);
        assert_int_equal(boot_read_stamp(dir, dir), BOOT_CAPTURED);
        put(dir, "sys/class/dmi/id/product_uuid", "unreadable");
        assert_int_equal(boot_read_stamp(dir, dir), BOOT_PROVISIONED);
        assert_int_equal(boot_write_stamp(dir, dir, &err), -EINVAL);
        be(dir, other);
        assert_int_equal(boot_read_stamp(dir, dir), BOOT_CAPTURED); /* untouched */
        /* Where machines have no id, and of releases before. */
        assert_ok(boot_write_stamp(dir, -1, &err), &err);
        assert_int_equal(boot_read_stamp(dir, dir), BOOT_PROVISIONED);
        assert_int_equal(boot_read_stamp(dir, -1), BOOT_PROVISIONED);
        test_rmdir(path);
}

static void test_forget(void **state _unused_)
{
        static const struct {
                const char *path;
                bool stays;
        } files[] = {
                { ".etc/upper/machine-id", false },
                { ".etc/upper/hostname", false },
                { ".etc/upper/ssh/ssh_host_ed25519_key", false },
                { ".etc/upper/ssh/ssh_host_ed25519_key.pub", false },
                { ".etc/upper/ssh/sshd_config", true },
                { ".etc/upper/passwd", true },
                { "var/lib/hyperv/.kvp_pool_1", false },
                { "var/lib/systemd/random-seed", false },
                { "var/lib/data", true },
        };
        char *path = test_mkdir();
        _cleanup_close_ int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct error err = {};

        assert_ok(boot_forget_machine(dir, &err), &err);
        for (size_t i = 0; i < ARRAY_SIZE(files); i++)
                put(dir, files[i].path, "x");
        assert_ok(boot_forget_machine(dir, &err), &err);
        for (size_t i = 0; i < ARRAY_SIZE(files); i++)
                assert_int_equal(faccessat(dir, files[i].path, F_OK, 0) == 0, files[i].stays);
        test_rmdir(path);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_find_root),  cmocka_unit_test(test_format),
                cmocka_unit_test(test_unfinished), cmocka_unit_test(test_consoles),
                cmocka_unit_test(test_stamp),      cmocka_unit_test(test_forget),
        };

        return test_run(tests);
}
