/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* ignition-validate FILE|-: the report on stdout; 0 when the configuration is valid (warnings
 * allowed), else 1. */

#include <fcntl.h>

#include "config.h"
#include "io.h"

static int usage(FILE *to, const char *name)
{
        fprintf(to,
                "Usage:\n  %s [flags] config.ign\n\n  -version\n"
                "    \tprint the version of ignition-validate\n",
                name);
        return 1;
}

static bool is_flag(const char *argument, const char *name)
{
        const char *s = startswith(argument, "--") ?: startswith(argument, "-");

        return s && streq(s, name);
}

static int validate(const char *path)
{
        _cleanup_free_ char *text = NULL;
        _cleanup_findings_ struct findings findings = {};
        _cleanup_config_ struct config config = {};
        struct error err = {};
        size_t size;
        int r;

        r = file_read(AT_FDCWD, streq(path, "-") ? "/dev/stdin" : path, CONFIG_SIZE_MAX, &text,
                      &size, &err);
        if (r < 0) {
                fprintf(stderr, "couldn't read config: %s\n", err.message);
                return 1;
        }
        r = config_load("config", text, size, &config, &findings, &err);
        if (findings.text.data)
                fputs(findings.text.data, stdout);
        if (r < 0 && findings.errors == 0)
                fprintf(stderr, "couldn't parse config: %s\n", err.message);
        /* What is held in memory goes with the process. */
        exit(r < 0);
}

int main(int argc, char *argv[])
{
        if (argc == 2 && is_flag(argv[1], "version")) {
                printf("Ignition %s\n", SLIPWAY_VERSION);
                return 0;
        }
        if (argc == 2 && (is_flag(argv[1], "help") || is_flag(argv[1], "h")))
                return usage(stdout, argv[0]) - 1;
        if (argc != 2 || (argv[1][0] == '-' && argv[1][1]))
                return usage(stderr, argv[0]);
        return validate(argv[1]);
}
