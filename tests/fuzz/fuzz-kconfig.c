/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Any bytes as a kernel's configuration, or as what holds one: refused with a message, or options
 * that are the same after they were written and read again; and what asks for itself is satisfied.
 */

#include <assert.h>

#include "kernel-check.h"
#include "kernel-config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_demands(const struct kconfig *config, const char *text)
{
        _cleanup_kernel_demands_ struct kernel_demands d = {};
        struct kconfig *fragments = calloc(1, sizeof(*fragments));
        _cleanup_free_ char *merged = NULL;
        struct error err = {};
        int r;

        assert(fragments);
        r = kconfig_parse("fragment", text, strlen(text), fragments, &err);
        assert(r == 0);
        r = kernel_demands_make(fragments, 1, &d, &err);
        assert(r == 0 && d.n_conflicts == 0 && d.count == config->count);
        r = kernel_require(config, &d, &err);
        assert(r == 0);
        r = kernel_demands_merge(&d, config, &merged, &err);
        assert(r == 0 && streq(merged, text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_kconfig_ struct kconfig config = {};
        _cleanup_buffer_ struct buffer b = {};
        _cleanup_free_ char *text = NULL;
        struct error err = {};

        if (kernel_config_read("fuzz", data, size, &config, &err) < 0) {
                assert(err.message[0]);
                return 0;
        }
        for (size_t i = 0; i < config.count; i++) {
                kconfig_write(&b, &config.options[i]);
                buffer_puts(&b, "\n");
        }
        assert(buffer_take(&b, &text, NULL) == 0);
        check_demands(&config, text);
        return 0;
}
