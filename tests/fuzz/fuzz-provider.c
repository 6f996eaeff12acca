/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What providers read besides configurations, each given the same bytes: pools of key-value pairs,
 * OVF environments, answers of HTTP servers. */

#include "kvp.h"
#include "vmware.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_pool(const uint8_t *data, size_t size)
{
        _cleanup_(kvp_pool_done) struct kvp_pool pool = {};
        _cleanup_free_ char *config = NULL;
        struct error err;

        if (kvp_parse(data, size, &pool, &err) < 0 || kvp_config(&pool, &config, &size, &err) < 0 ||
            !config)
                return;
        if (strlen(config) != size)
                abort();
        kvp_delete(&pool, "ignition.config");
        if (kvp_get(&pool, "ignition.config.0") && kvp_set(&pool, "a", "b", &err) < 0 &&
            pool.count < KVP_RECORDS_MAX)
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_free_ char *text = malloc(size + 1), *value = NULL;
        struct error err;

        memcpy(text, data, size);
        text[size] = '\0';
        fuzz_pool(data, size);
        if (ovf_property(text, "guestinfo.ignition.config.data", &value, &err) == 0 && value &&
            strlen(value) > size)
                abort();
        return 0;
}
