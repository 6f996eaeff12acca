/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a build would write, without writing it: `slipway plan`. */

#include "compose.h"

/* Resolves, fetches, imports and merges (that fills the cache), then lays out image, initrd, UKI
 * and disk in memory: ret->layout and the sizes are those of the build, UUIDs are left out because
 * the root hash is not known. -ENOSPC and the missing bytes when something does not fit. */
int compose_plan(const struct workdir *w, const struct manifest *m,
                 const struct compose_options *options, struct composition *ret,
                 struct error *err) _must_check_;
