/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The program `slipway-azure`: makes a new virtual machine on Azure what its creator asked for, and
 * tells the platform that it is ready, or why not. Once a machine: the marker is written after the
 * platform took the report, so a run that was cut off is made again, from the beginning.
 *
 * Exit status: 0 done, now or earlier; 1 failed, which the platform was told if it could be; 2 bad
 * option. */

#include <argp.h>

#include "azure.h"
#include "interrupt.h"
#include "strv.h"

enum { KEY_ROOT = 0x100, KEY_DEADLINE };
enum { DEADLINE_S = 20 * 60, DEADLINE_MAX_S = 24 * 60 * 60, FAILURE_MIN_MS = 60000 };

struct arguments {
        const char *root;
        uint64_t deadline_s;
};

static const struct argp_option options[] = {
        { "deadline", KEY_DEADLINE, "SECONDS", 0, "Give up after this time (default 1200)", 0 },
        { "root", KEY_ROOT, "DIR", 0, "The system to provision (default /)", 0 },
        {},
};

/* ---- the steps ---- */

static int refuse_pps(struct azure *z, struct error *err)
{
        return azure_refuse_pps(z->instance.pps_type, err);
}

/* For people who look at the host; nothing depends on it. */
static void report_kvp(struct azure *z, const char *reason)
{
        struct error err = {};

        if (azure_kvp_report(z, reason, &err) < 0)
                log_line(z->log, LOG_WARNING, "key-value report: %s", err.message);
}

static const struct {
        const char *name;
        int (*run)(struct azure *z, struct error *err);
} steps[] = {
        { "instance metadata", azure_imds_instance },
        { "pre-provisioning", refuse_pps },
        { "host name", azure_set_hostname },
        { "administrator", azure_set_account },
};

static int run_steps(struct azure *z, struct error *err)
{
        int r = 0;

        for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(steps); i++)
                r = error_prefix(err, steps[i].run(z, err), "%s", steps[i].name);
        return r;
}

/* ---- all of it ---- */

/* The report has some time of its own: a deadline that has passed is what it may have to tell. */
static void report_failure(struct azure *z, const struct error *failure)
{
        const struct azure_health health = { .reason = failure->message };
        struct error err = {};

        report_kvp(z, failure->message);
        if (clock_left(z->deadline) < FAILURE_MIN_MS)
                z->deadline = clock_deadline(FAILURE_MIN_MS);
        if (azure_health_report(z, &health, &err) < 0)
                log_line(z->log, LOG_WARNING, "the platform was not told: %s", err.message);
}

/* A report of Ready that failed may have been heard all the same: it is not taken back. */
static int report_ready(struct azure *z, struct error *err)
{
        int r = azure_health_report(z, &(struct azure_health){}, err);

        report_kvp(z, r < 0 ? err->message : NULL);
        if (r < 0)
                return r;
        log_line(z->log, LOG_INFO, "virtual machine %s is reported Ready", z->id);
        azure_disc_eject(z);
        return azure_marker_write(z->root->fd, z->id, err);
}

static int provision(struct azure *z, struct error *err)
{
        bool done = false;
        int r;

        r = azure_identity(z->root->fd, z->id, err);
        if (r >= 0)
                r = azure_marker_find(z->root->fd, z->id, &done, err);
        if (r < 0 || done)
                return r;
        log_line(z->log, LOG_INFO, "virtual machine %s is new", z->id);
        r = run_steps(z, err);
        if (r >= 0)
                return report_ready(z, err);
        if (r != -EINTR)
                report_failure(z, err);
        return r;
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
        struct arguments *a = state->input;
        char *end;

        switch (key) {
        case KEY_ROOT: a->root = argument; return 0;
        case KEY_DEADLINE:
                a->deadline_s = strtoul(argument, &end, 10);
                if (*end || end == argument || a->deadline_s == 0 || a->deadline_s > DEADLINE_MAX_S)
                        argp_error(state, "--deadline: 1 to %d seconds", DEADLINE_MAX_S);
                return 0;
        case ARGP_KEY_ARG: argp_error(state, "no arguments, please"); return 0;
        default: return ARGP_ERR_UNKNOWN;
        }
}

static const struct argp argp = { options, parse_option,
                                  NULL,    "Provisions a virtual machine on Azure, once.",
                                  NULL,    NULL,
                                  NULL };

int main(int argc, char *argv[])
{
        struct arguments a = { .root = "/", .deadline_s = DEADLINE_S };
        struct log log = { .to_stdout = true };
        struct root root = { .fd = -1 };
        struct azure z = { .log = &log, .root = &root };
        struct error err = {};
        int r;

        argp_err_exit_status = 2;
        argp_program_version = AZURE_AGENT " " SLIPWAY_VERSION;
        argp_parse(&argp, argc, argv, 0, NULL, &a);
        umask(022);
        interrupt_catch();
        z.deadline = clock_deadline(a.deadline_s * 1000);
        r = root_open(&root, a.root, &err);
        if (r >= 0)
                r = provision(&z, &err);
        if (r < 0)
                fprintf(stderr, "<3>" AZURE_AGENT ": %s\n", err.message);
        azure_done(&z);
        root_done(&root);
        interrupt_die();
        return r < 0;
}
