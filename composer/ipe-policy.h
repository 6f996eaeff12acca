/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The policy of the kernel's IPE (Integrity Policy Enforcement): what may be executed, and what the
 * kernel may read as code. It is signed beside the root hash and loaded in the initrd
 * (bootloader/ipe-load.h); whether the kernel enforces it or only reports says the command line. */

#include "trust.h"

/* NULL when the image has none. */
const char *ipe_policy_text(const struct trust_config *trust);
