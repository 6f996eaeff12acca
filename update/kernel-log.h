/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What firmware kept of a kernel that died (pstore). */

#include "error.h"

/* The last lines of the newest log below root's /var/lib/systemd/pstore or /sys/fs/pstore; *ret is
 * NULL when there is none. */
int kernel_log_tail(const char *root, size_t count, char ***ret) _must_check_;
