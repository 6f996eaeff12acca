/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Any file of health checks: refused, or each check has a kind and its limits. */

#include "health.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_(health_done) struct health h = {};
        _cleanup_json_ struct json_document d = {};
        struct error err;

        if (json_load("health", (const char *)data, size, false, &d, &err) < 0 ||
            record_decode(&d, d.root, &health_record, &h, &err) < 0)
                return 0;
        if (h.checks.count > HEALTH_CHECKS_MAX || h.deadline > HEALTH_DEADLINE_MAX)
                abort();
        for (size_t i = 0; i < h.checks.count; i++) {
                const struct health_check *c = (const struct health_check *)h.checks.items + i;

                if (!c->ops->is_set(c) || c->timeout == 0 || c->timeout > HEALTH_DEADLINE_MAX ||
                    strlen(c->name) > HEALTH_NAME_MAX)
                        abort();
        }
        return 0;
}
