/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "agent.h"

/* Takes what must not outlive provisioning out of cache and state, and saves both. From then on
 * only the umount stage can run. */
int agent_wipe(struct agent *a, struct error *err) _must_check_;
