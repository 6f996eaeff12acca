/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The same program under other names. Result: the exit status. */

#include "agent.h"

/* path "-": standard input. */
int program_apply(struct agent *a, const char *path);
int program_rmcfg(struct agent *a);
