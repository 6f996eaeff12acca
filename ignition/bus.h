/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Devices as sysfs has them. */

#include "macro.h"

/* Announces devices to udev once more, as when they appeared: rules and drivers that were not there
 * then are found now. devices: a pattern for their directories; attribute: a file in these whose
 * text a pattern meets, or NULL. Returns how many were announced. */
size_t bus_announce(const char *devices, const char *attribute, const char *pattern);
