/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See kernel-check.h. An option that a configuration does not name is off: Kconfig leaves out what
 * depends on something that is off. */

#include "kernel-check.h"

const char *const kernel_verdict_names[_KERNEL_VERDICT_MAX] = {
        [KERNEL_OK] = "ok",
        [KERNEL_MISSING] = "missing",
        [KERNEL_MODULE] = "module-instead-of-builtin",
        [KERNEL_NOT_OFF] = "not-off",
        [KERNEL_DIFFERENT] = "different",
        [KERNEL_NOT_APPLICABLE] = "not-applicable",
};

static const struct {
        const char *option, *architecture;
} architectures[] = {
        { "CONFIG_X86_64", "amd64" },
        { "CONFIG_ARM64", "arm64" },
};

const char *kernel_architecture(const struct kconfig *config)
{
        for (size_t i = 0; i < ARRAY_SIZE(architectures); i++) {
                const struct kconfig_option *o = kconfig_find(config, architectures[i].option);

                if (o && o->kind == KCONFIG_BUILT_IN)
                        return architectures[i].architecture;
        }
        return NULL;
}

/* What is said of an option that has to be [wanted] and is [found]. */
static const enum kernel_verdict verdicts[_KCONFIG_KIND_MAX][_KCONFIG_KIND_MAX] = {
        [KCONFIG_OFF] = { [KCONFIG_OFF] = KERNEL_OK,
                          [KCONFIG_MODULE] = KERNEL_NOT_OFF,
                          [KCONFIG_BUILT_IN] = KERNEL_NOT_OFF,
                          [KCONFIG_VALUE] = KERNEL_NOT_OFF },
        [KCONFIG_MODULE] = { [KCONFIG_OFF] = KERNEL_MISSING,
                             [KCONFIG_MODULE] = KERNEL_OK,
                             [KCONFIG_BUILT_IN] = KERNEL_OK,
                             [KCONFIG_VALUE] = KERNEL_DIFFERENT },
        [KCONFIG_BUILT_IN] = { [KCONFIG_OFF] = KERNEL_MISSING,
                               [KCONFIG_MODULE] = KERNEL_MODULE,
                               [KCONFIG_BUILT_IN] = KERNEL_OK,
                               [KCONFIG_VALUE] = KERNEL_DIFFERENT },
        [KCONFIG_VALUE] = { [KCONFIG_OFF] = KERNEL_MISSING,
                            [KCONFIG_MODULE] = KERNEL_DIFFERENT,
                            [KCONFIG_BUILT_IN] = KERNEL_DIFFERENT,
                            [KCONFIG_VALUE] = KERNEL_DIFFERENT },
};

static bool has_modules(const struct kconfig *config)
{
        const struct kconfig_option *o = kconfig_find(config, "CONFIG_MODULES");

        return !o || o->kind != KCONFIG_OFF;
}

/* A configuration that does not say what it is for, as a fragment's, may be for anything. */
static bool applies(const struct kconfig *config, const struct kernel_demand *d)
{
        const char *architecture = kernel_architecture(config);

        if (d->architecture && architecture && !streq(d->architecture, architecture))
                return false;
        return !d->modules || has_modules(config);
}

enum kernel_verdict kernel_judge(const struct kconfig *config, const struct kernel_demand *demand,
                                 const struct kconfig_option **ret_found)
{
        const struct kconfig_option *wanted = demand->option,
                                    *found = kconfig_find(config, wanted->name);

        if (ret_found)
                *ret_found = found;
        if (!applies(config, demand))
                return KERNEL_NOT_APPLICABLE;
        if (found && wanted->kind == KCONFIG_VALUE && streq(wanted->value, found->value))
                return KERNEL_OK;
        return verdicts[wanted->kind][found ? found->kind : KCONFIG_OFF];
}

const char *kernel_wanted(const struct kernel_demand *demand)
{
        switch (demand->option->kind) {
        case KCONFIG_OFF: return "off";
        case KCONFIG_MODULE: return "m or y";
        default: return demand->option->value;
        }
}

static int refuse(const struct kernel_demand *d, const struct kconfig_option *found,
                  enum kernel_verdict verdict, struct error *err)
{
        return error_set(err, -ENOTSUP, "%s must be %s and is %s (%s): %s (%s:%u)", d->option->name,
                         kernel_wanted(d), found ? found->value : "not there",
                         kernel_verdict_names[verdict], *d->reason ? d->reason : "no reason given",
                         d->fragment->name, d->option->line);
}

int kernel_require(const struct kconfig *config, const struct kernel_demands *demands,
                   struct error *err)
{
        int r = kernel_demands_refuse_conflicts(demands, err);

        for (size_t i = 0; r >= 0 && i < demands->count; i++) {
                const struct kernel_demand *d = &demands->items[i];
                const struct kconfig_option *found;
                enum kernel_verdict verdict = kernel_judge(config, d, &found);

                if (d->required && !kernel_verdict_good(verdict))
                        r = refuse(d, found, verdict, err);
        }
        return r;
}
