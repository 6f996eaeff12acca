/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Moves a directory with all that is in it, also to another file system, as `mv` does: owners,
 * modes, times, extended attributes and hard links among its files stay. At each moment one of the
 * two names is the whole: a copy grows under a hidden name beside the new one, and the old is
 * removed under one beside its own. What a cut leaves under those names goes with the next move.
 * Names are relative to open directories; symlinks are not followed. */

#include "error.h"

struct tree_place {
        int dir;
        const char *name;
};

/* Nothing must be there under the new name. */
int tree_move(const struct tree_place *from, const struct tree_place *to,
              struct error *err) _must_check_;
