/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Hands the signed policy (composer/ipe-policy.h) to the kernel's IPE, in the initrd, before
 * anything outside it is executed. */

#include "error.h"

/* What the policy calls itself, and so its directory in securityfs. */
#define IPE_POLICY_NAME "slipway"

/* `ipe` is /sys/kernel/security/ipe. Whether its policy is enforced; -ENOENT without IPE. */
int ipe_enforces(int ipe_fd, struct error *err) _must_check_;
/* Loads and activates the PKCS#7 file at `path`. -ENOKEY when the kernel has no certificate for its
 * signature, -EBADMSG when that is no policy it understands. */
int ipe_load(int ipe_fd, const char *path, struct error *err) _must_check_;
/* For as long as the host runs nobody may replace a policy or stop its enforcement: takes the
 * capability from the service manager of the host, and so from all it starts. `run` is /run. */
int ipe_seal(int run_fd, struct error *err) _must_check_;
