/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What machine this is, by its DMI texts; and the names of platforms. */

#include "provider.h"
#include "test.h"

struct text {
        const char *file, *content;
};

static const struct {
        const char *platform; /* NULL: none */
        struct text texts[4];
} machines[] = {
        { "azure",
          { { "chassis_asset_tag", "7783-7084-3265-9085-8269-3286-77\n" },
            { "sys_vendor", "Microsoft Corporation\n" },
            { "product_name", "Virtual Machine\n" } } },
        { "hyperv",
          { { "chassis_asset_tag", "1234-5678\n" },
            { "sys_vendor", "Microsoft Corporation\n" },
            { "product_name", "Virtual Machine\n" } } },
        { NULL, { { "sys_vendor", "Microsoft Corporation\n" }, { "product_name", "Surface\n" } } },
        { "aws", { { "sys_vendor", "Amazon EC2\n" }, { "product_name", "m5.large\n" } } },
        { "aws", { { "sys_vendor", "Xen\n" }, { "bios_version", "4.11.amazon\n" } } },
        { NULL, { { "sys_vendor", "Xen\n" }, { "bios_version", "4.17\n" } } },
        { "gcp", { { "sys_vendor", "Google\n" }, { "product_name", "Google Compute Engine\n" } } },
        { "digitalocean", { { "sys_vendor", "DigitalOcean\n" }, { "product_name", "Droplet\n" } } },
        { "hetzner", { { "sys_vendor", "Hetzner\n" }, { "product_name", "vServer\n" } } },
        { "vultr", { { "sys_vendor", "Vultr\n" } } },
        { "scaleway", { { "sys_vendor", "Scaleway\n" } } },
        { "upcloud", { { "sys_vendor", "UpCloud\n" } } },
        { "exoscale", { { "sys_vendor", "Exoscale\n" } } },
        { "akamai", { { "sys_vendor", "Akamai\n" } } },
        { "akamai", { { "sys_vendor", "Linode\n" } } },
        { "aliyun", { { "sys_vendor", "Alibaba Cloud\n" } } },
        { "oraclecloud",
          { { "sys_vendor", "QEMU\n" }, { "chassis_asset_tag", "OracleCloud.com\n" } } },
        { "cloudstack",
          { { "sys_vendor", "Apache\n" }, { "product_name", "CloudStack KVM Hypervisor\n" } } },
        { "openstack",
          { { "sys_vendor", "OpenStack Foundation\n" }, { "product_name", "OpenStack Nova\n" } } },
        { "openstack",
          { { "sys_vendor", "VMware, Inc.\n" }, { "chassis_asset_tag", "OpenStack Nova\n" } } },
        { "nutanix", { { "sys_vendor", "Nutanix\n" }, { "product_name", "AHV\n" } } },
        { NULL, { { "sys_vendor", "Nutanix\n" }, { "product_name", "NX-1065\n" } } },
        { "kubevirt", { { "sys_vendor", "Red Hat\n" }, { "product_name", "KubeVirt\n" } } },
        { "vmware", { { "sys_vendor", "VMware, Inc.\n" }, { "product_name", "VMware20,1\n" } } },
        { "virtualbox",
          { { "sys_vendor", "innotek GmbH\n" }, { "product_name", "VirtualBox\n" } } },
        { "applehv",
          { { "sys_vendor", "Apple Inc.\n" },
            { "product_name", "Apple Virtualization Generic Platform\n" } } },
        { NULL, { { "sys_vendor", "Apple Inc.\n" }, { "product_name", "MacBookPro11,1\n" } } },
        { "qemu",
          { { "sys_vendor", "QEMU\n" }, { "product_name", "Standard PC (Q35 + ICH9, 2009)\n" } } },
        { NULL, { { "sys_vendor", "LENOVO\n" }, { "product_name", "20XW\n" } } },
        { NULL, {} },
};

static void test_machines(void **state _unused_)
{
        for (size_t i = 0; i < ARRAY_SIZE(machines); i++) {
                _cleanup_free_ char *path = test_mkdir();
                _cleanup_close_ int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                struct error err = {};
                const char *got;

                for (const struct text *t = machines[i].texts; t->file; t++)
                        assert_ok(file_write(dir, t->file, t->content, strlen(t->content), 0644,
                                             &err),
                                  &err);
                got = platform_from_dmi(path);
                if (!streq(got ?: "none", machines[i].platform ?: "none"))
                        fail_msg("machine %zu: %s, not %s", i, got, machines[i].platform);
                assert_true(!got || streq(provider_find(got)->name, got));
                assert_ok(path_remove_tree(AT_FDCWD, path, &err), &err);
        }
}

static void test_no_dmi(void **state _unused_)
{
        assert_null(platform_from_dmi("/nonexistent"));
}

/* Every platform of the original has a provider of that name. */
static void test_names(void **state _unused_)
{
        static const char *const names[] = {
                "akamai",
                "aliyun",
                "applehv",
                "aws",
                "azure",
                "azurestack",
                "brightbox",
                "cloudstack",
                "digitalocean",
                "exoscale",
                "file",
                "gcp",
                "hetzner",
                "hyperv",
                "ibmcloud",
                "kubevirt",
                "metal",
                "nutanix",
                "nvidiabluefield",
                "openstack",
                "oraclecloud",
                "packet",
                "powervs",
                "proxmoxve",
                "qemu",
                "scaleway",
                "upcloud",
                "virtualbox",
                "vmware",
                "vultr",
                "zvm",
        };

        for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
                const struct provider *provider = provider_find(names[i]);

                assert_non_null(provider);
                assert_string_equal(provider->name, names[i]);
                assert_non_null(provider->fetch);
        }
        assert_string_equal(provider_find("ec2")->name, "aws");
        assert_null(provider_find("nowhere"));
        assert_null(provider_find(""));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_machines),
                cmocka_unit_test(test_no_dmi),
                cmocka_unit_test(test_names),
        };

        return test_run(tests);
}
