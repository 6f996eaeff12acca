/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What disks on Azure are for: by the text in an NVMe namespace, and by directories as sysfs has
 * them. tests/cli/test_azure_disk.py has every kind of controller, through udev. */

#include "test.h"

#include "disk-role.h"

static const struct disk_role nothing = { .lun = -1, .controller = -1, .index = -1 };

static void check_text(const char *text, size_t size, const char *expected)
{
        _cleanup_buffer_ struct buffer b = {};
        struct disk_role role = nothing;

        disk_role_parse(text, size, &role);
        disk_role_text(&role, &b);
        assert_string_equal(b.data ?: "", expected);
}

#define LONG_NAME "0123456789012345678901234567890123456789012345678901234567890123" /* 64 */

static void test_parse(void **state _unused_)
{
        static const struct {
                const char *text, *expected;
        } cases[] = {
                { "", "" },
                { "type=os", "AZURE_DISK_TYPE=os\n" },
                { "type=data,lun=3", "AZURE_DISK_TYPE=data\nAZURE_DISK_LUN=3\n" },
                { "type=local,index=1,name=nvme-440G-1",
                  "AZURE_DISK_TYPE=local\nAZURE_DISK_INDEX=1\nAZURE_DISK_NAME=nvme-440G-1\n" },
                { "lun=7,type=data,new=thing,,=,x", "AZURE_DISK_TYPE=data\nAZURE_DISK_LUN=7\n" },
                { "type=data,lun=1024", "AZURE_DISK_TYPE=data\n" },
                { "type=data,lun=00001", "AZURE_DISK_TYPE=data\n" },
                { "type=data,lun=-1", "AZURE_DISK_TYPE=data\n" },
                { "type=data,lun=", "AZURE_DISK_TYPE=data\n" },
                { "type=local,name=../../sda", "AZURE_DISK_TYPE=local\n" },
                { "type=local,name=a b", "AZURE_DISK_TYPE=local\n" },
                { "type=local,name=" LONG_NAME,
                  "AZURE_DISK_TYPE=local\nAZURE_DISK_NAME=" LONG_NAME "\n" },
                { "type=local,name=" LONG_NAME "4", "AZURE_DISK_TYPE=local\n" },
                { "type=unheard-of,lun=1", "" },
                { "type", "" },
                { "type=", "" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
                check_text(cases[i].text, strlen(cases[i].text), cases[i].expected);
        check_text("type=os\0type=data", 17, "AZURE_DISK_TYPE=os\n");
        check_text("type=data,lun=34", 15, "AZURE_DISK_TYPE=data\nAZURE_DISK_LUN=3\n");
}

static void put(const char *directory, const char *name, const char *text)
{
        _cleanup_free_ char *path = string_format("%s/%s", directory, name);
        struct error err = {};

        assert_ok(file_write(AT_FDCWD, path, text, strlen(text), 0644, &err), &err);
}

static char *make_directory(const char *parent, const char *name)
{
        char *path = string_format("%s/%s", parent, name);
        struct error err = {};

        assert_ok(path_mkdirs(AT_FDCWD, path, 0755, &err), &err);
        return path;
}

static void test_find(void **state _unused_)
{
        char *root = test_mkdir();
        _cleanup_free_ char *controller = make_directory(root, "nvme0"),
                            *nvme = make_directory(controller, "nvme0n3"),
                            *bus = make_directory(root, "bus"),
                            *disk = make_directory(bus, "host0/target0:0:0/0:0:0:12/block/sda"),
                            *link = string_format("%s/device", disk);
        struct disk_role role;

        disk_role_find(nvme, "/nonexistent", &role);
        assert_int_equal(role.purpose, DISK_UNKNOWN);
        put(controller, "model", "MSFT NVMe Accelerator v1.0              \n");
        disk_role_find(nvme, "/nonexistent", &role);
        assert_int_equal(role.purpose, DISK_UNKNOWN); /* no namespace */
        put(nvme, "nsid", "3\n");
        put(root, "device_id", "{f8b3781a-1e82-4818-a1c3-63d806ec15bb}\n"); /* of its bus */
        disk_role_find(nvme, "/nonexistent", &role);
        assert_int_equal(role.purpose, DISK_DATA);
        assert_int_equal(role.lun, 1);
        assert_int_equal(role.controller, -1);

        put(bus, "device_id", "{f8b3781d-1e82-4818-a1c3-63d806ec15bb}\n");
        disk_role_find(disk, "/nonexistent", &role);
        assert_int_equal(role.purpose, DISK_DATA);
        assert_int_equal(role.lun, -1); /* nobody says where it is */
        assert_int_equal(symlink("../../../0:0:0:12", link), 0);
        disk_role_find(disk, "/nonexistent", &role);
        assert_int_equal(role.lun, 12);
        assert_int_equal(role.controller, 3);
        test_rmdir(root);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_parse),
                cmocka_unit_test(test_find),
        };

        return test_run(tests);
}
