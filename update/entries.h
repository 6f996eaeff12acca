/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The boot entries on the ESP (EFI/Linux), and what systemd-boot will do with them: pure functions
 * on a list of names, which the agent and the proof of power cuts share. */

#include "boot-entry.h"

enum { ENTRIES_MAX = 32 };

struct entries {
        struct boot_entry items[ENTRIES_MAX];
        size_t count;
};

/* Reads the directory; names that are not ours, and empty files, are passed over. */
int entries_load(int dir_fd, struct entries *ret, struct error *err) _must_check_;
/* The one that systemd-boot starts next: bad ones last, else the newest version, then more tries
 * left. NULL: none. See systemd's src/boot/boot.c, boot_entry_compare(). */
const struct boot_entry *entries_next(const struct entries *e);
/* The release's; of several, as a rename leaves that was cut, the one that would be next. */
const struct boot_entry *entries_find(const struct entries *e, const char *version);
