/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Text for whoever looks at the machine: on every console that the kernel uses. */

#include "error.h"

/* active: the kernel's list ("tty0 ttyS0"); devices: where they are. Returns how many consoles took
 * the text; one that is stuck is left out. */
#define CONSOLES "/sys/class/tty/console/active", "/dev"
unsigned console_write(const char *active, const char *devices, const char *text, size_t size);
