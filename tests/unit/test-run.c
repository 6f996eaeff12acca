/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* QEMU's command lines against golden texts: one argument a line. */

#include "test.h"

#include "golden.h"
#include "run.h"

static void check(const struct run_options *o, const struct run_machine *m, const char *golden)
{
        _cleanup_buffer_ struct buffer text = {};
        _cleanup_strv_ char **argv = NULL;
        struct error err = {};

        assert_ok(run_command(o, m, &argv, &err), &err);
        STRV_FOREACH (argument, argv)
                buffer_printf(&text, "%s\n", *argument);
        assert_golden(golden, text.data);
}

static const struct run_machine tcg = { .qemu_major = 7,
                                        .firmware = "/ovmf.fd",
                                        .variables_fd = 3 };

static void test_plain(void **state _unused_)
{
        const struct run_options o = {
                .disk = "x.raw", .format = "raw", .memory_mib = 2048, .cpus = 2
        };

        check(&o, &tcg, "run-plain.txt");
}

static void test_everything(void **state _unused_)
{
        static char no_reboot[] = "-no-reboot";
        const struct run_machine kvm = { true, 10, "/a,b/ovmf.fd", 4, 5, 6, NULL };
        const struct run_options o = {
                .disk = "/disks/a,b.qcow2",
                .format = "qcow2",
                .ignition = "/c,d.ign",
                .platform = "metal",
                .ssh_port = 2222,
                .memory_mib = 4096,
                .cpus = 4,
                .snapshot = true,
                .extra = (char *[]){ no_reboot, NULL },
        };

        check(&o, &kvm, "run-everything.txt");
}

static void test_secure_boot(void **state _unused_)
{
        const struct run_options o = {
                .disk = "x.raw", .format = "raw", .memory_mib = 2048, .cpus = 2, .secure_boot = true
        };

        check(&o, &tcg, "run-secure-boot.txt");
}

/* The configuration is the box's to give, and the machine's place is what firmware says it is. */
static void test_azure(void **state _unused_)
{
        const struct azure_box box = {
                5, 6, 7, true, "0f8fad5b-d9cb-469f-a165-70867728950e", "00:0d:3a:01:02:03"
        };
        struct run_machine machine = tcg;
        const struct run_options o = {
                .disk = "x.vhd",
                .format = "vpc",
                .ignition = "x.ign",
                .platform = "azure",
                .ssh_port = 2222,
                .memory_mib = 2048,
                .cpus = 2,
        };

        machine.azure = &box;
        check(&o, &machine, "run-azure.txt");
}

/* What the firmware writes stays; what is there is never replaced. */
static void test_variables(void **state _unused_)
{
        char *directory = test_mkdir();
        _cleanup_free_ char *path = string_format("%s/disk.efivars", directory);
        struct run_options o = { .secure_boot = true, .variables = path };
        struct run_machine m;
        struct error err = {};
        struct stat st;
        char text[4] = {};

        assert_ok(run_probe(&o, &m, &err), &err);
        assert_non_null(strstr(m.firmware, "OVMF"));
        assert_int_equal(fstat(m.variables_fd, &st), 0);
        assert_true(st.st_size > 64 * 1024);
        assert_ok(io_pwrite(m.variables_fd, "mine", 4, 0, &err), &err);
        close(m.variables_fd);
        assert_ok(run_probe(&o, &m, &err), &err);
        assert_ok(io_pread(m.variables_fd, text, 4, 0, NULL, &err), &err);
        assert_memory_equal(text, "mine", 4);
        close(m.variables_fd);
        o.variables = NULL;
        o.variables_from = path;
        assert_ok(run_probe(&o, &m, &err), &err);
        assert_ok(io_pwrite(m.variables_fd, "ours", 4, 0, &err), &err);
        close(m.variables_fd);
        assert_ok(run_probe(&o, &m, &err), &err);
        assert_ok(io_pread(m.variables_fd, text, 4, 0, NULL, &err), &err);
        assert_memory_equal(text, "mine", 4);
        close(m.variables_fd);
        test_rmdir(directory);
}

static void test_processor(void **state _unused_)
{
        const struct run_options o = { .disk = "x", .format = "raw", .memory_mib = 256, .cpus = 1 };
        struct run_machine m = tcg;
        char **argv;

        m.qemu_major = 10;
        assert_int_equal(run_command(&o, &m, &argv, NULL), 0);
        assert_true(strv_contains(argv, "max,erms=off,fsrm=off"));
        assert_false(strv_contains(argv, "max,erms=off,fsrm=off,cx16=off"));
        strv_free(argv);
}

static void test_platform(void **state _unused_)
{
        static const char *const bad[] = { "", "a,b", "a b", "A",
                                           "abcdefghijklmnopqrstuvwxyz-0123456" };
        struct run_options o = { .disk = "x", .format = "raw" };
        char **argv;

        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
                o.platform = bad[i];
                assert_int_equal(run_command(&o, &tcg, &argv, NULL), -EINVAL);
        }
}

static void test_format(void **state _unused_)
{
        char *directory = test_mkdir(), path[128];
        struct error err = {};

        snprintf(path, sizeof(path), "%s/disk", directory);
        assert_null(run_disk_format(path, &err));
        assert_int_equal(err.code, -ENOENT);
        assert_ok(file_write(AT_FDCWD, path, "", 0, 0644, &err), &err);
        assert_string_equal(run_disk_format(path, &err), "raw");
        assert_ok(file_write(AT_FDCWD, path, "QFI\xfb\0\0\0\3", 8, 0644, &err), &err);
        assert_string_equal(run_disk_format(path, &err), "qcow2");
        test_rmdir(directory);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_plain),       cmocka_unit_test(test_everything),
                cmocka_unit_test(test_secure_boot), cmocka_unit_test(test_variables),
                cmocka_unit_test(test_processor),   cmocka_unit_test(test_platform),
                cmocka_unit_test(test_format),      cmocka_unit_test(test_azure),
        };

        return test_run(tests);
}
