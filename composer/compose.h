/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The pipeline: from a manifest to finished artifacts. compose.c alone strings the steps together.
 */

#include "block-digests.h"
#include "layout.h"
#include "merge.h"
#include "pcr-policy.h"
#include "signer.h"

struct compose_options {
        bool locked;          /* use the lock file's packages and nothing else */
        enum step until;      /* the last step to run */
        uint64_t epoch;       /* SOURCE_DATE_EPOCH; 0: the newest repository metadata */
        const char *keys;     /* directory of what signs, see signer.h; NULL: nothing is signed */
        const char *requests; /* directory of what is signed elsewhere, see sign-request.h; NULL:
                                 the keys sign */
        const char *lock;     /* lock file instead of the manifest's; NULL: none */
        const char *base;     /* what the image lies like, see base_commit_find(); NULL: nothing */
};

/* A finished file in the output directory. */
struct artifact {
        char *name;
        uint64_t size;
        bool sparse; /* mostly holes, see output.h: `sha256` is that of sparse_digest() */
        struct sha256 sha256;
};

/* Computes a->sha256 of an open artifact whose name and size are set; what is known of the disk is
 * not read (NULL: nothing). On `threads` threads, 0: all CPUs. */
int artifact_digest(int fd, const struct known_blocks *known, unsigned threads, struct artifact *a,
                    struct error *err) _must_check_;

struct composition {
        struct sha256 key; /* identity of all inputs */
        bool repacked;     /* the image does not lie like the base: too much would lie idle */
        bool unchanged;    /* the output directory already held the result for this key */
        uint64_t epoch;
        struct package_set packages;
        struct merge_result merge;
        struct sha256 commit, root_hash;
        uint64_t usr_size, tree_size, initrd_size, uki_size;
        struct pcr_prediction pcr; /* of the UKI */
        struct layout layout;
        struct artifacts {
                struct artifact *items;
                size_t count;
        } artifacts;
        size_t unsigned_count;     /* signatures that are made elsewhere and not there yet: then the
                                      steps end behind the UKI, and nothing is published */
        double seconds[_STEP_MAX]; /* time of each step; not part of any artifact */
};

/* Runs the steps up to options->until. Artifacts appear in w->output_fd complete and durable or not
 * at all; the receipt that makes the next equal build a no-op is written last. */
int compose(const struct workdir *w, const struct manifest *m,
            const struct compose_options *options, struct composition *ret,
            struct error *err) _must_check_;
void composition_done(struct composition *c);
#define _cleanup_composition_ _cleanup_(composition_done)

/* "<name>_<version><suffix>"; caller frees, NULL: out of memory. */
char *artifact_name(const struct manifest *m, const char *suffix);
