/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Planning a disk's partitions.
 *
 * 1. Numbers. A wish with number 0 stands for the partition that has its label, or else gets the
 *    lowest number that neither the disk nor another wish has.
 * 2. Places. A null start or size of an existing partition that may not be wiped means "as it is".
 *    Else a start of 0 or null is the aligned beginning of the largest free block, and a size of 0
 *    or null reaches to the end of the free block: what sgdisk does. Wishes are placed in the order
 *    of the configuration, as if those that exist were deleted before; when one has no room so,
 *    those whose place is fully known come first. On a disk that has grown, what is where the
 *    wishes would have put it before is where they want it.
 * 3. Actions, by the matrix of "Partition Reuse Semantics" below. */

#include <inttypes.h>
#include <strings.h>

#include "partition.h"

static const struct {
        const char *name;
        bool changes, before, after;
} actions[] = {
        [GPT_NOTHING] = { "leave absent", false, false, false },
        [GPT_KEEP] = { "keep", false, true, true },
        [GPT_CREATE] = { "create", true, false, true },
        [GPT_DELETE] = { "delete", true, true, false },
        [GPT_REPLACE] = { "replace", true, true, true },
        [GPT_RESIZE] = { "resize", true, true, true },
        [GPT_REFUSE] = { "refuse", false, false, false },
};

/* Whether the wish says "should exist", "wipe the entry", whether what is there matches, and
 * whether it would but for its size, which may be changed. */
static const struct rule {
        bool exists, should_exist;
        bool wipe, matches, resizable; /* compared when the next says so */
        bool if_wipe, if_match, if_resizable;
        enum gpt_action action;
} rules[] = {
        { false, false, .action = GPT_NOTHING },
        { false, true, .action = GPT_CREATE },
        { true, false, .wipe = false, .if_wipe = true, .action = GPT_REFUSE },
        { true, false, .action = GPT_DELETE },
        { true, true, .matches = true, .if_match = true, .action = GPT_KEEP },
        { true, true, .wipe = true, .if_wipe = true, .action = GPT_REPLACE },
        { true, true, .resizable = true, .if_resizable = true, .action = GPT_RESIZE },
        { true, true, .action = GPT_REFUSE },
};

struct planner {
        const struct gpt_table *table;
        struct gpt_plan *plan;
        struct gpt_entry *occupied; /* of the table to be, in any order */
        size_t occupied_count;
        uint64_t last;  /* usable sector */
        uint64_t grain; /* sectors */
};

const char *gpt_action_name(enum gpt_action action)
{
        return actions[action].name;
}

void gpt_plan_done(struct gpt_plan *plan)
{
        free(TAKE_PTR(plan->operations));
        plan->count = 0;
}

bool gpt_plan_changes(const struct gpt_plan *plan)
{
        for (size_t i = 0; i < plan->count; i++)
                if (actions[plan->operations[i].action].changes)
                        return true;
        return plan->wipe_table;
}

static bool should_exist(const struct partition *p)
{
        return !config_is_false(&p->should_exist);
}

static const struct gpt_entry *find_number(const struct gpt_table *t, unsigned number)
{
        for (size_t i = 0; i < t->count; i++)
                if (t->entries[i].number == number)
                        return &t->entries[i];
        return NULL;
}

/* ---- numbers ---- */

static bool is_wished(const struct gpt_plan *plan, unsigned number)
{
        for (size_t i = 0; i < plan->count; i++)
                if (plan->operations[i].after.number == number)
                        return true;
        return false;
}

static unsigned number_of_label(const struct planner *p, const char *label)
{
        for (size_t i = 0; label && *label && i < p->table->count; i++)
                if (streq(p->table->entries[i].label, label) &&
                    !is_wished(p->plan, p->table->entries[i].number))
                        return p->table->entries[i].number;
        return 0;
}

static unsigned lowest_free(const struct planner *p)
{
        unsigned number = 1;

        while (find_number(p->table, number) || is_wished(p->plan, number))
                number++;
        return number;
}

/* Known numbers in the order of the configuration, then the others. */
static void list_wishes(const struct disk *disk, struct gpt_plan *plan)
{
        for (int zero = 0; zero <= 1; zero++) {
                CONFIG_FOREACH(struct partition, w, &disk->partitions)
                {
                        if ((w->number.value == 0) != zero)
                                continue;
                        plan->operations[plan->count++] = (struct gpt_operation){
                                .wanted = w,
                                .after.number = w->number.value > 0 && w->number.value <= UINT32_MAX
                                                        ? (unsigned)w->number.value
                                                        : 0,
                        };
                }
        }
}

static int assign_numbers(struct planner *p, struct error *err)
{
        struct gpt_plan *plan = p->plan;

        for (size_t i = 0; i < plan->count; i++) {
                struct gpt_operation *o = &plan->operations[i];

                if (o->wanted->number.value == 0)
                        o->after.number = number_of_label(p, o->wanted->label);
        }
        for (size_t i = 0; i < plan->count; i++) {
                struct gpt_operation *o = &plan->operations[i];

                if (o->wanted->number.value == 0 && o->after.number == 0)
                        o->after.number = lowest_free(p);
                if (o->after.number < 1 || o->after.number > GPT_ENTRIES_MAX) {
                        plan->culprit = o->wanted;
                        return error_set(err, -ENOSPC,
                                         "partition number %" PRIi64
                                         ": a table has the numbers 1 to %d",
                                         o->wanted->number.value ?: (int64_t)o->after.number,
                                         GPT_ENTRIES_MAX);
                }
        }
        return 0;
}

/* ---- places ---- */

/* The occupied entry with the smallest start at or behind `from`; NULL: none. */
static const struct gpt_entry *next_occupied(const struct planner *p, uint64_t from)
{
        const struct gpt_entry *next = NULL;

        for (size_t i = 0; i < p->occupied_count; i++) {
                const struct gpt_entry *e = &p->occupied[i];

                if (e->start + e->size > from && (!next || e->start < next->start))
                        next = e;
        }
        return next;
}

/* First sector behind the free block that begins at `from`; `from` itself when it is taken. */
static uint64_t free_end(const struct planner *p, uint64_t from)
{
        const struct gpt_entry *next = next_occupied(p, from);

        return next ? MAX(next->start, from) : p->last + 1;
}

/* Start of the largest free block (the first of equals), aligned when it has such a sector; 0: the
 * disk is full. */
static uint64_t largest_free(const struct planner *p)
{
        uint64_t from = p->table->first, best = 0, best_size = 0;

        while (from <= p->last) {
                const struct gpt_entry *next = next_occupied(p, from);
                uint64_t end = free_end(p, from), start = ROUND_UP(from, p->grain);

                if (end > from && end - from > best_size) {
                        best = start < end ? start : from;
                        best_size = end - from;
                }
                if (!next)
                        break;
                from = next->start + next->size;
        }
        return best;
}

static uint64_t sectors(const struct planner *p, const struct config_int *mib, uint64_t otherwise)
{
        if (!mib->set)
                return otherwise;
        if (mib->value < 0 || (uint64_t)mib->value > UINT64_MAX / MIB)
                return UINT64_MAX / 2; /* fits nowhere */
        return (uint64_t)mib->value * MIB / p->table->sector_size;
}

static int place(struct planner *p, struct gpt_operation *o, struct error *err)
{
        struct gpt_entry *e = &o->after;
        uint64_t end;

        if (e->start == 0)
                e->start = largest_free(p);
        end = e->start < p->table->first || e->start > p->last ? e->start : free_end(p, e->start);
        if (e->size == 0)
                e->size = end - e->start;
        if (e->size == 0 || e->size > end - e->start) {
                if (!p->plan->culprit)
                        p->plan->culprit = o->wanted;
                return error_set(err, -ENOSPC,
                                 "no room for partition %u: %" PRIu64 " sectors at %" PRIu64
                                 ", where %" PRIu64 " are free",
                                 e->number, e->size, e->start, end - e->start);
        }
        p->occupied[p->occupied_count++] = *e;
        return 0;
}

/* What the table keeps whatever happens: all that no wish is about. */
static void occupy_others(struct planner *p)
{
        for (size_t i = 0; i < p->table->count; i++)
                if (!is_wished(p->plan, p->table->entries[i].number))
                        p->occupied[p->occupied_count++] = p->table->entries[i];
}

static void describe(const struct planner *p, struct gpt_operation *o)
{
        const struct gpt_entry *existing = find_number(p->table, o->after.number);
        const struct partition *w = o->wanted;
        bool as_it_is = existing && !config_is_true(&w->wipe_entry);

        if (existing)
                o->before = *existing;
        o->after.start = sectors(p, &w->start_mib, as_it_is ? existing->start : 0);
        o->after.size = sectors(p, &w->size_mib, as_it_is ? existing->size : 0);
        if (o->settled)
                o->after.start = existing->start;
        if (o->settled && !config_is_true(&w->resize))
                o->after.size = existing->size;
        snprintf(o->after.guid, sizeof(o->after.guid), "%s", w->guid ?: "");
        snprintf(o->after.type, sizeof(o->after.type), "%s", w->type_guid ?: "");
        snprintf(o->after.label, sizeof(o->after.label), "%s", w->label ?: "");
}

static int place_if(struct planner *p, struct gpt_operation *o, bool wanted, struct error *err)
{
        return wanted && should_exist(o->wanted) ? place(p, o, err) : 0;
}

/* Places all that have room. The failure is that of the first that has none. */
static int place_all(struct planner *p, bool known_first, struct error *err)
{
        struct gpt_plan *plan = p->plan;
        int first = 0;

        plan->culprit = NULL;
        p->occupied_count = 0;
        occupy_others(p);
        for (size_t i = 0; i < plan->count; i++)
                describe(p, &plan->operations[i]);
        for (int known = 1; known >= 0; known--) {
                for (size_t i = 0; i < plan->count; i++) {
                        struct gpt_operation *o = &plan->operations[i];
                        bool is_known = o->after.start > 0 && o->after.size > 0;
                        bool now = known_first ? is_known == known : known;

                        if (place_if(p, o, now, first < 0 ? NULL : err) < 0)
                                first = -ENOSPC;
                }
        }
        return first;
}

static int place_in_some_order(struct planner *p, struct error *err)
{
        return place_all(p, false, NULL) < 0 ? place_all(p, true, err) : 0;
}

/* A configuration that has been carried out fits its disk also when that has grown since. */
static void settle(struct planner *p)
{
        p->last = p->table->old_last;
        (void)place_in_some_order(p, NULL);
        for (size_t i = 0; i < p->plan->count; i++) {
                struct gpt_operation *o = &p->plan->operations[i];

                o->settled = o->before.number != 0 && o->after.start == o->before.start &&
                             o->after.size == o->before.size;
        }
}

static int assign_places(struct planner *p, struct error *err)
{
        if (p->table->old_last > 0)
                settle(p);
        p->last = p->table->last;
        return place_in_some_order(p, err);
}

/* ---- actions ---- */

static bool text_matches(const char *wanted, const char *found)
{
        return string_is_empty(wanted) || strcasecmp(wanted, found) == 0;
}

/* Everything but the size. */
static bool matches_but_size(const struct gpt_operation *o, struct error *err)
{
        const struct partition *w = o->wanted;
        const struct gpt_entry *e = &o->before;

        if (o->after.start != e->start)
                error_set(err, -EEXIST,
                          "starting sector did not match (specified %" PRIu64 ", got %" PRIu64 ")",
                          o->after.start, e->start);
        else if (!text_matches(w->guid, e->guid))
                error_set(err, -EEXIST, "GUID did not match (specified \"%s\", got \"%s\")",
                          w->guid, e->guid);
        else if (!text_matches(w->type_guid, e->type))
                error_set(err, -EEXIST, "type GUID did not match (specified \"%s\", got \"%s\")",
                          w->type_guid, e->type);
        else if (w->label && !streq(w->label, e->label))
                error_set(err, -EEXIST, "label did not match (specified \"%s\", got \"%s\")",
                          w->label, e->label);
        else
                return true;
        return false;
}

static bool matches_size(const struct gpt_operation *o, struct error *err)
{
        if (o->after.size == o->before.size)
                return true;
        error_set(err, -EEXIST, "size did not match (specified %" PRIu64 ", got %" PRIu64 ")",
                  o->after.size, o->before.size);
        return false;
}

static bool rule_applies(const struct rule *rule, const struct rule *facts)
{
        return rule->exists == facts->exists && rule->should_exist == facts->should_exist &&
               (!rule->if_wipe || rule->wipe == facts->wipe) &&
               (!rule->if_match || rule->matches == facts->matches) &&
               (!rule->if_resizable || rule->resizable == facts->resizable);
}

static int refuse(struct gpt_plan *plan, const struct gpt_operation *o, struct error *err)
{
        plan->culprit = o->wanted;
        if (should_exist(o->wanted))
                return error_prefix(err, -EEXIST, "Partition %u didn't match", o->after.number);
        return error_set(err, -EEXIST,
                         "partition %u exists but is specified as nonexistent and "
                         "wipePartitionEntry is false",
                         o->after.number);
}

/* A partition that stays or is resized stays what it was in all that the wish leaves open. */
static void inherit(struct gpt_operation *o)
{
        struct gpt_entry after = o->before;

        after.size = o->after.size;
        o->after = after;
}

static int decide(struct gpt_plan *plan, struct gpt_operation *o, struct error *err)
{
        struct rule facts = {
                .exists = o->before.number != 0,
                .should_exist = should_exist(o->wanted),
                .wipe = config_is_true(&o->wanted->wipe_entry),
        };
        size_t i = 0;

        if (facts.exists && facts.should_exist) {
                bool same = matches_but_size(o, err);

                facts.matches = same && matches_size(o, err);
                facts.resizable = same && config_is_true(&o->wanted->resize);
        }
        while (!rule_applies(&rules[i], &facts))
                i++; /* the last ones apply to all that exists */
        o->action = rules[i].action;
        if (o->action == GPT_REFUSE)
                return refuse(plan, o, err);
        if (o->action == GPT_KEEP || o->action == GPT_RESIZE)
                inherit(o);
        return 0;
}

/* A partition that is there and is not what is wanted is told before one that has no room: it is
 * the nearer reason. */
static int plan_operations(struct planner *p, const struct disk *disk, struct error *err)
{
        struct error no_room = {};
        int placed, r;

        if (*p->table->foreign)
                return error_set(err, -EMEDIUMTYPE,
                                 "the disk has a partition table that is not GPT (%s)",
                                 p->table->foreign);
        list_wishes(disk, p->plan);
        r = assign_numbers(p, err);
        if (r < 0)
                return r;
        placed = assign_places(p, &no_room);
        for (size_t i = 0; r >= 0 && i < p->plan->count; i++)
                r = decide(p->plan, &p->plan->operations[i], err);
        if (r >= 0 && placed < 0)
                *err = no_room;
        return r < 0 ? r : placed;
}

/* sgdisk's grain: 1 MiB, halved until all starts of the table are multiples (also of partitions
 * that will be deleted), but not below 8 sectors on disks that are likely to have sectors of 4 KiB
 * inside. */
static uint64_t grain(const struct gpt_table *t)
{
        enum { LARGE_DISK_SECTORS = 585937500, LARGE_DISK_GRAIN = 8 };
        uint64_t sectors = MAX(MIB / t->sector_size, 1ULL);

        for (size_t i = 0; i < t->count; i++)
                while (t->entries[i].start % sectors != 0)
                        sectors /= 2;
        return t->disk_sectors >= LARGE_DISK_SECTORS ? MAX(sectors, (uint64_t)LARGE_DISK_GRAIN)
                                                     : sectors;
}

static void empty_table(const struct gpt_table *table, struct gpt_table *ret)
{
        *ret = (struct gpt_table){
                .exists = table->exists,
                .sector_size = table->sector_size,
                .first = table->new_first,
                .last = table->new_last,
                .disk_sectors = table->disk_sectors,
        };
}

int gpt_plan(const struct disk *disk, const struct gpt_table *table, struct gpt_plan *ret,
             struct error *err)
{
        _cleanup_free_ struct gpt_table *empty = calloc(1, sizeof(*empty));
        _cleanup_free_ struct gpt_entry *occupied = NULL;
        _cleanup_gpt_plan_ struct gpt_plan plan = {
                .wipe_table = config_is_true(&disk->wipe_table),
        };
        struct planner p = { .table = table, .plan = &plan };
        int r;

        occupied = calloc(disk->partitions.count + GPT_ENTRIES_MAX, sizeof(*occupied));
        plan.operations = calloc(disk->partitions.count + 1, sizeof(*plan.operations));
        if (!empty || !occupied || !plan.operations)
                return error_oom(err);
        if (plan.wipe_table) {
                empty_table(table, empty);
                p.table = empty;
        }
        p.occupied = occupied;
        p.grain = grain(p.table);
        r = plan_operations(&p, disk, err);
        ret->culprit = plan.culprit;
        if (r < 0)
                return r;
        plan.wipe_table |= !table->exists && gpt_plan_changes(&plan);
        *ret = TAKE_STRUCT(plan);
        return 0;
}
