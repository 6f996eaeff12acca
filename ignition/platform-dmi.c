/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The platform by what the firmware says of the machine: the first row of which every text that is
 * given begins the file's content. A cloud that is built on another's software comes before it. */

#include <fcntl.h>

#include "provider.h"

enum { DMI_MAX = 4096, CONDITIONS = 2 };

static const struct {
        const char *platform;
        struct {
                const char *file, *begin;
        } conditions[CONDITIONS];
} rows[] = {
        /* Every virtual machine on Azure has this tag; Hyper-V elsewhere has not. */
        { "azure", { { "chassis_asset_tag", "7783-7084-3265-9085-8269-3286-77" } } },
        { "aws", { { "sys_vendor", "Amazon EC2" } } },
        { "aws", { { "bios_version", "4.2.amazon" } } }, /* on Xen */
        { "aws", { { "bios_version", "4.11.amazon" } } },
        { "gcp", { { "product_name", "Google Compute Engine" } } },
        { "gcp", { { "bios_vendor", "Google" }, { "sys_vendor", "Google" } } },
        { "digitalocean", { { "sys_vendor", "DigitalOcean" } } },
        { "hetzner", { { "sys_vendor", "Hetzner" } } },
        { "vultr", { { "sys_vendor", "Vultr" } } },
        { "scaleway", { { "sys_vendor", "Scaleway" } } },
        { "upcloud", { { "sys_vendor", "UpCloud" } } },
        { "exoscale", { { "sys_vendor", "Exoscale" } } },
        { "akamai", { { "sys_vendor", "Akamai" } } },
        { "akamai", { { "sys_vendor", "Linode" } } },
        { "aliyun", { { "sys_vendor", "Alibaba Cloud" } } },
        { "oraclecloud", { { "chassis_asset_tag", "OracleCloud.com" } } },
        { "cloudstack", { { "product_name", "CloudStack" } } },
        { "brightbox", { { "sys_vendor", "Brightbox" } } },
        { "openstack", { { "product_name", "OpenStack" } } },
        { "openstack", { { "chassis_asset_tag", "OpenStack" } } },
        { "openstack", { { "sys_vendor", "OpenStack" } } },
        { "ibmcloud", { { "chassis_asset_tag", "ibmcloud" } } },
        { "nutanix", { { "sys_vendor", "Nutanix" }, { "product_name", "AHV" } } },
        { "kubevirt", { { "sys_vendor", "KubeVirt" } } },
        { "kubevirt", { { "product_name", "KubeVirt" } } },
        { "packet", { { "sys_vendor", "Packet" } } },
        { "vmware", { { "sys_vendor", "VMware" } } },
        { "virtualbox", { { "product_name", "VirtualBox" } } },
        { "virtualbox", { { "bios_vendor", "innotek" } } },
        { "hyperv",
          { { "sys_vendor", "Microsoft Corporation" }, { "product_name", "Virtual Machine" } } },
        { "applehv",
          { { "sys_vendor", "Apple Inc." }, { "product_name", "Apple Virtualization" } } },
        { "nvidiabluefield", { { "product_name", "BlueField" } } },
        { "qemu", { { "sys_vendor", "QEMU" } } },
        { "qemu", { { "product_name", "Standard PC" } } },
};

static bool begins(int dir, const char *name, const char *begin)
{
        _cleanup_free_ char *text = NULL;
        struct error ignored;

        return file_read(dir, name, DMI_MAX, &text, NULL, &ignored) >= 0 && startswith(text, begin);
}

static bool matches(int dir, size_t row)
{
        for (size_t i = 0; i < CONDITIONS && rows[row].conditions[i].file; i++)
                if (!begins(dir, rows[row].conditions[i].file, rows[row].conditions[i].begin))
                        return false;
        return true;
}

const char *platform_from_dmi(const char *directory)
{
        _cleanup_close_ int dir = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        for (size_t i = 0; dir >= 0 && i < ARRAY_SIZE(rows); i++)
                if (matches(dir, i))
                        return rows[i].platform;
        return NULL;
}
