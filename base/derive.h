/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Everything that wants to be random in an image is derived from one seed by the name of its role,
 * so that two builds of the same inputs are the same bytes. */

#include "digest.h"
#include "uuid.h"

/* UUID (version 4, variant 1 bits set) = first half of HMAC-SHA256(seed, role). */
void derive_uuid(const struct sha256 *seed, const char *role, struct uuid *ret);
