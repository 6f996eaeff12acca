/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A file named by the environment, for tests. As it is asked for by name, it has to be there. */

#include "agent.h"

static int fetch(struct agent *a _unused_, struct config_text *ret, struct error *err)
{
        const char *path = getenv("IGNITION_CONFIG_FILE") ?: "config.ign";
        int r = config_text_read((const char *const[]){ path, NULL }, ret, err);

        return r == PROVIDER_NONE ? error_code(err, -ENOENT, "%s", path) : r;
}

const struct provider provider_file = { .name = "file", .fetch = fetch };
