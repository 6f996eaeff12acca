/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The files stage: groups, users, directories, files and links, units and presets, then the result
 * file. Plan, journal, work, sync, stamp: cut off anywhere, the next attempt undoes it and begins
 * again. */

#include "crypttab.h"

static int plan(struct work *w, struct error *err)
{
        const struct config_root *c = &w->agent->config.root;
        bool accounts = c->passwd.users.count + c->passwd.groups.count > 0;
        int r;

        r = userdb_open(w->root, &w->journal, accounts, &w->userdb, err);
        if (r >= 0)
                r = passwd_plan(w, err);
        if (r >= 0)
                r = nodes_plan(w, err);
        if (r >= 0)
                r = units_plan(w, err);
        return r < 0 ? r : crypttab_plan(w, err);
}

static int apply(struct work *w, struct error *err)
{
        const struct provider *provider = provider_find(w->agent->options.platform);
        int r;

        r = journal_commit(&w->journal, err);
        if (r >= 0)
                r = passwd_apply(w, err);
        if (r >= 0)
                r = nodes_apply(w, err);
        if (r >= 0)
                r = units_apply(w, err);
        if (r >= 0 && provider && provider->publish)
                r = provider->publish(w->agent, err);
        if (r >= 0)
                r = crypttab_apply(w, err);
        if (r >= 0)
                r = root_sync(w->root, err);
        return r < 0 ? r : result_write(w, err);
}

static int work(struct work *w, struct error *err)
{
        struct log *log = &w->agent->log;
        enum journal_state state = JOURNAL_NONE;
        int r;

        r = result_exists(w, &w->again, err);
        if (r >= 0)
                r = journal_open(w->root, result_path, &w->journal, &state, err);
        if (r >= 0 && state == JOURNAL_INTERRUPTED) {
                log_line(log, LOG_NOTICE,
                         "an earlier attempt was cut off: undoing it and starting again");
                r = journal_undo(&w->journal, err);
        }
        if (state == JOURNAL_FINISHED)
                log_line(log, LOG_NOTICE, "an earlier attempt got to its end: nothing to do");
        if (r >= 0 && state != JOURNAL_FINISHED) {
                r = plan(w, err);
                if (r >= 0)
                        r = apply(w, err);
        }
        if (r >= 0)
                r = relabel(w, err);
        return r < 0 ? r : journal_remove(&w->journal, err);
}

static void work_done(struct work *w)
{
        nodes_done(w);
        userdb_done(&w->userdb);
        journal_done(&w->journal);
}

static int run(struct agent *a, struct error *err)
{
        _cleanup_(work_done) struct work w = { .agent = a, .root = &a->root, .userdb.lock_fd = -1 };

        return work(&w, err);
}

const struct stage stage_files = { .name = "files", .completes = true, .run = run };
