/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Azure for a virtual machine: the program azure-box (tests/azure), which is the machine's network,
 * metadata service, fabric and CD-ROM. */

#include "error.h"

enum { AZURE_ID_MAX = 37, AZURE_MAC_MAX = 18 }; /* with their NUL */

struct azure_options {
        const char *disk;                    /* whose machine it is */
        const char *user_data, *custom_data; /* files; NULL: none */
        const char *description, *record;    /* files (docs/azure-in-a-box.md); NULL: none */
};

/* The fds are for QEMU, open and inherited. */
struct azure_box {
        int nic_fd;     /* frames of the machine's network interface */
        int network_fd; /* frames of QEMU's user network */
        int disc_fd;    /* the CD-ROM's bytes */
        bool has_disc;
        char vm_id[AZURE_ID_MAX], mac[AZURE_MAC_MAX];
};

/* Starts the box, which ends with this process or with the program that this becomes. libexec is
 * where it lies. */
int azure_start(const struct azure_options *options, const char *libexec, struct azure_box *ret,
                struct error *err) _must_check_;
