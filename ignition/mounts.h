/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The file systems of the configuration that are mounted while it is carried out, by depth. */

#include "config.h"

struct mounts {
        const struct filesystem **items; /* shallow first */
        size_t count;
};

int mounts_list(const struct config *c, struct mounts *ret, struct error *err) _must_check_;
void mounts_done(struct mounts *m);
#define _cleanup_mounts_ _cleanup_(mounts_done)
