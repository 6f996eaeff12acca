/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "agent.h"

/* One structured journal entry for each configuration that was fetched. */
void announce_configs(struct agent *a);
/* One for a user's file of SSH keys; its path as this process sees it, below --root. */
void announce_keys(struct agent *a, const char *user, const char *path);
