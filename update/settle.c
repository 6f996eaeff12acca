/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See settle.h. Runs at every boot, and after blessing; running again changes nothing.
 *
 * A release's story begins with its last "staged", so that one which was installed again after a
 * failure gets a new one. A release that fell back has left what it knew itself ("unhealthy"); when
 * it left nothing, how far it came says where to look: "booted" is written once the host runs. */

#include <time.h>

#include "kernel-log.h"
#include "settle.h"
#include "strv.h"

/* The release's last event of this kind in its present story; NULL: none. */
static const struct history_event *last_event(const struct history *h, const struct sha256 *hash,
                                              int kind)
{
        const struct history_event *found = NULL;

        for (size_t i = 0; i < h->count; i++) {
                const struct history_event *e = &h->items[i];

                if (!sha256_equal(&e->root_hash, hash))
                        continue;
                if (e->kind == HISTORY_STAGED)
                        found = NULL;
                if (e->kind == kind)
                        found = e;
        }
        return found;
}

/* Of the slot that has the release's label, else what history knows; zeros when nobody does. */
static void find_root_hash(const struct settle_facts *f, const char *version, struct sha256 *ret)
{
        *ret = (struct sha256){};
        for (size_t i = 0; i < f->history->count; i++)
                if (streq(f->history->items[i].version, version))
                        *ret = f->history->items[i].root_hash;
        for (size_t i = 0; i < f->slots->count; i++) {
                const struct slot *s = &f->slots->items[i];

                if (!streq(slot_version(s), version))
                        continue;
                memcpy(ret->bytes, s->usr.uuid.bytes, UUID_SIZE);
                memcpy(ret->bytes + UUID_SIZE, s->tree.uuid.bytes, UUID_SIZE);
        }
}

static int copy_text(char **ret, const char *text)
{
        *ret = text ? strdup(text) : NULL;
        return text && !*ret ? -ENOMEM : 0;
}

/* Takes the event over, whatever happens. */
static int add_event(struct history *h, struct history_event *e, struct error *err)
{
        struct history_event *items;

        items = e->version ? reallocarray(h->items, h->count + 1, sizeof(*items)) : NULL;
        if (!items) {
                history_event_done(e);
                return error_oom(err);
        }
        h->items = items;
        h->items[h->count++] = *e;
        return 0;
}

static int add_running(const struct settle_facts *f, int kind, struct history *ret,
                       struct error *err)
{
        const struct running *r = f->running;
        struct history_event e = {
                .time = f->now, .kind = kind, .root_hash = r->root_hash, .tries = r->tries
        };

        if (last_event(f->history, &r->root_hash, kind))
                return 0;
        if (copy_text(&e.version, r->version) < 0 || copy_text(&e.boot_id, r->boot_id) < 0) {
                history_event_done(&e);
                return error_oom(err);
        }
        return add_event(ret, &e, err);
}

static int copy_last_words(struct history_event *e, const struct history_event *said)
{
        int r = copy_text(&e->boot_id, said->boot_id);

        if (r >= 0)
                r = copy_text(&e->check, said->check);
        if (r >= 0)
                r = copy_text(&e->reason, said->reason);
        STRV_FOREACH (line, said->journal)
                if (r >= 0)
                        r = strv_extend(&e->journal, *line);
        return r;
}

static int explain(struct history_event *e, const struct history *h)
{
        const struct history_event *unhealthy = last_event(h, &e->root_hash, HISTORY_UNHEALTHY),
                                   *booted = last_event(h, &e->root_hash, HISTORY_BOOTED);

        if (unhealthy)
                return copy_last_words(e, unhealthy);
        if (booted) {
                e->reason = strdup("the host ran, but its health was not known before it ended: "
                                   "panic, hang or power");
                return e->reason ? copy_text(&e->boot_id, booted->boot_id) : -ENOMEM;
        }
        e->reason = string_format("none of its %ju boots reached the host: kernel, initrd or "
                                  "dm-verity",
                                  (uintmax_t)e->tries);
        return e->reason ? 0 : -ENOMEM;
}

/* An entry without a spent try was made bad by hand: rolled back, not fallen back. */
static bool is_spent(const struct boot_entry *b)
{
        return b->counted && b->tries_left == 0 && b->tries_done > 0;
}

static int add_fallen(const struct settle_facts *f, const struct boot_entry *b, struct history *ret,
                      struct error *err)
{
        struct history_event e = { .time = f->now,
                                   .kind = HISTORY_FELL_BACK,
                                   .tries = b->tries_done };

        find_root_hash(f, b->version, &e.root_hash);
        if (last_event(f->history, &e.root_hash, HISTORY_FELL_BACK))
                return 0;
        if (copy_text(&e.version, b->version) < 0 || explain(&e, f->history) < 0) {
                history_event_done(&e);
                return error_oom(err);
        }
        return add_event(ret, &e, err);
}

int settle_decide(const struct settle_facts *f, struct history *ret, struct error *err)
{
        _cleanup_(history_done) struct history h = {};
        int r = add_running(f, HISTORY_BOOTED, &h, err);

        for (size_t i = 0; r >= 0 && i < f->entries->count; i++) {
                const struct boot_entry *b = &f->entries->items[i];

                if (!streq(b->version, f->running->version))
                        r = is_spent(b) ? add_fallen(f, b, &h, err) : 0;
                else if (!b->counted)
                        r = add_running(f, HISTORY_GOOD, &h, err);
        }
        if (r >= 0)
                *ret = TAKE_STRUCT(h);
        return r;
}

/* ---- this machine ---- */

static int load_slots(const struct running *running, struct slots *ret, struct error *err)
{
        _cleanup_free_ char *disk = NULL;
        struct uuid usr, tree;
        int r;

        gpt_uuids_from_root_hash(&running->root_hash, &usr, &tree);
        r = slot_disk(&usr, &disk, err);
        return r < 0 ? r : slots_load(disk, ret, err);
}

/* What the journal or the firmware kept of a boot that said nothing itself. Their failure is none
 * of the release's story. */
static void add_traces(struct history_event *e)
{
        if (e->kind != HISTORY_FELL_BACK || e->journal)
                return;
        if (e->boot_id && history_journal(e->boot_id, &e->journal, NULL) < 0)
                e->journal = NULL;
        if (!e->journal && kernel_log_tail("/", HISTORY_JOURNAL_LINES, &e->journal) < 0)
                e->journal = NULL;
}

int settle(const char *history_path, struct error *err)
{
        _cleanup_(history_done) struct history past = {}, news = {};
        struct entries entries;
        struct running running;
        struct slots slots;
        struct settle_facts f = { &running, &entries, &slots, &past, (uint64_t)time(NULL) };
        int r = running_load(&running, err);

        if (r >= 0)
                r = running_entries(&entries, err);
        if (r >= 0)
                r = load_slots(&running, &slots, err);
        if (r >= 0)
                r = history_load(history_path, &past, err);
        if (r >= 0)
                r = settle_decide(&f, &news, err);
        for (size_t i = 0; r >= 0 && i < news.count; i++) {
                add_traces(&news.items[i]);
                r = history_append(history_path, &news.items[i], err);
        }
        return r;
}
