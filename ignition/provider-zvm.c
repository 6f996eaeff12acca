/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* z/VM hands configurations over through a virtual card reader, which this program cannot read. */

#include "agent.h"

static int fetch(struct agent *a _unused_, struct config_text *ret _unused_, struct error *err)
{
        return error_set(err, -EOPNOTSUPP,
                         "platform zvm is not supported; give the configuration by "
                         "ignition.config.url= on the kernel command line");
}

const struct provider provider_zvm = { .name = "zvm", .fetch = fetch };
