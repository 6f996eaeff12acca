/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A small disk, judged by other people's tools: sfdisk, sgdisk, fsck.vfat, mdir. Built twice, with
 * some time between, it must be the same bytes. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "disk.h"
#include "esp.h"
#include "golden.h"
#include "process.h"

static char directory[] = "/tmp/slipway-test-disk-XXXXXX";
static char architecture[] = "amd64", version[] = "1.2.0";

static const char *at(const char *name)
{
        static char path[8][128];
        static unsigned next;

        next = (next + 1) % ARRAY_SIZE(path);
        snprintf(path[next], sizeof(path[next]), "%s/%s", directory, name);
        return path[next];
}

static void put(const char *name, size_t size, int byte)
{
        _cleanup_free_ char *data = malloc(size);

        memset(data, byte, size);
        assert_int_equal(file_write(AT_FDCWD, at(name), data, size, 0644, NULL), 0);
}

static char boot_loader[100 * KIB + 1];

static int set_up(void **state _unused_)
{
        if (!mkdtemp(directory))
                return -1;
        put("uki", 3 * MIB + 1, 'k');
        memset(boot_loader, 'b', sizeof(boot_loader) - 1);
        return 0;
}

static int tear_down(void **state _unused_)
{
        return path_remove_tree(AT_FDCWD, directory, NULL);
}

static struct layout plan(const struct manifest *m)
{
        struct layout_contents c = { .usr_size = 2 * MIB + 4096,
                                     .tree_size = 64 * KIB,
                                     .uki_size = 3 * MIB + 1,
                                     .boot_size = 100 * KIB };
        struct error err = {};
        struct layout l;

        for (size_t i = 0; i < SHA256_SIZE; i++)
                c.root_hash.bytes[i] = (uint8_t)(7 * i + 1);
        if (layout_plan(m, &c, &l, &err) < 0)
                fail_msg("%s", err.message);
        return l;
}

static char shim_bytes[] = "SHIM", manager_bytes[] = "MOK MANAGER", pk[] = "pk", kek[] = "kek",
            db[] = "db, longer";
static const struct shim shim = { shim_bytes, manager_bytes, 4, 11 };
static const struct enrolment_file enrolment[ENROLMENT_FILES] = {
        { "PK.auth", pk, 2 },
        { "KEK.auth", kek, 3 },
        { "db.auth", db, 10 },
};

static void build_disk_with(const char *name, bool with_extras)
{
        _cleanup_close_ int fd = open(at(name), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        struct manifest m = { .architecture = architecture, .version = version };
        const struct esp_contents contents = {
                .boot_loader = boot_loader,
                .boot_loader_size = sizeof(boot_loader) - 1,
                .architecture = architecture,
                .epoch = 1700000000,
                .shim = with_extras ? &shim : NULL,
                .enrolment = with_extras ? enrolment : NULL,
        };
        struct error err = {};
        struct layout l;

        assert_true(fd >= 0);
        m.partitions = (struct partitions_config){ 64 * MIB, 4 * MIB, MIB, MIB, 80 * MIB };
        l = plan(&m);
        /* The slot's content is there before. */
        assert_int_equal(io_pwrite(fd, "usr", 3, layout_find(&l, PARTITION_USR, 'A')->start, &err),
                         0);
        if (ftruncate(fd, (off_t)l.disk_size) < 0 ||
            esp_write(layout_find(&l, PARTITION_ESP, 0), &contents, at(name), &err) < 0 ||
            disk_write_table(&l, at(name), fd, &err) < 0 ||
            esp_put_uki(layout_find(&l, PARTITION_ESP, 0), at("uki"), version, contents.epoch,
                        at(name), &err) < 0)
                fail_msg("%s", err.message);
}

/* Output of a tool, with the test's directory taken out; fails the test when the tool does. */
static char *tool(const char *const argv[])
{
        char *output = NULL, *found;
        struct error err = {};
        int r = spawn(argv, NULL, &output, &err);

        if (r < 0)
                fail_msg("%s", err.message);
        while ((found = strstr(output, directory)))
                memmove(found, found + sizeof(directory), strlen(found + sizeof(directory)) + 1);
        return output;
}

static void build_disk(const char *name)
{
        build_disk_with(name, false);
}

static void test_table(void **state _unused_)
{
        _cleanup_free_ char *dump = NULL, *check = NULL, *verify = NULL;

        build_disk("table");
        dump = tool((const char *const[]){ "sfdisk", "--dump", at("table"), NULL });
        assert_golden("disk-sfdisk.txt", dump);
        check = tool((const char *const[]){ "sgdisk", "--verify", at("table"), NULL });
        assert_non_null(strstr(check, "No problems found"));
        verify = tool((const char *const[]){ "sfdisk", "--verify", at("table"), NULL });
        assert_non_null(strstr(verify, "No errors detected"));
}

static void test_esp(void **state _unused_)
{
        _cleanup_free_ char *list = NULL, *conf = NULL, *check = NULL, *image = NULL;
        _cleanup_close_ int disk = -1, esp = -1;

        build_disk("esp-disk");
        assert_true(asprintf(&image, "%s@@1048576", at("esp-disk")) > 0);
        setenv("TZ", "UTC0", 1);
        list = tool((const char *const[]){ "mdir", "-/", "-i", image, "::", NULL });
        assert_golden("esp-list.txt", list);
        conf = tool((const char *const[]){ "mtype", "-i", image, "::loader/loader.conf", NULL });
        assert_non_null(strstr(conf, "default slipway_*"));

        disk = open(at("esp-disk"), O_RDONLY | O_CLOEXEC);
        esp = open(at("esp"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        assert_true(disk >= 0 && esp >= 0);
        assert_int_equal(ftruncate(esp, 64 * MIB), 0);
        assert_int_equal(io_copy(disk, MIB, esp, 0, 64 * MIB, NULL), 0);
        check = tool((const char *const[]){ "fsck.vfat", "-n", at("esp"), NULL });
}

static void assert_esp_file(const char *image, const char *file, const char *text)
{
        _cleanup_free_ char *content =
                tool((const char *const[]){ "mtype", "-i", image, file, NULL });

        assert_string_equal(content, text);
}

/* Shim is what firmware starts; the boot loader is what shim starts, and where updates look. */
static void test_secure_boot_files(void **state _unused_)
{
        _cleanup_free_ char *image = NULL, *conf = NULL;

        build_disk_with("secure", true);
        assert_true(asprintf(&image, "%s@@1048576", at("secure")) > 0);
        assert_esp_file(image, "::EFI/BOOT/BOOTX64.EFI", "SHIM");
        assert_esp_file(image, "::EFI/BOOT/mmx64.efi", "MOK MANAGER");
        assert_esp_file(image, "::loader/keys/auto/PK.auth", "pk");
        assert_esp_file(image, "::loader/keys/auto/KEK.auth", "kek");
        assert_esp_file(image, "::loader/keys/auto/db.auth", "db, longer");
        assert_esp_file(image, "::EFI/BOOT/grubx64.efi", boot_loader);
        assert_esp_file(image, "::EFI/systemd/systemd-bootx64.efi", boot_loader);
        conf = tool((const char *const[]){ "mtype", "-i", image, "::loader/loader.conf", NULL });
        assert_non_null(strstr(conf, "\nsecure-boot-enroll if-safe\n"));
}

static void hash_file(const char *name, struct sha256 *ret)
{
        _cleanup_close_ int fd = open(at(name), O_RDONLY | O_CLOEXEC);

        assert_true(fd >= 0);
        assert_int_equal(sha256_fd(fd, 0, UINT64_MAX, ret, NULL), 0);
}

static void test_same_bytes(void **state _unused_)
{
        struct sha256 a, b;
        struct stat st;

        build_disk("same-1");
        setenv("TZ", "Asia/Tokyo", 1);
        umask(077);
        sleep(2); /* FAT's times have a resolution of two seconds */
        build_disk("same-2");
        setenv("TZ", "UTC0", 1);
        hash_file("same-1", &a);
        hash_file("same-2", &b);
        assert_true(sha256_equal(&a, &b));
        assert_int_equal(stat(at("same-1"), &st), 0);
        assert_int_equal(st.st_size, 80 * MIB);
        assert_true((uint64_t)st.st_blocks * 512 < 8 * MIB);
}

static void test_contents(void **state _unused_)
{
        _cleanup_close_ int fd = -1;
        char bytes[4];

        build_disk("contents");
        fd = open(at("contents"), O_RDONLY | O_CLOEXEC);
        assert_int_equal(io_pread(fd, bytes, 4, 65 * MIB, NULL, NULL), 0);
        assert_memory_equal(bytes, "usr", 4);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_table),
                cmocka_unit_test(test_esp),
                cmocka_unit_test(test_secure_boot_files),
                cmocka_unit_test(test_same_bytes),
                cmocka_unit_test(test_contents),
        };

        return cmocka_run_group_tests(tests, set_up, tear_down);
}
