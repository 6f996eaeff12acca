/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Durations as Go programs write them: "1h2m3.5s", "200ms", "-1s", "0". */

#include "macro.h"

/* Rounded up, so that only "0" is 0; a negative one is over as soon as it begins, which is 1 ms.
 * False: no duration, or not one that fits in 64 bits of nanoseconds; *ret_ms is untouched. */
bool duration_parse(const char *text, uint64_t *ret_ms) _must_check_;
