/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What stage.c (which objects, and their trees), stage-signature.c, stage-scan.c (which blocks are
 * here), stage-patch.c (kernel modules) and stage-fetch.c (the others) share: an object, that is
 * the slot's image or the UKI. */

#include "stage.h"

/* Where blocks may come from. */
struct stage_origin {
        const struct stage_source *source;
        struct block_index *index;
        bool promised; /* a dry run: what the tree says will be there */
};

struct stage_object {
        struct stage *stage;
        enum stage_object_kind kind;
        const char *file;      /* its name on the site */
        uint64_t size;         /* bytes; the last block may be a part */
        struct hash_tree tree; /* of what is wanted */
        struct stage_origin *origins;
        size_t n_origins;
        uint64_t *missing; /* one bit a block */
        uint64_t done;     /* bytes that are as they should be */
        bool dry;
};

/* The target's bytes; of a file that ends before, *ret_size tells how many there are. */
int stage_object_read(const struct stage_object *o, uint64_t offset, void *data, uint64_t size,
                      size_t *ret_size, struct error *err) _must_check_;
int stage_object_write(const struct stage_object *o, uint64_t offset, const void *data,
                       uint64_t size, struct error *err) _must_check_;
void stage_object_progress(struct stage_object *o, uint64_t blocks);

static inline struct stage_count *stage_object_count(const struct stage_object *o)
{
        return &o->stage->counts[o->kind];
}

static inline bool stage_missing(const struct stage_object *o, uint64_t block)
{
        return o->missing[block / 64] >> (block % 64) & 1;
}

static inline void stage_set_missing(struct stage_object *o, uint64_t block, bool missing)
{
        uint64_t bit = 1ULL << (block % 64);

        o->missing[block / 64] =
                missing ? o->missing[block / 64] | bit : o->missing[block / 64] & ~bit;
}

/* The slot's signature partition gets the release's, or loses the one it has. */
int stage_signature(struct stage *s, bool dry, struct error *err) _must_check_;
/* Puts in place what this machine has, and notes what is missing. */
int stage_scan(struct stage_object *o, struct error *err) _must_check_;
/* Makes of what is missing what can be made of the kernel modules that run. */
int stage_patch(struct stage_object *o, struct error *err) _must_check_;
/* Gets what is missing. */
int stage_fetch(struct stage_object *o, struct error *err) _must_check_;
/* The address of a file in a directory ("images/…/") of the site; caller frees. */
char *stage_url(const struct stage *s, const char *directory, const char *file) _must_check_;
/* A small file as a whole, into memory; checked. */
int stage_fetch_file(struct stage *s, const struct sha256 *digest, const char *file, void *data,
                     uint64_t size, struct error *err) _must_check_;
/* A tree as a whole, into a file of its own that has no name; checked. */
int stage_fetch_tree(struct stage *s, const struct sha256 *root_hash, const char *file,
                     uint64_t data_size, struct hash_tree *ret, struct error *err) _must_check_;
