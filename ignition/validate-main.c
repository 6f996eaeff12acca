/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* ignition-validate FILE|-: the report on stdout; 0 when the configuration is valid (warnings
 * allowed), else 1; 2: bad option. */

#include <fcntl.h>

#include "config.h"
#include "flag.h"
#include "io.h"

static int usage(FILE *to, const char *name, int status)
{
        fprintf(to,
                "Usage:\n  %s [flags] config.ign\n\n  -version\n"
                "    \tprint the version of ignition-validate\n",
                name);
        return status;
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

enum { GO_ON = -1 };

/* GO_ON, or what to exit with. */
static int parse_options(int argc, char *const argv[], int *next, bool *version)
{
        for (; *next < argc; ++*next) {
                struct flag flag;
                int kind = flag_parse(argv[*next], &flag);

                if (kind == FLAG_NONE)
                        return GO_ON;
                if (kind == FLAG_END) {
                        ++*next;
                        return GO_ON;
                }
                if (kind == FLAG_BAD)
                        fprintf(stderr, "bad flag syntax: %s\n", argv[*next]);
                else if (flag_is(&flag, "help") || flag_is(&flag, "h"))
                        return usage(stdout, argv[0], 0);
                else if (!flag_is(&flag, "version"))
                        fprintf(stderr, "flag provided but not defined: -%.*s\n", (int)flag.size,
                                flag.name);
                else if (flag_bool(flag.value, version))
                        continue;
                else
                        fprintf(stderr, "invalid boolean value \"%s\" for -version: parse error\n",
                                flag.value);
                return usage(stderr, argv[0], 2);
        }
        return GO_ON;
}

int main(int argc, char *argv[])
{
        bool version = false;
        int next = 1, r = parse_options(argc, argv, &next, &version);

        if (r != GO_ON)
                return r;
        if (version) {
                printf("Ignition %s\n", SLIPWAY_VERSION);
                return 0;
        }
        return argc - next == 1 ? validate(argv[next]) : usage(stderr, argv[0], 1);
}
