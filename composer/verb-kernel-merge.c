/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* slipway kernel merge FRAGMENT…: one configuration that a kernel is built with. */

#include <fcntl.h>

#include "io.h"
#include "kernel-config.h"
#include "kernel-fragments.h"
#include "verb-kernel.h"

struct arguments {
        const char *base, *output;
        char **fragments;
        bool required;
};

enum { KEY_BASE = 0x200, KEY_REQUIRED };

static const struct argp_option options[] = {
        { "defconfig", KEY_BASE, "FILE", 0, "A configuration that the fragments are laid over", 0 },
        { "required", KEY_REQUIRED, NULL, 0, "Leave out what is only recommended", 0 },
        { "output", 'o', "FILE", 0, "Where the result goes (default: standard output)", 0 },
        {},
};

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
        struct arguments *a = state->input;

        switch (key) {
        case KEY_BASE: a->base = argument; return 0;
        case KEY_REQUIRED: a->required = true; return 0;
        case 'o': a->output = argument; return 0;
        case ARGP_KEY_ARG: return strv_extend(&a->fragments, argument) < 0 ? ENOMEM : 0;
        case ARGP_KEY_NO_ARGS: argp_error(state, "which fragments?"); return 0;
        default: return ARGP_ERR_UNKNOWN;
        }
}

static const struct argp argp = {
        options,       parse_option,
        "FRAGMENT...", "Makes one configuration of fragments, which are files or names.",
        NULL,          NULL,
        NULL,
};

static int write_result(const char *path, const char *text, struct error *err)
{
        if (path)
                return file_write(AT_FDCWD, path, text, strlen(text), 0644, err);
        return fputs(text, stdout) < 0 ? error_errno(err, "standard output") : 0;
}

/* Each on a line of its own. */
static int print_conflicts(const struct kernel_demands *d, struct error *err)
{
        for (size_t i = 0; i < d->n_conflicts; i++) {
                _cleanup_free_ char *text = kernel_conflict_text(&d->conflicts[i]);

                if (!text)
                        return error_oom(err);
                fprintf(stderr, "conflict: %s\n", text);
        }
        return EXIT_FAILURE;
}

static int merge(const struct arguments *a, struct error *err)
{
        _cleanup_kernel_demands_ struct kernel_demands d = {};
        _cleanup_kconfig_ struct kconfig base = {};
        _cleanup_free_ char *text = NULL;
        int r = kernel_fragments_load(NULL, a->fragments, &d, err);

        if (r >= 0 && a->required)
                r = kernel_demands_keep_required(&d, err);
        if (r >= 0 && a->base)
                r = kernel_config_file(a->base, &base, err);
        if (r >= 0 && d.n_conflicts > 0)
                return print_conflicts(&d, err);
        if (r >= 0)
                r = kernel_demands_merge(&d, &base, &text, err);
        return r < 0 ? r : write_result(a->output, text, err);
}

int verb_kernel_merge(int argc, char *argv[], struct error *err)
{
        struct arguments a = {};
        int r;

        argp_parse(&argp, argc, argv, 0, NULL, &a);
        r = merge(&a, err);
        strv_free(a.fragments);
        return r;
}
