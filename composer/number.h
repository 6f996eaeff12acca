/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Numbers of variable length, as our binary records have them: seven bits a byte, the lowest first,
 * the highest bit set where more follow; up to 63 bits. */

#include "strv.h"

void number_put(struct buffer *b, uint64_t number);
/* Takes the next one at *at. NULL, or what is wrong with it: nothing was taken then. */
const char *number_take(const uint8_t **at, const uint8_t *end, uint64_t max,
                        uint64_t *ret) _must_check_;
