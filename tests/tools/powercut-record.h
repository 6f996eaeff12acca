/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What an update changed, event by event, and what of it is there when the power was cut. */

#include "store.h"

#include "powercut-world.h"

enum { ATOMS_MAX = 512, RENAME_WAYS = 6 };

/* ---- what was noted ---- */

enum atom_kind {
        ATOM_WRITE,
        ATOM_FILE,
        ATOM_CREATE,
        ATOM_RENAME,
        ATOM_REMOVE,
        BARRIER_TARGET,
        BARRIER_FILE,
        BARRIER_NAMES,
};

struct atom {
        enum atom_kind kind;
        enum store_target target;
        unsigned file;
        uint64_t offset, size; /* on the disk, in the file */
        uint8_t *data;
        char name[WORLD_NAME], to[WORLD_NAME];
};

struct record {
        struct world now; /* with everything done */
        const struct store *store;
        bool used[WORLD_FILES]; /* files that had a name at any time */
        struct atom atoms[ATOMS_MAX];
        size_t count;
};

static inline void record_done(struct record *r)
{
        for (size_t i = 0; i < r->count; i++)
                free(r->atoms[i].data);
}

static inline void record_free_p(struct record **r)
{
        if (*r)
                record_done(*r);
        free(*r);
}

static inline struct record *record_new(const struct world *w)
{
        struct record *r = calloc(1, sizeof(*r));

        assert(r);
        r->now = *w;
        for (size_t i = 0; i < WORLD_FILES; i++)
                if (*w->names[i].text)
                        r->used[w->names[i].file] = true;
        r->used[EMPTY_FILE] = true;
        return r;
}

/* How much of an atom is there after the cut. */
struct choice {
        unsigned way;  /* 0: nothing, 1: all; of names also others, see apply_rename() */
        unsigned unit; /* of a torn write, bytes; 0: it is not torn */
        uint64_t mask; /* which units are there (bit i % 64) */
        bool zeros;    /* what is not there reads as zeros */
};

static const struct choice nothing = { 0 }, all = { .way = 1 };

static inline void apply_bytes(uint8_t *at, const struct atom *a, struct choice c)
{
        if (c.unit == 0 && c.way == 1)
                memcpy(at, a->data, a->size);
        else if (c.unit == 0 && c.zeros)
                memset(at, 0, a->size);
        for (uint64_t i = 0; c.unit > 0 && i * c.unit < a->size; i++) {
                uint64_t size = MIN(a->size - i * c.unit, (uint64_t)c.unit);

                if (c.mask >> i % 64 & 1)
                        memcpy(at + i * c.unit, a->data + i * c.unit, size);
                else if (c.zeros)
                        memset(at + i * c.unit, 0, size);
        }
}

static inline void apply_file(struct world *w, const struct atom *a, struct choice c)
{
        struct world_file *file = &w->files[a->file];

        apply_bytes(file->data + a->offset, a, c);
        if (c.way == 1 || c.unit > 0 || c.zeros)
                file->size = MAX(file->size, a->offset + a->size);
}

/* Not done, done, both names, neither, the new one still without its file, with the old one or not.
 */
static inline void apply_rename(struct world *w, const struct atom *a, struct choice c)
{
        struct world_name *from = world_find(w, a->name);
        unsigned file;

        if (!from || c.way == 0)
                return;
        file = from->file;
        if (c.way == 1 || c.way == 3 || c.way == 4)
                world_unname(w, a->name);
        if (c.way == 1 || c.way == 2)
                world_name(w, a->to, file);
        if (c.way == 4 || c.way == 5)
                world_name(w, a->to, EMPTY_FILE);
}

static inline void apply(struct world *w, const struct atom *a, struct choice c)
{
        switch (a->kind) {
        case ATOM_WRITE: apply_bytes(w->disk + a->offset, a, c); break;
        case ATOM_FILE: apply_file(w, a, c); break;
        case ATOM_RENAME: apply_rename(w, a, c); break;
        case ATOM_CREATE:
                if (c.way)
                        world_name(w, a->name, a->file);
                break;
        case ATOM_REMOVE:
                if (c.way)
                        world_unname(w, a->name);
                break;
        default: break;
        }
}

static inline bool covers(const struct atom *barrier, const struct atom *a)
{
        switch (barrier->kind) {
        case BARRIER_TARGET: return a->kind == ATOM_WRITE && a->target == barrier->target;
        case BARRIER_FILE: return a->kind == ATOM_FILE && a->file == barrier->file;
        case BARRIER_NAMES:
                return a->kind == ATOM_CREATE || a->kind == ATOM_RENAME || a->kind == ATOM_REMOVE;
        default: return false;
        }
}

/* ---- noting ---- */

static inline struct atom *add(struct record *r, enum atom_kind kind,
                               const struct store_event *event)
{
        struct atom *a = &r->atoms[r->count++];

        assert(r->count <= ATOMS_MAX);
        *a = (struct atom){
                .kind = kind, .target = event->target, .offset = event->offset, .size = event->size
        };
        snprintf(a->name, sizeof(a->name), "%s", event->name ?: "");
        snprintf(a->to, sizeof(a->to), "%s", event->to ?: "");
        if (event->data) {
                a->data = malloc(event->size);
                assert(a->data);
                memcpy(a->data, event->data, event->size);
        }
        return a;
}

/* The file of that name, which is made where there is none. */
static inline unsigned file_of(struct record *r, const struct store_event *event)
{
        struct world_name *name = world_find(&r->now, event->name);
        struct store_event create = { .name = event->name };
        struct atom *a;

        if (name)
                return name->file;
        a = add(r, ATOM_CREATE, &create);
        while (r->used[a->file])
                a->file++;
        r->used[a->file] = true;
        r->now.files[a->file].size = 0;
        apply(&r->now, a, all);
        return a->file;
}

static inline int observe(void *userdata, const struct store_event *event,
                          struct error *err _unused_)
{
        static const enum atom_kind kinds[] = {
                [STORE_WRITE] = ATOM_WRITE,         [STORE_FLUSH] = BARRIER_TARGET,
                [STORE_FILE_WRITE] = ATOM_FILE,     [STORE_FILE_SYNC] = BARRIER_FILE,
                [STORE_FILE_RENAME] = ATOM_RENAME,  [STORE_FILE_REMOVE] = ATOM_REMOVE,
                [STORE_NAMES_SYNC] = BARRIER_NAMES,
        };
        enum atom_kind kind = kinds[event->operation];
        struct record *r = userdata;
        unsigned file = kind == ATOM_FILE || kind == BARRIER_FILE ? file_of(r, event) : 0;
        struct atom *a = add(r, kind, event);

        a->file = file;
        if (kind == ATOM_WRITE)
                a->offset += r->store->targets[event->target].offset;
        apply(&r->now, a, all);
        return 0;
}
