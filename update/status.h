/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* slipway-update status: which release runs, and what is in the other slot. */

#include "slot.h"

struct status {
        struct slots slots;
        struct sha256 root_hash;    /* of the running /usr */
        const struct slot *running; /* among the slots; NULL: none of this disk runs */
        char *disk;                 /* owned */
};

/* disk NULL: the one that the running /usr is on. */
int status_load(const char *command_line, const char *disk, struct status *ret,
                struct error *err) _must_check_;
void status_done(struct status *s);
void status_print(const struct status *s, bool json);
