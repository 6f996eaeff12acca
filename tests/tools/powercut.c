/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* powercut: a small disk with two slots and an ESP is updated by the real code, which changes it
 * through update/store alone; an observer notes each write, barrier and name. Then the power is
 * cut: before and after each of them, with each combination of what was not yet safe, whole, torn
 * at 512 or 4096 bytes, or not there at all; names half renamed, files with zeros in them. Each
 * disk that this makes must boot, the old release or the new one, without starting anything that is
 * damaged; and where it boots the old one, the same update again must lead to the new one, cut
 * again or not.
 *
 * --break=NAME leaves a barrier out of what was noted, or moves the entry forward: the proof must
 * then find disks that do not boot, else it would prove nothing. */

#include <argp.h>

#include "powercut-machine.h"
#include "powercut-record.h"

enum {
        PENDING_MAX = 128,
        SEEN_BITS = 22,
        COMPLAINTS_MAX = 5,
        ALWAYS_REPEATED = 100, /* of a scenario, whatever --rarely says */
        NESTED_EVERY = 40,     /* of the repeated updates, so many-th is cut itself */
        NESTED_BOUND = 8,      /* combinations at each of its points */
};

/* ---- the search ---- */

struct search {
        const char *directory, *breakage;
        uint64_t bound;  /* combinations at one point */
        uint64_t rarely; /* of the disks that run the old release, so many-th is updated again */
        uint64_t again;
        const struct sample *samples[RELEASES + 1];
        action_fn action;
        const struct sample *old, *next, *later; /* later: what a repeated run goes to */
        const struct sample *also;               /* boots before anything is done; or NULL */
        const char *scenario;
        uint64_t *seen, random;
        uint64_t states, repeats, nested, lost, partly, complaints;
};

static uint64_t random_next(struct search *s)
{
        s->random ^= s->random << 13;
        s->random ^= s->random >> 7;
        s->random ^= s->random << 17;
        return s->random;
}

/* Whether this world is a new one. */
static bool note(struct search *s, const struct world *w)
{
        uint64_t hash = (world_hash(w) ^ (uint64_t)(uintptr_t)s->scenario) | 1, i = hash >> 8;

        for (;; i++) {
                uint64_t *place = &s->seen[i & ((1ULL << SEEN_BITS) - 1)];

                if (*place == hash)
                        return false;
                if (*place == 0) {
                        *place = hash;
                        s->states++;
                        assert(s->states < 1ULL << (SEEN_BITS - 1));
                        return true;
                }
        }
}

static void complain(struct search *s, size_t at, const char *what, const char *why)
{
        if (s->complaints++ < COMPLAINTS_MAX)
                printf("%s: cut after %zu events: %s%s\n", s->scenario, at, what, why);
}

static void explore(struct search *s, const struct world *start, const struct sample *running,
                    const struct sample *next, unsigned depth);

/* Runs the action from there; *ret_record (may be NULL) gets what was noted. */
static int act(struct search *s, const struct world *from, const struct sample *running,
               const struct sample *next, struct world *ret, struct record **ret_record,
               struct error *err)
{
        _cleanup_(machine_done) struct machine m;
        int r = machine_init(&m, from, s->directory, err);

        if (ret_record) {
                *ret_record = record_new(from);
                (*ret_record)->store = &m.store;
                m.store.observe = observe;
                m.store.userdata = *ret_record;
        }
        if (r >= 0)
                r = s->action(&m, running, next, err);
        machine_read(&m, ret);
        return r;
}

/* An ESP that is not mounted with dirsync can lose both names of a rename. A release that is staged
 * gets another one; one that is rolled back to does not, so that is not for repeating. */
static bool lost(const struct search *s, const struct world *w)
{
        for (size_t i = 0; i < WORLD_FILES; i++) {
                struct boot_entry e;

                if (boot_entry_parse(w->names[i].text, &e) == 0 &&
                    streq(e.version, s->later->version) && w->files[w->names[i].file].size > 0)
                        return false;
        }
        return s->action == roll_back;
}

/* The update once more, where the power was cut. */
static void repeat(struct search *s, const struct world *w, size_t at)
{
        struct world *after = malloc(sizeof(*after));
        struct error err = {};
        struct boot boot;

        assert(after);
        s->repeats++;
        if (act(s, w, s->old, s->later, after, NULL, &err) < 0) {
                complain(s, at, "cannot be repeated: ", err.message);
        } else {
                boot = boot_world(after, s->samples, NULL);
                if (boot.started != s->later || boot.defect)
                        complain(s, at, "repeated, it boots ",
                                 boot.defect
                                         ?: boot.started ? "something else"
                                                         : "nothing");
        }
        free(after);
}

static void judge(struct search *s, const struct world *w, size_t at, unsigned depth)
{
        struct boot boot;

        if ((s->breakage && s->complaints > 0) || !note(s, w))
                return;
        boot = boot_world(w, s->samples, NULL);
        if (boot.defect)
                complain(s, at, "started: ", boot.defect);
        else if (!boot.started)
                complain(s, at, "nothing boots", "");
        else if (boot.started != s->old && boot.started != s->next && boot.started != s->later &&
                 boot.started != s->also)
                complain(s, at, "another release boots: ", boot.started->version);
        else if (boot.started == s->old && lost(s, w))
                s->lost++;
        else if (boot.started == s->old && ++s->again > ALWAYS_REPEATED &&
                 s->again % s->rarely != 0)
                return;
        else if (boot.started == s->old && depth == 0 && s->repeats % NESTED_EVERY == 7) {
                s->repeats++;
                s->nested++;
                explore(s, w, s->old, s->later, depth + 1);
        } else if (boot.started == s->old)
                repeat(s, w, at);
}

static unsigned ways(const struct atom *a)
{
        return a->kind == ATOM_RENAME ? RENAME_WAYS : a->kind == ATOM_FILE ? 3 : 2;
}

static struct choice choice_of(const struct atom *a, unsigned way)
{
        if (a->kind == ATOM_FILE && way == 2)
                return (struct choice){ .zeros = true };
        return (struct choice){ .way = way };
}

static struct choice choose(struct search *s, const struct atom *a)
{
        uint64_t n = random_next(s);

        if ((a->kind == ATOM_WRITE || a->kind == ATOM_FILE) && n % 8 == 0)
                return (struct choice){ .unit = n & 64 ? 512 : 4096,
                                        .mask = random_next(s),
                                        .zeros = a->kind == ATOM_FILE && n & 128 };
        return choice_of(a, (unsigned)((n >> 16) % ways(a)));
}

/* A point in time: what is safe, and what may be there or not. */
struct point {
        struct world *safe;
        const struct atom *pending[PENDING_MAX];
        size_t count, at;
        unsigned depth;
};

static void try(struct search *s, const struct point *p, const struct choice *choices)
{
        struct world *w = malloc(sizeof(*w));

        assert(w);
        *w = *p->safe;
        for (size_t i = 0; i < p->count; i++)
                apply(w, p->pending[i], choices[i]);
        judge(s, w, p->at, p->depth);
        free(w);
}

/* All combinations, where there are few; else nothing, everything, and some. */
static void try_combinations(struct search *s, const struct point *p, uint64_t bound)
{
        struct choice choices[PENDING_MAX];
        uint64_t product = 1;

        for (size_t i = 0; i < p->count && product <= bound; i++)
                product *= ways(p->pending[i]);
        s->partly += product > bound && p->depth == 0;
        for (uint64_t n = 0; n < MIN(product, bound); n++) {
                uint64_t rest = n;

                for (size_t i = 0; i < p->count; i++) {
                        const struct atom *a = p->pending[i];

                        if (product <= bound) {
                                choices[i] = choice_of(a, (unsigned)(rest % ways(a)));
                                rest /= ways(a);
                        } else {
                                choices[i] = n == 0 ? nothing : n == 1 ? all : choose(s, a);
                        }
                }
                try(s, p, choices);
        }
}

/* The newest write in pieces: its beginning, its end, any of its sectors. */
static void try_torn(struct search *s, const struct point *p, uint64_t bound)
{
        const struct atom *a = p->count > 0 ? p->pending[p->count - 1] : NULL;
        struct choice choices[PENDING_MAX];

        if (!a || (a->kind != ATOM_WRITE && a->kind != ATOM_FILE))
                return;
        for (unsigned unit = 512; unit <= 4096; unit *= 8)
                for (uint64_t n = 0; n < MIN(bound, 3 * DIV_ROUND_UP(a->size, unit)); n++) {
                        uint64_t some = random_next(s), low = (1ULL << (n / 3) % 63 << 1) - 1;

                        for (size_t i = 0; i + 1 < p->count; i++)
                                choices[i] = some & 1 ? all : choose(s, p->pending[i]);
                        choices[p->count - 1] = (struct choice){
                                .unit = unit,
                                .mask = n % 3 == 0   ? low
                                        : n % 3 == 1 ? ~low
                                                     : random_next(s),
                                .zeros = a->kind == ATOM_FILE && some & 2,
                        };
                        try(s, p, choices);
                }
}

static void pass_barrier(struct point *p, const struct atom *barrier)
{
        size_t kept = 0;

        for (size_t i = 0; i < p->count; i++)
                if (covers(barrier, p->pending[i]))
                        apply(p->safe, p->pending[i], all);
                else
                        p->pending[kept++] = p->pending[i];
        p->count = kept;
}

static void cut_everywhere(struct search *s, const struct world *start, const struct record *record,
                           unsigned depth)
{
        uint64_t bound = depth > 0 ? NESTED_BOUND : s->bound;
        struct point p = { .safe = malloc(sizeof(*p.safe)), .depth = depth };

        assert(p.safe);
        *p.safe = *start;
        for (; p.at <= record->count; p.at++) {
                const struct atom *a = &record->atoms[p.at];

                try_combinations(s, &p, bound);
                try_torn(s, &p, bound);
                if (p.at == record->count)
                        break;
                if (a->kind >= BARRIER_TARGET)
                        pass_barrier(&p, a);
                else
                        p.pending[p.count++] = a;
                assert(p.count < PENDING_MAX);
        }
        free(p.safe);
}

/* ---- what must go wrong ---- */

static bool drop_barriers(const struct atom *a)
{
        return a->kind >= BARRIER_TARGET;
}

static bool drop_table(const struct atom *a)
{
        return a->kind == BARRIER_TARGET && a->target == STORE_TABLE;
}

static bool drop_slot(const struct atom *a)
{
        return a->kind == BARRIER_TARGET && a->target != STORE_TABLE;
}

static bool drop_file(const struct atom *a)
{
        return a->kind == BARRIER_FILE;
}

static bool drop_names(const struct atom *a)
{
        return a->kind == BARRIER_NAMES;
}

static const struct {
        const char *name;
        bool (*drops)(const struct atom *a); /* NULL: the entry gets its name too early */
} breakages[] = {
        { "no-sync", drop_barriers },    { "table-order", drop_table },
        { "no-slot-sync", drop_slot },   { "no-uki-sync", drop_file },
        { "no-names-sync", drop_names }, { "entry-first", NULL },
};

static void drop(struct record *r, bool (*drops)(const struct atom *a))
{
        size_t kept = 0;

        for (size_t i = 0; i < r->count; i++) {
                if (drops(&r->atoms[i]))
                        free(r->atoms[i].data);
                else
                        r->atoms[kept++] = r->atoms[i];
        }
        r->count = kept;
}

/* The UKI's name, and the barrier behind it, move before the table's last change. */
static void move_entry(struct record *r)
{
        struct atom moved[2];
        size_t from = r->count, to = 0;

        for (size_t i = 0; i < r->count; i++) {
                if (r->atoms[i].kind == BARRIER_FILE)
                        to = i + 1;
                if (r->atoms[i].kind == ATOM_RENAME &&
                    endswith(r->atoms[i].name, FINALIZE_STAGED_SUFFIX))
                        from = i;
        }
        if (to == 0 || from + 1 >= r->count || from <= to)
                return;
        memcpy(moved, &r->atoms[from], sizeof(moved));
        memmove(&r->atoms[to + 2], &r->atoms[to], (from - to) * sizeof(*moved));
        memcpy(&r->atoms[to], moved, sizeof(moved));
}

static void break_record(const struct search *s, struct record *r)
{
        for (size_t i = 0; s->breakage && i < ARRAY_SIZE(breakages); i++) {
                if (!streq(breakages[i].name, s->breakage))
                        continue;
                if (breakages[i].drops)
                        drop(r, breakages[i].drops);
                else
                        move_entry(r);
        }
}

static void explore(struct search *s, const struct world *start, const struct sample *running,
                    const struct sample *next, unsigned depth)
{
        _cleanup_(record_free_p) struct record *record = NULL;
        struct world *after = malloc(sizeof(*after));
        struct error err = {};
        struct boot boot;

        assert(after);
        if (act(s, start, running, next, after, &record, &err) < 0) {
                complain(s, 0, "cannot be done: ", err.message);
        } else {
                boot = boot_world(after, s->samples, NULL);
                if (boot.started != next || boot.failed > 0)
                        complain(s, record->count, "it does not boot", "");
                if (world_hash(after) != world_hash(&record->now))
                        complain(s, record->count, "not all of it was noted", "");
                break_record(s, record);
                cut_everywhere(s, start, record, depth);
        }
        free(after);
}

/* ---- scenarios ---- */

enum release_index { V09, V10, V20, V30, NONE };

enum preparation {
        CLEAN,
        HALF_STAGED, /* the next release's first half is in the idle slot and its file */
        TORN_BACKUP,
        TORN_PRIMARY,
};

static const struct scenario {
        const char *name;
        enum release_index running;
        const char *running_entry;
        enum release_index idle; /* in the other slot; NONE: it is empty */
        const char *idle_entry;
        enum release_index next, later;
        enum release_index also; /* boots before, too */
        action_fn action;
        enum preparation preparation;
} scenarios[] = {
        { "into an empty slot", V10, "slipway_1.0.efi", NONE, NULL, V20, V20, NONE, update, CLEAN },
        { "over an old release", V20, "slipway_2.0.efi", V10, "slipway_1.0.efi", V30, V30, NONE,
          update, CLEAN },
        { "over a release that failed", V10, "slipway_1.0.efi", V20, "slipway_2.0+0-3.efi", V30,
          V30, NONE, update, CLEAN },
        { "interrupted, then another", V10, "slipway_1.0.efi", NONE, NULL, V20, V30, NONE, update,
          CLEAN },
        { "over one that never started", V10, "slipway_1.0.efi", V20, "slipway_2.0+3.efi", V30, V30,
          V20, update, CLEAN },
        { "rollback", V20, "slipway_2.0.efi", V10, "slipway_1.0.efi", V10, V10, NONE, roll_back,
          CLEAN },
        { "rollback to a bad one", V20, "slipway_2.0.efi", V10, "slipway_1.0+0.efi", V10, V10, NONE,
          roll_back, CLEAN },
        { "forward again", V10, "slipway_1.0.efi", V20, "slipway_2.0+0.efi", V20, V20, NONE,
          roll_back, CLEAN },
        { "downgrade", V20, "slipway_2.0.efi", V10, "slipway_1.0.efi", V09, V09, NONE, update,
          CLEAN },
        { "resume", V10, "slipway_1.0.efi", NONE, NULL, V20, V20, NONE, update, HALF_STAGED },
        { "backup table torn before", V10, "slipway_1.0.efi", NONE, NULL, V20, V20, NONE, update,
          TORN_BACKUP },
        { "primary table torn before", V10, "slipway_1.0.efi", NONE, NULL, V20, V20, NONE, update,
          TORN_PRIMARY },
};

static void prepare(struct world *w, enum preparation how, const struct sample *next)
{
        enum { IDLE_USR = 312 * 512, IDLE_TREE = 504 * 512 };

        if (how == TORN_BACKUP)
                w->disk[WORLD_DISK - 512 - 16000] ^= 1;
        if (how == TORN_PRIMARY)
                w->disk[512 + 20] ^= 1;
        if (how != HALF_STAGED)
                return;
        memcpy(w->disk + IDLE_USR, next->usr, sizeof(next->usr) / 2);
        memcpy(w->disk + IDLE_TREE, next->tree, sizeof(next->tree));
        memcpy(w->files[WORLD_FILES - 2].data, next->uki, BLOCK_SIZE);
        w->files[WORLD_FILES - 2].size = BLOCK_SIZE;
        world_name(w, "slipway_2.0" FINALIZE_STAGED_SUFFIX, WORLD_FILES - 2);
}

/* What is not well goes back by itself: the new release, where it has a counter. */
static void check_fallback(struct search *s, const struct world *start)
{
        struct world *after = malloc(sizeof(*after));
        struct error err = {};
        struct boot boot;

        assert(after);
        if (act(s, start, s->old, s->next, after, NULL, &err) < 0)
                complain(s, 0, "cannot be done: ", err.message);
        boot = boot_world(after, s->samples, s->next);
        if (boot.started != s->old || boot.failed != BOOT_TRIES || boot.defect)
                complain(s, 0, "a sick release does not fall back", "");
        free(after);
}

static void run(struct search *s, const struct scenario *c, const struct world *empty)
{
        struct world *start = malloc(sizeof(*start));
        uint64_t states = s->states, repeats = s->repeats;

        assert(start);
        *start = *empty;
        s->scenario = c->name;
        s->again = 0;
        s->action = c->action;
        s->old = s->samples[c->running];
        s->next = s->samples[c->next];
        s->later = s->samples[c->later];
        s->also = c->also == NONE ? NULL : s->samples[c->also];
        install(start, s->directory, 0, s->old, c->running_entry);
        if (c->idle != NONE)
                install(start, s->directory, 1, s->samples[c->idle], c->idle_entry);
        prepare(start, c->preparation, s->next);
        explore(s, start, s->old, s->next, 0);
        if (c->action == update)
                check_fallback(s, start);
        printf("%-30s %8ju states, %7ju repeated\n", c->name, (uintmax_t)(s->states - states),
               (uintmax_t)(s->repeats - repeats));
        free(start);
}

/* ---- the program ---- */

struct arguments {
        const char *breakage;
        uint64_t bound, rarely, seed;
};

enum { KEY_BREAK = 0x100, KEY_BOUND, KEY_RARELY, KEY_SEED };

static const struct argp_option options[] = {
        { "break", KEY_BREAK, "NAME", 0, "Leave something out that makes it safe", 0 },
        { "bound", KEY_BOUND, "N", 0, "Combinations at each point (4096)", 0 },
        { "rarely", KEY_RARELY, "N", 0, "Repeat the update from each Nth disk only (1)", 0 },
        { "seed", KEY_SEED, "N", 0, "For what is tried at random", 0 },
        {},
};

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
        struct arguments *a = state->input;

        switch (key) {
        case KEY_BREAK:
                a->breakage = argument;
                for (size_t i = 0; i < ARRAY_SIZE(breakages); i++)
                        if (streq(breakages[i].name, argument))
                                return 0;
                argp_error(state, "no such break: %s", argument);
                return 0;
        case KEY_BOUND: a->bound = strtoull(argument, NULL, 10); return 0;
        case KEY_RARELY: a->rarely = MAX(strtoull(argument, NULL, 10), 1ULL); return 0;
        case KEY_SEED: a->seed = strtoull(argument, NULL, 10); return 0;
        default: return ARGP_ERR_UNKNOWN;
        }
}

static void make_samples(struct search *s)
{
        static const char *const versions[RELEASES] = { "0.9", "1.0", "2.0", "3.0" };

        for (size_t i = 0; i < RELEASES; i++)
                s->samples[i] = sample_new(versions[i]);
}

int main(int argc, char *argv[])
{
        static const struct argp argp = { options, parse_option,
                                          NULL,    "Cuts the power at every write of an update.",
                                          NULL,    NULL,
                                          NULL };
        char template[] = "/dev/shm/slipway-powercut-XXXXXX", *top = mkdtemp(template);
        struct arguments a = { .bound = 4096, .rarely = 1, .seed = 1 };
        _cleanup_free_ char *directory = NULL;
        struct world *empty = calloc(1, sizeof(*empty));
        struct search s = {};
        struct error err = {};

        argp_parse(&argp, argc, argv, 0, NULL, &a);
        directory = top ? string_format("%s/EFI", top) : NULL;
        s = (struct search){ .directory = directory,
                             .breakage = a.breakage,
                             .bound = a.bound,
                             .rarely = a.rarely,
                             .random = a.seed * 2 + 1,
                             .seen = calloc(1ULL << SEEN_BITS, sizeof(uint64_t)) };
        if (!directory || !empty || !s.seen || mkdir(directory, 0700) < 0) {
                perror("powercut");
                return 1;
        }
        make_samples(&s);
        make_disk(directory, empty);
        for (size_t i = 0; i < ARRAY_SIZE(scenarios); i++)
                run(&s, &scenarios[i], empty);
        for (size_t i = 0; i < RELEASES; i++)
                free((void *)s.samples[i]);
        free(s.seen);
        free(empty);
        if (path_remove_tree(AT_FDCWD, top, &err) < 0)
                fprintf(stderr, "powercut: %s\n", err.message);
        printf("%ju points had more combinations than the bound; %ju states had lost a name for good\n",
               (uintmax_t)s.partly, (uintmax_t)s.lost);
        printf("powercut: %ju states, %ju updates repeated (%ju of them cut again), %ju violations\n",
               (uintmax_t)s.states, (uintmax_t)s.repeats, (uintmax_t)s.nested,
               (uintmax_t)s.complaints);
        return s.complaints > 0;
}
