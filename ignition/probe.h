/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What is on a device (libblkid). */

#include "error.h"

enum { PROBE_TEXT_MAX = 288 };

struct probe {
        char type[64]; /* as libblkid names it: "ext4", "swap", "crypto_LUKS"; "": nothing */
        char version[32];
        char uuid[64], label[PROBE_TEXT_MAX];
        bool unfinished; /* it was never made to its end */
};

/* -EUCLEAN when there are several things at once, as after careless re-use. */
int probe_device(const char *node, struct probe *ret, struct error *err) _must_check_;
/* The same of a part of a disk or an image; size 0: to its end. */
int probe_region(const char *path, uint64_t offset, uint64_t size, struct probe *ret,
                 struct error *err) _must_check_;
/* Removes all signatures, of partition tables too, durably; refused while the device is in use. */
int probe_wipe(const char *node, struct error *err) _must_check_;
