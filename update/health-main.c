/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* slipway-health: is the release that runs well? Exit status 0: all checks have passed; 1: not all.
 *
 * With --trial, as at boot, a release that is on trial and not well gives up: the history gets the
 * reason, for the old release to tell it, and the machine reboots, so that tries are spent and
 * systemd-boot falls back. Whoever is not on trial is only told. systemd is asked to reboot; if it
 * does not answer any more, the kernel is. */

#include <argp.h>
#include <sys/reboot.h>
#include <time.h>

#include "health.h"
#include "history.h"
#include "running.h"
#include "strv.h"

enum { KEY_ROOT = 0x100, KEY_TRIAL };

struct arguments {
        const char *root;
        bool trial;
};

static const struct argp_option options[] = {
        { "root", KEY_ROOT, "DIR", 0, "Where the files of health.d are (default /)", 0 },
        { "trial", KEY_TRIAL, NULL, 0, "When on trial and not well: write history, and reboot", 0 },
        {},
};

static void complain(const struct error *err)
{
        fprintf(stderr, "slipway-health: %s\n", err->message);
}

static void tell(void *userdata _unused_, const struct health_check *c, const char *reason)
{
        if (reason)
                printf("%s: failed: %s\n", c->name, reason);
        else
                printf("%s: passed\n", c->name);
        fflush(stdout);
}

static int check_health(const char *root, struct health_failure *ret, struct error *err)
{
        const struct health_watcher watcher = { tell, NULL };
        _cleanup_(health_done) struct health h = {};
        int r = health_load(root, &h, err);

        if (r < 0)
                *ret = (struct health_failure){ .check = "health.d" };
        else
                r = health_run(&h, &watcher, ret, err);
        if (r < 0 && !*ret->reason)
                snprintf(ret->reason, sizeof(ret->reason), "%.*s", HEALTH_REASON_MAX, err->message);
        return r;
}

static int write_history(const struct running *running, struct health_failure *f, struct error *err)
{
        _cleanup_strv_ char **journal = NULL;
        struct history_event e = {
                .time = (uint64_t)time(NULL),
                .kind = HISTORY_UNHEALTHY,
                .version = (char *)running->version,
                .root_hash = running->root_hash,
                .tries = running->tries,
                .boot_id = (char *)running->boot_id,
                .check = f->check,
                .reason = f->reason,
        };

        if (history_journal(NULL, &journal, err) < 0)
                complain(err);
        e.journal = journal;
        return history_append(HISTORY_PATH, &e, err);
}

static void restart(struct error *err)
{
        if (health_reboot(err) >= 0)
                return;
        complain(err);
        sync();
        reboot(RB_AUTOBOOT);
}

/* An ESP that cannot be read tells nothing: then rebooting ends when the tries are spent. */
static bool is_alone(const struct running *running)
{
        struct entries entries;
        struct error err = {};

        if (running_entries(&entries, &err) < 0) {
                complain(&err);
                return false;
        }
        return !running_can_fall_back(running, &entries);
}

/* Nothing that goes wrong on the way may keep the machine in a release that is not well. */
static void give_up(struct health_failure *f)
{
        struct running running;
        struct error err = {};

        if (running_load(&running, &err) < 0) {
                complain(&err);
                return;
        }
        if (!running.trial)
                return;
        if (write_history(&running, f, &err) < 0)
                complain(&err);
        if (is_alone(&running)) {
                printf("release %s is not well, but there is no other\n", running.version);
                return;
        }
        printf("release %s is not well: rebooting after try %u\n", running.version, running.tries);
        fflush(stdout);
        restart(&err);
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
        struct arguments *a = state->input;

        switch (key) {
        case KEY_ROOT: a->root = argument; return 0;
        case KEY_TRIAL: a->trial = true; return 0;
        case ARGP_KEY_ARG: argp_error(state, "no arguments, please"); return 0;
        default: return ARGP_ERR_UNKNOWN;
        }
}

static const struct argp argp = { options, parse_option,
                                  NULL,    "Runs the health checks of the release that runs.",
                                  NULL,    NULL,
                                  NULL };

int main(int argc, char *argv[])
{
        struct arguments a = { .root = "/" };
        struct health_failure failure = {};
        struct error err = {};

        argp_err_exit_status = 2;
        argp_program_version = "slipway-health " SLIPWAY_VERSION;
        argp_parse(&argp, argc, argv, 0, NULL, &a);
        if (check_health(a.root, &failure, &err) >= 0)
                return 0;
        complain(&err);
        if (a.trial)
                give_up(&failure);
        return 1;
}
