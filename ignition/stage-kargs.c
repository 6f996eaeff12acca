/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The kargs stage. A system that can change its kernel's command line brings a helper for it, which
 * also reboots when it changed something. Ours cannot: the command line is sealed in the UKI. */

#include "plan.h"
#include "process.h"
#include "strv.h"

#define HELPER "ignition-kargs-helper"

static bool in_path(const char *program)
{
        const char *path = getenv("PATH") ?: "/usr/sbin:/usr/bin:/sbin:/bin";
        _cleanup_strv_ char **dirs = NULL;

        if (strv_split(path, ":", &dirs) < 0)
                return false;
        STRV_FOREACH (dir, dirs) {
                _cleanup_free_ char *file = string_format("%s/%s", *dir, program);

                if (file && access(file, X_OK) == 0)
                        return true;
        }
        return false;
}

static size_t add_words(const char **argv, size_t n, const char *option,
                        const struct config_strings *arguments)
{
        for (size_t i = 0; i < arguments->count; i++) {
                argv[n++] = option;
                argv[n++] = arguments->items[i];
        }
        return n;
}

static int run_helper(struct agent *a, const struct config_strings *yes,
                      const struct config_strings *no, struct error *err)
{
        _cleanup_free_ const char **argv = calloc(2 * (yes->count + no->count) + 2, sizeof(*argv));
        unsigned operation;
        size_t n = 1;
        int r;

        if (!argv)
                return error_oom(err);
        argv[0] = HELPER;
        n = add_words(argv, n, "--should-exist", yes);
        add_words(argv, n, "--should-not-exist", no);
        operation = log_start(&a->log, "updating kernel arguments");
        r = spawn(argv, NULL, NULL, err);
        log_end(&a->log, operation, r < 0 ? err : NULL, "updating kernel arguments");
        return r;
}

/* "\"a\" should exist, \"b\" should not exist"; the caller frees. NULL: out of memory. */
static char *describe(const struct config_strings *yes, const struct config_strings *no)
{
        _cleanup_buffer_ struct buffer b = {};
        char *text;

        for (size_t i = 0; i < yes->count; i++)
                buffer_printf(&b, "%s\"%s\" should exist", b.size > 0 ? ", " : "", yes->items[i]);
        for (size_t i = 0; i < no->count; i++)
                buffer_printf(&b, "%s\"%s\" should not exist", b.size > 0 ? ", " : "",
                              no->items[i]);
        return buffer_take(&b, &text, NULL) < 0 ? NULL : text;
}

static int refuse(struct agent *a, const struct config_strings *yes,
                  const struct config_strings *no, struct error *err)
{
        json_object *at = a->config.root.kernel_arguments.at;
        _cleanup_free_ char *text = describe(yes, no);

        if (!text)
                return error_oom(err);
        return agent_setting_error(a, at, NULL, err, -EOPNOTSUPP,
                                   "the command line of a sealed UKI cannot be changed (%s); put "
                                   "kernel arguments into the image instead",
                                   text);
}

static int run(struct agent *a, struct error *err)
{
        const struct config_strings *yes = &a->config.root.kernel_arguments.should_exist;
        const struct config_strings *no = &a->config.root.kernel_arguments.should_not_exist;

        if (yes->count + no->count == 0)
                return 0;
        return in_path(HELPER) ? agent_setting(a, a->config.root.kernel_arguments.at, NULL,
                                               run_helper(a, yes, no, err))
                               : refuse(a, yes, no, err);
}

static bool is_needed(const struct config *c)
{
        return c->root.kernel_arguments.should_exist.count +
                       c->root.kernel_arguments.should_not_exist.count >
               0;
}

void plan_kargs(struct plan *p)
{
        const struct config_strings *yes = &p->agent->config.root.kernel_arguments.should_exist;
        const struct config_strings *no = &p->agent->config.root.kernel_arguments.should_not_exist;
        _cleanup_free_ char *text = describe(yes, no);
        struct error err = {};

        if (yes->count + no->count == 0)
                return;
        if (in_path(HELPER))
                plan_add(p, "change", "kernel command line", "%s, by " HELPER, text ?: "");
        else if (refuse(p->agent, yes, no, &err) < 0)
                plan_refuse(p, &err);
}

const struct stage stage_kargs = { .name = "kargs", .run = run, .is_needed = is_needed };
