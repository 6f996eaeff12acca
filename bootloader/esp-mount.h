/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The ESP that the boot loader came from (LoaderDevicePartUUID), mounted for the moment and for one
 * process: the mount has no place in the file system, only a descriptor. Nobody else sees it, and
 * it is gone with close(), or with the process. */

#include "error.h"

/* *ret_fd: the root directory of the ESP, for *at(). Sync what was written (syncfs) before closing
 * it: a failure to write shows there. -ENOENT: the boot loader does not say where it came from. */
int esp_mount(int *ret_fd, struct error *err) _must_check_;
