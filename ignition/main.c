/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The program `ignition`: one stage a run. Exit status: 0 done, 1 the stage failed, 2 bad or
 * missing option, 3 the root or the state could not be opened. Options are written as Go programs
 * take them: -name or --name, value behind '=' or in the next word; they are checked in order. */

#include "agent.h"
#include "clock.h"
#include "duration.h"
#include "fetch.h"
#include "flag.h"
#include "programs.h"
#include "report.h"
#include "verbs.h"
#include "wipe.h"

static const struct stage *const stages[] = {
        &stage_disks, &stage_fetch, &stage_fetch_offline, &stage_files,
        &stage_kargs, &stage_mount, &stage_umount,
};

enum option_type { OPTION_TEXT, OPTION_DURATION, OPTION_FLAG, OPTION_PLATFORM, OPTION_STAGE };

/* The program under each of its names, and which options it takes there. */
enum { PROGRAM_MAIN = 1, PROGRAM_APPLY = 2, PROGRAM_RMCFG = 4 };

static const struct program {
        const char *name, *arguments;
        unsigned mask;
} programs[] = {
        { "ignition", "", PROGRAM_MAIN },
        { "ignition-apply", " [flags] config.ign|-", PROGRAM_APPLY },
        { "ignition-rmcfg", " [flags]", PROGRAM_RMCFG },
};

static const struct option {
        unsigned programs;
        const char *name;
        enum option_type type;
        size_t offset;
        const char *help;
} option_table[] = {
        { PROGRAM_MAIN, "config-cache", OPTION_TEXT, offsetof(struct options, config_cache),
          "where to cache the config (default \"/run/ignition.json\")" },
        { PROGRAM_MAIN, "deadline", OPTION_DURATION, offsetof(struct options, deadline_ms),
          "duration after which fetching fails whatever it waits for (default none, 10m0s on azure)" },
        { PROGRAM_MAIN | PROGRAM_APPLY, "experimental", OPTION_FLAG,
          offsetof(struct options, experimental),
          "accept configs of version " CONFIG_NEWEST_VERSION },
        { PROGRAM_MAIN, "fetch-timeout", OPTION_DURATION,
          offsetof(struct options, fetch_timeout_ms),
          "initial duration for which to wait for config (default 2m0s)" },
        { PROGRAM_MAIN | PROGRAM_APPLY | PROGRAM_RMCFG, "help", OPTION_FLAG,
          offsetof(struct options, help), "print this text and exit" },
        { PROGRAM_APPLY, "ignore-unsupported", OPTION_FLAG,
          offsetof(struct options, ignore_unsupported),
          "leave out what cannot be applied to a container" },
        { PROGRAM_MAIN, "json", OPTION_FLAG, offsetof(struct options, json),
          "print a plan or an explanation as JSON" },
        { PROGRAM_MAIN | PROGRAM_APPLY | PROGRAM_RMCFG, "log-to-stdout", OPTION_FLAG,
          offsetof(struct options, log_to_stdout),
          "log to stdout instead of the system log when set" },
        { PROGRAM_MAIN, "neednet", OPTION_TEXT, offsetof(struct options, neednet),
          "flag file to write from fetch-offline if networking is needed (default "
          "\"/run/ignition/neednet\")" },
        { PROGRAM_APPLY, "offline", OPTION_FLAG, offsetof(struct options, offline),
          "refuse what would have to be fetched" },
        { PROGRAM_MAIN, "needed-stages", OPTION_TEXT, offsetof(struct options, needed_stages),
          "directory in which fetch and fetch-offline leave a file for each later stage that has "
          "something to do (default none)" },
        { PROGRAM_MAIN | PROGRAM_RMCFG, "platform", OPTION_PLATFORM,
          offsetof(struct options, platform),
          "current platform, as docs/ignition.md lists them (default: detected)" },
        { PROGRAM_MAIN | PROGRAM_APPLY, "root", OPTION_TEXT, offsetof(struct options, root),
          "root of the filesystem (default \"/\")" },
        { PROGRAM_MAIN, "stage", OPTION_STAGE, offsetof(struct options, stage),
          "execution stage: disks, fetch, fetch-offline, files, kargs, mount, umount" },
        { PROGRAM_MAIN, "state-file", OPTION_TEXT, offsetof(struct options, state_file),
          "where to store state (default \"/run/ignition/state\")" },
        { PROGRAM_MAIN | PROGRAM_APPLY | PROGRAM_RMCFG, "version", OPTION_FLAG,
          offsetof(struct options, version), "print the version and exit" },
};

static const struct {
        const char *name;
        int (*run)(struct agent *a, const char *argument, struct error *err);
        const char *help;
} verbs[] = {
        { "explain", verb_explain, "CONFIG: where each setting comes from" },
        { "needs-device", verb_needs_device, "DEVICE: does the cached config use it?" },
        { "plan", verb_plan, "CONFIG: what each stage would do, nothing written" },
        { "report", verb_report, ": provisioning is complete, say so" },
        { "schema", verb_schema, "[VERSION]: JSON Schema of the configs" },
};

static int usage(FILE *to, const struct program *program)
{
        static const char *const kinds[] = {
                [OPTION_TEXT] = " string",    [OPTION_DURATION] = " duration", [OPTION_FLAG] = "",
                [OPTION_PLATFORM] = " value", [OPTION_STAGE] = " value",
        };

        fprintf(to, "Usage of %s:%s\n", program->name, program->arguments);
        for (size_t i = 0; i < ARRAY_SIZE(option_table); i++)
                if (option_table[i].programs & program->mask)
                        fprintf(to, "  -%s%s\n    \t%s\n", option_table[i].name,
                                kinds[option_table[i].type], option_table[i].help);
        if (program->mask == PROGRAM_MAIN)
                fputs("Instead of a stage:\n", to);
        for (size_t i = 0; program->mask == PROGRAM_MAIN && i < ARRAY_SIZE(verbs); i++)
                fprintf(to, "  ignition %s %s\n", verbs[i].name, verbs[i].help);
        return to == stdout ? 0 : 2;
}

static const struct option *find_option(const struct program *program, const struct flag *flag)
{
        for (size_t i = 0; i < ARRAY_SIZE(option_table); i++)
                if ((option_table[i].programs & program->mask) &&
                    (flag_is(flag, option_table[i].name) ||
                     (option_table[i].offset == offsetof(struct options, help) &&
                      flag_is(flag, "h"))))
                        return &option_table[i];
        return NULL;
}

static const struct stage *find_stage(const char *name)
{
        for (size_t i = 0; i < ARRAY_SIZE(stages); i++)
                if (streq(stages[i]->name, name))
                        return stages[i];
        return NULL;
}

static bool set_option(const struct option *option, const char *value, struct options *o)
{
        void *member = (char *)o + option->offset;

        if (option->type == OPTION_FLAG)
                return flag_bool(value, member);
        if (option->type == OPTION_DURATION)
                return duration_parse(value, member);
        if ((option->type == OPTION_STAGE && !find_stage(value)) ||
            (option->type == OPTION_PLATFORM && !provider_find(value)))
                return false;
        *(const char **)member = value;
        return true;
}

static int refuse_value(const struct option *option, const char *value,
                        const struct program *program)
{
        if (option->type == OPTION_FLAG)
                fprintf(stderr, "invalid boolean value \"%s\" for -%s: parse error\n", value,
                        option->name);
        else if (option->type == OPTION_STAGE || option->type == OPTION_PLATFORM)
                fprintf(stderr, "invalid value \"%s\" for flag -%s: %s is not a valid %s\n", value,
                        option->name, value, option->name);
        else
                fprintf(stderr, "invalid value \"%s\" for flag -%s: parse error\n", value,
                        option->name);
        return usage(stderr, program);
}

enum { HELP_WANTED = -1 };

/* One option, which may take the next word; 0, HELP_WANTED, or 2 after saying what is wrong. */
static int parse_option(const struct program *program, const struct flag *flag, char *const argv[],
                        int *next, struct options *o)
{
        const struct option *option = find_option(program, flag);
        const char *value = flag->value;

        if (!option) {
                fprintf(stderr, "flag provided but not defined: -%.*s\n", (int)flag->size,
                        flag->name);
                return usage(stderr, program);
        }
        if (option->offset == offsetof(struct options, help))
                return HELP_WANTED;
        if (!value && option->type != OPTION_FLAG) {
                value = argv[*next];
                if (!value) {
                        fprintf(stderr, "flag needs an argument: -%s\n", option->name);
                        return usage(stderr, program);
                }
                ++*next;
        }
        return set_option(option, value, o) ? 0 : refuse_value(option, value, program);
}

/* Up to the first argument that is no option; 0, or what to exit with plus one. */
static int parse_options(const struct program *program, int argc, char *const argv[], int *next,
                         struct options *o)
{
        while (*next < argc) {
                struct flag flag;
                int kind = flag_parse(argv[*next], &flag), r;

                if (kind == FLAG_NONE)
                        return 0;
                ++*next;
                if (kind == FLAG_END)
                        return 0;
                if (kind == FLAG_BAD) {
                        fprintf(stderr, "bad flag syntax: %s\n", argv[*next - 1]);
                        return 1 + usage(stderr, program);
                }
                r = parse_option(program, &flag, argv, next, o);
                if (r != 0)
                        return r == HELP_WANTED ? 1 + usage(stdout, program) : 1 + r;
        }
        return 0;
}

/* Options may stand on both sides of the argument. */
static int run_verb(size_t verb, struct agent *a, int argc, char *argv[])
{
        const struct program *program = &programs[0];
        const char *argument = NULL;
        struct error err = {};
        int next = 2, r = 0;

        while (r == 0 && next < argc) {
                r = parse_options(program, argc, argv, &next, &a->options);
                if (r == 0 && next < argc && argument)
                        r = 1 + usage(stderr, program);
                if (r == 0 && next < argc)
                        argument = argv[next++];
        }
        if (r != 0)
                return r - 1;
        if (!a->options.platform)
                a->options.platform = platform_detect();
        log_open(&a->log, a->options.log_to_stdout);
        r = verbs[verb].run(a, argument, &err);
        if (r < 0)
                fprintf(stderr, "ignition: %s\n", err.message);
        return r < 0 ? 1 : r;
}

static int run_stage(struct agent *a, const struct stage *stage, struct error *err)
{
        const struct provider *provider = provider_find(a->options.platform);
        int r = 0;

        if (a->options.deadline_ms == 0)
                a->options.deadline_ms = provider->deadline_ms;
        a->deadline = clock_deadline(a->options.deadline_ms);
        if (!stage->acquires && !stage->undoes && state_is_wiped(&a->state))
                return error_set(err, -ENODATA,
                                 "this machine is provisioned, and the secrets of its config are "
                                 "wiped: it has to be fetched again first");
        if (!stage->acquires)
                r = agent_load_config(a, err);
        if (r >= 0)
                r = stage->run(a, err);
        if (r >= 0 && stage->completes)
                return agent_wipe(a, err);
        return r < 0 ? r : state_save(&a->state, a->options.state_file, err);
}

static int run(struct agent *a, const struct stage *stage)
{
        uint64_t started = clock_ms();
        struct error err = {};

        log_open(&a->log, a->options.log_to_stdout);
        log_line(&a->log, LOG_INFO, "Ignition %s", SLIPWAY_VERSION);
        log_line(&a->log, LOG_INFO, "Stage: %s", stage->name);
        log_line(&a->log, LOG_INFO, "Platform: %s", a->options.platform);
        a->log.stage = stage->name;
        if (root_open(&a->root, a->options.root, &err) < 0 ||
            (!stage->acquires && agent_load_state(a, &err) < 0)) {
                report_stage(a, stage->name, started, &err);
                return 3;
        }
        if (run_stage(a, stage, &err) < 0) {
                report_stage(a, stage->name, started, &err);
                return 1;
        }
        report_stage(a, stage->name, started, NULL);
        log_line(&a->log, LOG_INFO, "%s passed", stage->name);
        a->log.stage = NULL;
        log_line(&a->log, LOG_INFO, "Ignition finished successfully");
        return 0;
}

static const struct program *find_program(const char *path)
{
        const char *slash = path ? strrchr(path, '/') : NULL, *name = slash ? slash + 1 : path;

        for (size_t i = 0; name && i < ARRAY_SIZE(programs); i++)
                if (streq(programs[i].name, name))
                        return &programs[i];
        return &programs[0];
}

static int run_main(struct agent *a)
{
        const struct stage *stage = a->options.stage ? find_stage(a->options.stage) : NULL;

        if (!stage) {
                fputs("'--stage' must be provided\n", stderr);
                return 2;
        }
        return run(a, stage);
}

static int run_apply(const struct program *program, struct agent *a, int argc, char *const argv[])
{
        if (argc != 1)
                return usage(stderr, program);
        log_open(&a->log, a->options.log_to_stdout);
        return program_apply(a, argv[0]);
}

static int run_rmcfg(const struct program *program, struct agent *a, int argc)
{
        if (argc != 0)
                return usage(stderr, program);
        log_open(&a->log, a->options.log_to_stdout);
        return program_rmcfg(a);
}

static int run_program(const struct program *program, struct agent *a, int argc, char *argv[])
{
        int r, next = 1;

        r = parse_options(program, argc, argv, &next, &a->options);
        if (r != 0)
                return r - 1;
        if (a->options.version) {
                printf("Ignition %s\n", SLIPWAY_VERSION);
                return 0;
        }
        if (!a->options.platform)
                a->options.platform = platform_detect();
        if (program->mask == PROGRAM_APPLY)
                return run_apply(program, a, argc - next, argv + next);
        if (program->mask == PROGRAM_RMCFG)
                return run_rmcfg(program, a, argc - next);
        return run_main(a);
}

int main(int argc, char *argv[])
{
        struct agent a = {
                .options = { .root = "/",
                             .config_cache = "/run/ignition.json",
                             .state_file = "/run/ignition/state",
                             .neednet = "/run/ignition/neednet",
                             .fetch_timeout_ms = FETCH_TIMEOUT_DEFAULT_MS },
                .root.fd = -1,
        };
        const struct program *program = find_program(argv[0]);
        const bool is_main = program == &programs[0] && argc > 1;
        size_t verb = 0;
        int r;

        umask(022);
        while (is_main && verb < ARRAY_SIZE(verbs) && !streq(argv[1], verbs[verb].name))
                verb++;
        r = is_main && verb < ARRAY_SIZE(verbs) ? run_verb(verb, &a, argc, argv)
                                                : run_program(program, &a, argc, argv);
        fetcher_free(a.fetcher);
        /* What is held in memory goes with the process. */
        exit(r);
}
