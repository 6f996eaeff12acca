/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* slipway kernel VERB: what a kernel must be able to do, and which modules of it are needed. */

#include "verb-kernel.h"

static const struct verb kernel_verbs[] = {
        { "check", "Whether a kernel has the options that fragments ask for", verb_kernel_check },
        { "merge", "Make one configuration of fragments", verb_kernel_merge },
        { "modules", "Show which kernel modules an image needs, and what the rest weighs",
          verb_kernel_modules },
        {},
};

static void print_help(FILE *out)
{
        fputs("Usage: slipway kernel VERB [OPTION...] [ARGUMENT...]\n\n"
              "What a kernel must be able to do.\n\nVerbs:\n",
              out);
        verbs_print(kernel_verbs, out);
        fputs("\n`slipway kernel VERB --help` shows the options of a verb.\n", out);
}

int verb_kernel(int argc, char *argv[], struct error *err)
{
        const struct verb *verb;

        if (argc < 2) {
                print_help(stderr);
                return EXIT_USAGE;
        }
        if (streq(argv[1], "--help") || streq(argv[1], "-h") || streq(argv[1], "help")) {
                print_help(stdout);
                return EXIT_SUCCESS;
        }
        verb = verb_find(kernel_verbs, argv[1]);
        if (!verb) {
                fprintf(stderr, "slipway kernel: unknown verb '%s'; see slipway kernel --help\n",
                        argv[1]);
                return EXIT_USAGE;
        }
        return verb_call(verb, "slipway kernel", argc, argv, err);
}
