/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Staging: the idle slot and a new UKI become those of a release, block by block. For each block
 * that the hash tree wants, in this order: it is there already (so an interrupted run goes on where
 * it was without having noted anything), it is zeros, the running release has it, it is made of a
 * kernel module of that and a patch, or it is fetched. Each is checked before it is written, and
 * nothing that boots is touched.
 *
 * Images are worked through in windows, so memory does not grow with them. */

#include "fetch.h"
#include "hash-tree.h"
#include "keyring.h"
#include "release.h"
#include "store.h"

enum { STAGE_WINDOW = 16 * 1024 * 1024, STAGE_GAP_DEFAULT = 16 * 1024 };

/* Blocks that are on this machine: an image (or UKI) and its tree. */
struct stage_source {
        int fd; /* borrowed, as the tree's */
        uint64_t offset, size;
        struct hash_tree tree;
};

/* What of a slot's signature partition an update writes: the text, and zeros behind it, so that
 * nothing is left of one that was longer. */
enum { STAGE_SIGNATURE_SIZE = RELEASE_SIGNATURE_MAX };

enum stage_object_kind { STAGE_TREE, STAGE_USR, STAGE_UKI, _STAGE_OBJECT_MAX };

struct stage_count {
        uint64_t blocks, present, zero, reused, patched, missing; /* of which blocks is the sum */
        uint64_t ranges;      /* requests: none is for more than FETCH_RANGE_MAX */
        uint64_t fetch_bytes; /* with what lies between blocks and is fetched along, and patches */
};

struct stage {
        const char *site; /* URL of the site */
        const struct release *release;
        struct store *store;
        struct fetcher *fetcher;
        const struct stage_source *usr_sources, *uki_sources;
        size_t n_usr_sources, n_uki_sources;
        const char *uki_name;       /* temporary name in EFI/Linux */
        const char *modules;        /* directory of the running kernel's modules, and … */
        const struct keyring *keys; /* … whose patches are taken; NULL: none are asked for */
        uint64_t gap;               /* between missing blocks that is fetched along, bytes */
        void (*progress)(void *userdata, enum stage_object_kind object, uint64_t done,
                         uint64_t total);
        void *userdata;
        struct stage_count counts[_STAGE_OBJECT_MAX]; /* filled in; STAGE_TREE: the trees' and the
                                                       * signature's requests and bytes, too */
};

/* The dry run: trees and patches alone are fetched (into memory or a temporary file), nothing is
 * written. */
int stage_plan(struct stage *s, struct error *err) _must_check_;
/* Afterwards the slot, its tree and the UKI's temporary file hold the release, synced. */
int stage_run(struct stage *s, struct error *err) _must_check_;
