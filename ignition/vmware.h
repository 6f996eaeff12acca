/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Talking with VMware's hypervisor, and what it says. */

#include "error.h"

/* The registers that the hypervisor sees when a guest reads from its port, and leaves behind. */
struct vmware_registers {
        uint32_t ax, bx, cx, dx, si, di;
};

struct vmware_port {
        void (*in)(struct vmware_registers *r);
};

/* The real port; NULL: this is not a virtual machine of VMware. */
const struct vmware_port *vmware_find(void);

/* "info-get guestinfo.x" → what comes after the "1 " of its answer. -ENODATA: the answer begins
 * with '0', which is how a missing value looks. */
int vmware_command(const struct vmware_port *port, const char *command, char **ret,
                   struct error *err) _must_check_;

/* The value of a <Property oe:key=… oe:value=…/> of an OVF environment; *ret is NULL without it. */
int ovf_property(const char *xml, const char *key, char **ret, struct error *err) _must_check_;
