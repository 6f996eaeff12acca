/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* slipway run DISK: boots a disk in QEMU, its console on this terminal. The process becomes QEMU,
 * so signals and the exit status are QEMU's own; with a configuration it stays, to notice that
 * provisioning failed. */

#include "cli.h"
#include "run-tpm.h"
#include "run-watch.h"
#include "run.h"
#include "strv.h"

enum {
        KEY_IGNITION = 0x200,
        KEY_SSH_PORT,
        KEY_PLATFORM,
        KEY_MEMORY,
        KEY_CPUS,
        KEY_SNAPSHOT,
        KEY_TPM,
        KEY_PRINT,
        KEY_SECURE_BOOT,
        KEY_CUSTOM_DATA,
        KEY_AZURE,
        KEY_RECORD,
};

struct arguments {
        struct run_options run;
        struct azure_options azure;
        const char *variables;
        const char *tpm; /* directory of its state; "": beside the disk; NULL: no TPM */
        bool print;
};

static const struct argp_option options[] = {
        { "ignition", KEY_IGNITION, "FILE", 0, "Ignition configuration for the first boot", 0 },
        { "ssh-port", KEY_SSH_PORT, "N", 0, "Forward this port of the loopback to the guest's ssh",
          0 },
        { "platform", KEY_PLATFORM, "P", 0, "Boot as on this platform instead of the detected one",
          0 },
        { "memory", KEY_MEMORY, "MIB", 0, "Memory of the machine (default 2048)", 0 },
        { "cpus", KEY_CPUS, "N", 0, "Processors of the machine (default 2)", 0 },
        { "snapshot", KEY_SNAPSHOT, NULL, 0, "Leave the disk as it is: forget what was written",
          0 },
        { "secure-boot", KEY_SECURE_BOOT, "VARS", OPTION_ARG_OPTIONAL,
          "Firmware with Secure Boot, which keeps its keys in this file (default: DISK.efivars)",
          0 },
        { "tpm", KEY_TPM, "DIR", OPTION_ARG_OPTIONAL,
          "Give the machine a TPM, which is kept in DIR (default: DISK.tpm)", 0 },
        { "custom-data", KEY_CUSTOM_DATA, "FILE", 0,
          "Custom data on Azure's CD-ROM (with --platform azure, where --ignition is user data)",
          0 },
        { "azure", KEY_AZURE, "FILE", 0,
          "What the machine is on Azure (JSON, see docs/azure-in-a-box.md)", 0 },
        { "record", KEY_RECORD, "FILE", 0, "Write down what the machine asks Azure: JSON lines",
          0 },
        { "print", KEY_PRINT, NULL, 0, "Print QEMU's command line, do not run it", 0 },
        {},
};

static void parse_number(struct argp_state *state, const char *text, unsigned min, unsigned max,
                         unsigned *ret)
{
        unsigned long n;
        char *end;

        errno = 0;
        n = strtoul(text, &end, 10);
        if (errno != 0 || *text < '0' || *text > '9' || *end || n < min || n > max)
                argp_error(state, "'%s' is not a number from %u to %u", text, min, max);
        *ret = (unsigned)n;
}

/* Arguments behind "--" are QEMU's. */
static error_t parse_argument(struct arguments *a, char *argument, struct argp_state *state)
{
        if (!a->run.disk) {
                a->run.disk = argument;
                return 0;
        }
        if (!state->quoted || state->next <= state->quoted)
                argp_error(state, "only one disk; arguments for QEMU stand behind '--'");
        a->run.extra = &state->argv[state->next - 1];
        state->next = state->argc;
        return 0;
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
        struct arguments *a = state->input;
        struct run_options *o = &a->run;

        switch (key) {
        case KEY_IGNITION: o->ignition = argument; return 0;
        case KEY_SSH_PORT: parse_number(state, argument, 1, 65535, &o->ssh_port); return 0;
        case KEY_PLATFORM: o->platform = argument; return 0;
        case KEY_MEMORY: parse_number(state, argument, 256, 1U << 20, &o->memory_mib); return 0;
        case KEY_CPUS: parse_number(state, argument, 1, 255, &o->cpus); return 0;
        case KEY_SNAPSHOT: o->snapshot = true; return 0;
        case KEY_TPM: a->tpm = argument ?: ""; return 0;
        case KEY_PRINT: a->print = true; return 0;
        case KEY_CUSTOM_DATA: a->azure.custom_data = argument; return 0;
        case KEY_AZURE: a->azure.description = argument; return 0;
        case KEY_RECORD: a->azure.record = argument; return 0;
        case KEY_SECURE_BOOT:
                o->secure_boot = true;
                a->variables = argument;
                return 0;
        case ARGP_KEY_ARG: return parse_argument(a, argument, state);
        case ARGP_KEY_END:
                if (!run_on_azure(o) &&
                    (a->azure.custom_data || a->azure.description || a->azure.record))
                        argp_error(state,
                                   "--custom-data, --azure and --record go with --platform azure");
                return 0;
        case ARGP_KEY_NO_ARGS: argp_error(state, "which disk?"); return 0;
        default: return ARGP_ERR_UNKNOWN;
        }
}

static const struct argp argp = {
        options,
        parse_option,
        "DISK [-- QEMU-ARGUMENT...]",
        "Boots a disk (raw, qcow2 or VHD) in QEMU, with KVM when this user "
        "may use it. The console is here: ctrl-a x ends the machine, "
        "ctrl-a c changes to QEMU's monitor and back.",
        NULL,
        NULL,
        NULL
};

/* One argument a line would not survive a shell; single quotes do. */
static void print_quoted(const char *argument)
{
        putchar('\'');
        for (; *argument; argument++)
                fputs(*argument == '\'' ? "'\\''" : (const char[]){ *argument, '\0' }, stdout);
        putchar('\'');
}

static void print_command(char *const *argv)
{
        for (; *argv; argv++) {
                print_quoted(*argv);
                putchar(argv[1] ? ' ' : '\n');
        }
}

/* What firmware with Secure Boot has learnt is kept, unless nothing is. A file that was named is
 * used as it is even then, in memory: its keys are wanted. */
static int choose_variables(struct arguments *a, char **ret, struct error *err)
{
        if (!a->run.secure_boot)
                return 0;
        *ret = a->variables ? strdup(a->variables) : run_variables_path(a->run.disk);
        if (!*ret)
                return error_oom(err);
        if (!(a->run.snapshot || a->print))
                a->run.variables = *ret;
        else if (access(*ret, F_OK) == 0)
                a->run.variables_from = *ret;
        return 0;
}

static int start_tpm(const struct arguments *a, int *ret_fd, struct error *err)
{
        _cleanup_free_ char *beside = string_format("%s.tpm", a->run.disk);

        if (!beside)
                return error_oom(err);
        return tpm_start(*a->tpm ? a->tpm : beside, ret_fd, err);
}

/* Nothing is started for who only looks. */
static int start_azure(struct arguments *a, struct azure_box *box, struct run_machine *machine,
                       struct error *err)
{
        _cleanup_free_ char *libexec = cli_libexec();
        int r;

        if (!run_on_azure(&a->run) || a->print)
                return 0;
        if (!libexec)
                return error_oom(err);
        a->azure.disk = a->run.disk;
        a->azure.user_data = a->run.ignition;
        r = azure_start(&a->azure, libexec, box, err);
        if (r >= 0)
                machine->azure = box;
        return r;
}

int verb_run(int argc, char *argv[], struct error *err)
{
        struct arguments a = { .run = { .memory_mib = RUN_MEMORY_DEFAULT,
                                        .cpus = RUN_CPUS_DEFAULT } };
        struct run_machine machine = { .variables_fd = -1 };
        _cleanup_watch_ struct watch watch = WATCH_NULL;
        _cleanup_strv_ char **command = NULL;
        _cleanup_free_ char *variables = NULL;
        struct azure_box box;
        bool provisions;
        int r;

        argp_parse(&argp, argc, argv, 0, NULL, &a);
        a.run.format = run_disk_format(a.run.disk, err);
        if (!a.run.format)
                return err->code;
        if (a.run.ignition && access(a.run.ignition, R_OK) < 0)
                return error_errno(err, "%s", a.run.ignition);
        provisions = a.run.ignition || run_on_azure(&a.run);
        r = choose_variables(&a, &variables, err);
        if (r >= 0)
                r = run_probe(&a.run, &machine, err);
        if (r >= 0 && a.tpm && !a.print)
                r = start_tpm(&a, &machine.tpm_fd, err);
        if (r >= 0)
                r = start_azure(&a, &box, &machine, err);
        if (r >= 0 && provisions && !a.print)
                r = watch_open(&watch, err);
        if (r >= 0)
                machine.log_fd = MAX(watch.write_fd, 0);
        if (r >= 0)
                r = run_command(&a.run, &machine, &command, err);
        if (r < 0)
                return r;
        if (a.print) {
                print_command(command);
                return 0;
        }
        if (provisions)
                return watch_run(&watch, command, err);
        execvp(command[0], command);
        return error_errno(err, "%s", command[0]);
}
