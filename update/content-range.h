/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The header of a partial answer (RFC 9110 §14.4): "bytes 0-4095/122683392". */

#include "macro.h"

struct content_range {
        uint64_t first, last, total; /* bytes; first ≤ last < total */
};

/* Only what says all three; -EINVAL otherwise. */
int content_range_parse(const char *text, struct content_range *ret) _must_check_;
