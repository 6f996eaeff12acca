/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What an image must have for a virtual machine of generation 2 on Azure; docs/azure.md has what of
 * it only Azure can show. */

#include "fit.h"
#include "strv.h"
#include "vhd.h"

enum { FSTAB_MAX = 1024 * 1024 };

static int has_vhd_size(const struct fit_subject *s, const char *argument _unused_,
                        struct buffer *more, struct error *err _unused_)
{
        uint64_t size = s->c->layout.disk_size;

        buffer_printf(more, "the disk has %llu bytes", (unsigned long long)size);
        return size % MIB == 0 && size > 0 && size <= VHD_DISK_MAX;
}

static int is_aligned(const struct fit_subject *s, const char *argument _unused_,
                      struct buffer *more, struct error *err _unused_)
{
        const struct layout *l = &s->c->layout;

        for (size_t i = 0; i < l->count; i++)
                if (l->partitions[i].start % MIB != 0 || l->partitions[i].size % MIB != 0) {
                        buffer_printf(more, "partition '%s' is not", l->partitions[i].label);
                        return 0;
                }
        return 1;
}

/* The plan has found and weighed the boot loader; where there is an ESP, it lies there. */
static int has_esp(const struct fit_subject *s, const char *argument _unused_, struct buffer *more,
                   struct error *err _unused_)
{
        const struct partition *esp = layout_find(&s->c->layout, PARTITION_ESP, 0);

        if (!esp || esp->used == 0)
                buffer_puts(more, "there is no EFI system partition");
        return esp && esp->used > 0;
}

static int has_output(const struct fit_subject *s, const char *name, struct buffer *more,
                      struct error *err _unused_)
{
        if (strv_contains(s->m->outputs, name))
                return 1;
        buffer_printf(more, "\"outputs\" has no \"%s\"", name);
        return 0;
}

/* Of the table, what is neither comment nor short: the third word is the type. */
static bool mounts_swap(const char *fstab)
{
        char type[16];

        for (; fstab; fstab = strchr(fstab, '\n')) {
                fstab += strspn(fstab, "\n \t");
                if (*fstab != '#' && sscanf(fstab, "%*s %*s %15s", type) == 1 &&
                    streq(type, "swap"))
                        return true;
        }
        return false;
}

/* A unit that is there, not a mask; NULL: none. */
static const char *find_swap_unit(const struct tree *tree)
{
        struct tree_node *units = tree_lookup(tree, "/usr/etc/systemd/system");

        if (!units)
                return NULL;
        TREE_FOREACH (node, units) {
                const struct tree_inode *inode = node->inode;

                if (endswith(node->name, ".swap") &&
                    !(S_ISLNK(inode->mode) && streq(inode->target, "/dev/null")))
                        return node->name;
        }
        return NULL;
}

static int has_no_swap(const struct fit_subject *s, const char *argument _unused_,
                       struct buffer *more, struct error *err)
{
        const struct tree_node *fstab = tree_resolve(s->c->merge.tree, "/usr/etc/fstab");
        const char *found = find_swap_unit(s->c->merge.tree);
        _cleanup_free_ char *text = NULL;
        int r = 0;

        if (!found && fstab && S_ISREG(fstab->inode->mode))
                r = content_load(fstab->inode, &s->store, FSTAB_MAX, &text, NULL, err);
        if (r < 0)
                return r;
        if (text && mounts_swap(text))
                found = fstab->name;
        if (found)
                buffer_puts(more, found);
        return !found;
}

static int is_trusted_launch(const struct fit_subject *s, const char *argument _unused_,
                             struct buffer *more, struct error *err _unused_)
{
        const struct trust_config *t = &s->m->trust;

        if (t->secure_boot && t->shim)
                return 1;
        buffer_printf(more, "\"trust\" has no %s; turn Secure Boot off when creating the machine",
                      t->secure_boot ? "\"shim\", which has the signature that firmware there knows"
                                     : "\"secureBoot\"");
        return 0;
}

static const struct fit_check checks[] = {
        { "disk size", FIT_REFUSED, has_vhd_size, NULL, "whole MiB, at most 2040 GiB" },
        { "alignment", FIT_REFUSED, is_aligned, NULL, "partitions lie at whole MiB" },
        { "boot loader", FIT_REFUSED, has_esp, NULL,
          "generation 2 starts EFI/BOOT/BOOTX64.EFI from a GPT disk" },
        { "output", FIT_WARNING, has_output, "vhd", "what is uploaded is a fixed VHD" },
        { "kernel", FIT_REFUSED, fit_has_kernel_config, "hyperv",
          "configured for Hyper-V and Azure's devices" },
        { "initrd hv_vmbus", FIT_REFUSED, fit_has_initrd_module, "hv_vmbus",
          "the bus of all devices" },
        { "initrd hv_storvsc", FIT_REFUSED, fit_has_initrd_module, "hv_storvsc",
          "the disk of the system, SCSI" },
        { "initrd pci-hyperv", FIT_REFUSED, fit_has_initrd_module, "pci_hyperv",
          "the disk of the system, NVMe: its bus" },
        { "initrd nvme", FIT_REFUSED, fit_has_initrd_module, "nvme",
          "the disk of the system, NVMe" },
        { "initrd sd_mod", FIT_REFUSED, fit_has_initrd_module, "sd_mod", "SCSI disks" },
        { "initrd sr_mod", FIT_REFUSED, fit_has_initrd_module, "sr_mod", "the CD of custom data" },
        { "module hv_netvsc", FIT_REFUSED, fit_has_module, "hv_netvsc", "network" },
        { "module hv_utils", FIT_REFUSED, fit_has_module, "hv_utils",
          "KVP report, shutdown by the host, /dev/ptp_hyperv" },
        { "module mana", FIT_REFUSED, fit_has_module, "mana",
          "accelerated networking, and the only adapter of some sizes" },
        { "module mlx5_core", FIT_REFUSED, fit_has_module, "mlx5_core", "accelerated networking" },
        { "module mlx4_en", FIT_WARNING, fit_has_module, "mlx4_en",
          "accelerated networking of old sizes" },
        { "module udf", FIT_REFUSED, fit_has_module, "udf", "custom data lies on a CD" },
        { "module isofs", FIT_WARNING, fit_has_module, "isofs", "custom data on Azure Stack" },
        { "console", FIT_REFUSED, fit_has_kernel_option, "console=ttyS0",
          "serial console and boot diagnostics" },
        { "provisioning", FIT_REFUSED, fit_has_file, "/usr/bin/ignition",
          "reads user data and custom data" },
        { "agent", FIT_REFUSED, fit_has_file, "/usr/libexec/slipway-azure",
          "sets name and keys, and reports that the machine is ready" },
        { "agent's unit", FIT_REFUSED, fit_has_unit, "slipway-azure.service",
          "without the report, creating the machine fails after 20 minutes" },
        { "swap", FIT_REFUSED, has_no_swap, NULL, "none on the disk of the system" },
        { "ssh", FIT_REFUSED, fit_has_file, "/usr/sbin/sshd", "the only way in" },
        { "ssh keep-alive", FIT_WARNING, fit_has_file, "/usr/etc/ssh/sshd_config.d/50-azure.conf",
          "load balancers drop silent connections after four minutes" },
        { "clock", FIT_WARNING, fit_has_unit, "chrony.service",
          "time from the host, by /dev/ptp_hyperv" },
        { "disk names", FIT_WARNING, fit_has_file,
          "/usr/lib/udev/rules.d/81-slipway-azure-disk.rules", "/dev/disk/azure" },
        { "virtual functions", FIT_WARNING, fit_has_file,
          "/usr/lib/systemd/network/10-azure-virtual-function.network",
          "adapters below a synthetic one are left alone" },
        { "Trusted Launch", FIT_WARNING, is_trusted_launch, NULL,
          "Azure's default, which checks signatures" },
        {},
};

const struct fit_platform fit_azure = { "azure", checks };
