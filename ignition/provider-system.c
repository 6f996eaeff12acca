/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* user.ign, in the places where the running system, its administrator, and its maker put things. It
 * comes before every platform. */

#include "agent.h"

static const struct {
        const char *variable, *path;
} directories[] = {
        { "IGNITION_SYSTEM_RUNTIME_CONFIG_DIR", "/run/ignition" },
        { "IGNITION_SYSTEM_LOCAL_CONFIG_DIR", "/etc/ignition" },
        { "IGNITION_SYSTEM_CONFIG_DIR", "/usr/lib/ignition" },
};

static int fetch(struct agent *a _unused_, struct config_text *ret, struct error *err)
{
        for (size_t i = 0; i < ARRAY_SIZE(directories); i++) {
                _cleanup_free_ char *path = NULL;
                int r;

                if (asprintf(&path, "%s/user.ign",
                             getenv(directories[i].variable) ?: directories[i].path) < 0) {
                        path = NULL;
                        return error_oom(err);
                }
                r = config_text_read((const char *const[]){ path, NULL }, ret, err);
                if (r != PROVIDER_NONE)
                        return r;
        }
        return PROVIDER_NONE;
}

const struct provider provider_system = { .name = "system", .fetch = fetch };
