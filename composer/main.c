/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The program `slipway`: finds the verb, runs it, reports its failure once. */

#include <locale.h>
#include <sys/stat.h>

#include "cli.h"
#include "interrupt.h"

const struct verb verbs[] = {
        { "build", "Compose an image", verb_build },
        { "lock", "Write the lock file: exact packages and ids", verb_lock },
        { "plan", "Show partitions and sizes, write nothing", verb_plan },
        { "run", "Boot a disk in QEMU", verb_run },
        { "diff", "Compare two builds or commits", verb_diff },
        { "verify", "Re-derive and check a build or commit", verb_verify },
        { "publish", "Add a build to an update site", verb_publish },
        { "kernel", "Check and merge kernel configurations", verb_kernel },
        { "sign", "Finish a build with signatures made elsewhere", verb_sign },
        { "sysext", "Build a system extension's image", verb_sysext },
        { "keygen", "Make keys that sign releases or images", verb_keygen },
        { "schema", "Print the JSON Schema of manifests, layers, extensions", verb_schema },
        {},
};

static void print_help(FILE *out)
{
        fputs("Usage: slipway VERB [OPTION...] [ARGUMENT...]\n\n"
              "Composes immutable container-host operating systems.\n\nVerbs:\n",
              out);
        verbs_print(verbs, out);
        fputs("\n`slipway VERB --help` shows the options of a verb.\n", out);
}

int main(int argc, char *argv[])
{
        struct error err = {};
        const struct verb *verb;
        int r;

        if (argc < 2) {
                print_help(stderr);
                return EXIT_USAGE;
        }
        if (streq(argv[1], "--help") || streq(argv[1], "-h") || streq(argv[1], "help")) {
                print_help(stdout);
                return EXIT_SUCCESS;
        }
        if (streq(argv[1], "--version")) {
                puts("slipway " SLIPWAY_VERSION);
                return EXIT_SUCCESS;
        }
        verb = verb_find(verbs, argv[1]);
        if (!verb) {
                fprintf(stderr, "slipway: unknown verb '%s'; see slipway --help\n", argv[1]);
                return EXIT_USAGE;
        }
        argp_err_exit_status = EXIT_USAGE;
        /* Nothing an artifact holds may depend on who builds it. */
        umask(0022);
        r = verb_call(verb, "slipway", argc, argv, &err);
        if (r < 0) {
                fprintf(stderr, "slipway: %s\n", err.message[0] ? err.message : strerror(-r));
                interrupt_die();
                return EXIT_FAILURE;
        }
        return r;
}
