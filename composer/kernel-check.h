/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Whether a kernel's configuration has what fragments ask for. */

#include "kernel-demands.h"

enum kernel_verdict {
        KERNEL_OK,
        KERNEL_MISSING,
        KERNEL_MODULE,         /* where it must be built in */
        KERNEL_NOT_OFF,        /* where it must be off */
        KERNEL_DIFFERENT,      /* another value */
        KERNEL_NOT_APPLICABLE, /* asked for on another architecture, or of modules */
        _KERNEL_VERDICT_MAX
};

/* "ok", "missing", "module-instead-of-builtin", "not-off", "different", "not-applicable". */
extern const char *const kernel_verdict_names[_KERNEL_VERDICT_MAX];

/* "y", "m or y", "off", or the value, for messages. */
const char *kernel_wanted(const struct kernel_demand *demand);
/* "amd64" or "arm64", as the configuration says; NULL: neither. */
const char *kernel_architecture(const struct kconfig *config);
/* ret_found (may be NULL) gets the option as the configuration has it, or NULL. */
enum kernel_verdict kernel_judge(const struct kconfig *config, const struct kernel_demand *demand,
                                 const struct kconfig_option **ret_found);
static inline bool kernel_verdict_good(enum kernel_verdict v)
{
        return v == KERNEL_OK || v == KERNEL_NOT_APPLICABLE;
}
/* -EINVAL for a conflict, -ENOTSUP when a required option is not as it must be; the message names
 * the first such option, what is wrong, and the reason. */
int kernel_require(const struct kconfig *config, const struct kernel_demands *demands,
                   struct error *err) _must_check_;
