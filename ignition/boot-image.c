/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The image's programs, modules and rules in the initrd, for as long as provisioning takes, and the
 * network's devices by them. Each step was a program of a unit's once: on an emulated machine
 * systemd needs a fifth of a second to start one. */

#include <sys/mount.h>

#include "boot.h"
#include "bus.h"
#include "process.h"

static const char usr[] = "/usr";

/* Whatever comes of it, the boot goes on. */
static void try(const char *const argv[])
{
        struct error err = {};

        if (spawn(argv, &spawn_says, NULL, &err) < 0)
                fprintf(stderr, "<4>%s\n", err.message);
}

static void reload_rules(void)
{
        try((const char *const[]){ "udevadm", "control", "--reload", NULL });
}

int boot_use_image(const char *image, struct error *err)
{
        if (mount(image, usr, "", MS_BIND, NULL) < 0)
                return error_errno(err, "%s over %s", image, usr);
        reload_rules();
        return 0;
}

int boot_leave_image(struct error *err)
{
        if (umount2(usr, MNT_DETACH) < 0)
                return error_errno(err, "the image's %s", usr);
        reload_rules();
        return 0;
}

void boot_report(const char *root)
{
        try((const char *const[]){ "ignition", "report", "--root", root, "--log-to-stdout", NULL });
}

/* The initrd has no driver for a network card: who is one was announced in vain. The interfaces
 * that are there get what the image's rules say of them. */
void boot_announce_network(void)
{
        static const struct {
                const char *devices, *attribute, *pattern;
        } table[] = {
                /* PCI's class of network controllers */
                { "/sys/bus/pci/devices/*", "class", "0x02*" },
                /* VIRTIO_ID_NET */
                { "/sys/bus/virtio/devices/*", "device", "0x0001" },
                /* HV_NIC_GUID */
                { "/sys/bus/vmbus/devices/*", "class_id",
                  "{f8615163-df3e-46c5-913f-f2d2f965ed0e}" },
                { "/sys/bus/xen/devices/*", NULL, NULL },
                { "/sys/class/net/*", NULL, NULL },
        };

        for (size_t i = 0; i < ARRAY_SIZE(table); i++)
                bus_announce(table[i].devices, table[i].attribute, table[i].pattern);
        try((const char *const[]){ "udevadm", "settle", "--timeout=20", NULL });
}
