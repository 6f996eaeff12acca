/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "agent.h"

/* One structured journal entry for each configuration that was fetched. */
void announce_configs(struct agent *a);
