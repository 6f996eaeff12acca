/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Names of boot entries with systemd-boot's counters: "slipway_1.2.0.efi" is good,
 * "slipway_1.2.0+3.efi" has three tries left, "slipway_1.2.0+2-1.efi" two, with one spent.
 * https://uapi-group.org/specifications/specs/boot_loader_specification/#boot-counting */

#include "error.h"

enum {
        BOOT_VERSION_MAX = 64,
        BOOT_TRIES_MAX = 9999,
        BOOT_TRIES = 3, /* that a new release gets */
        BOOT_ENTRY_NAME_MAX = 104,
};

struct boot_entry {
        char version[BOOT_VERSION_MAX + 1]; /* of the release: 0-9 A-Z a-z '.~^_-' */
        bool counted;                       /* not blessed yet */
        unsigned tries_left, tries_done;
};

/* 0, or -EINVAL when the file name is not exactly what boot_entry_format() makes. */
int boot_entry_parse(const char *name, struct boot_entry *ret) _must_check_;
/* The file name in ret (BOOT_ENTRY_NAME_MAX bytes); returns ret. */
char *boot_entry_format(const struct boot_entry *e, char *ret);
/* Whether systemd-boot still tries it by itself. */
static inline bool boot_entry_bootable(const struct boot_entry *e)
{
        return !e->counted || e->tries_left > 0;
}

/* loader.conf: straight into the newest entry that is not bad; no menu, no editor. */
const char *boot_loader_conf(void);
