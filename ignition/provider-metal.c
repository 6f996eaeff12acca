/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Bare metal has no place of its own for a configuration: only the kernel command line and the
 * files of the system, which come before every platform. */

#include "agent.h"

static int fetch(struct agent *a _unused_, struct config_text *ret _unused_,
                 struct error *err _unused_)
{
        return PROVIDER_NONE;
}

const struct provider provider_metal = { .name = "metal", .fetch = fetch };
