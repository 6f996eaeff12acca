/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The boot that runs: of which release, and whether it is on trial. A release is on trial while its
 * boot entry has a counter: systemd-boot says so by LoaderBootCountPath. It is not when it was
 * blessed before, nor on a machine without systemd-boot. */

#include "digest.h"
#include "entries.h"

enum { BOOT_ID_SIZE = 33 }; /* 32 hex digits and NUL */

struct running {
        char version[BOOT_VERSION_MAX + 1]; /* IMAGE_VERSION of os-release */
        struct sha256 root_hash;
        char boot_id[BOOT_ID_SIZE];
        bool trial;
        unsigned tries; /* spent, this one too; on trial */
};

int running_load(struct running *ret, struct error *err) _must_check_;
/* The boot entries on the ESP that it came from. */
int running_entries(struct entries *ret, struct error *err) _must_check_;
/* Whether systemd-boot has another release to start, once this one has spent its tries. */
bool running_can_fall_back(const struct running *r, const struct entries *e);

/* Whether the entry that was booted, as it is named since, is of a release on trial. One whose
 * tries were spent before runs because there is no other, and goes on counting, beyond them. */
bool running_on_trial(const struct boot_entry *e);
/* IMAGE_VERSION in the text of an os-release. -ENODATA: none, or one that is no version. */
int running_version(const char *os_release, char ret[BOOT_VERSION_MAX + 1]) _must_check_;
/* A boot id as the kernel prints it, with dashes, to 32 digits. */
int running_boot_id(const char *text, char ret[BOOT_ID_SIZE]) _must_check_;
