/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the files of the pipeline share: one run of it. compose.c has the line of steps; which
 * packages there are, and their trees, is in compose-packages.c; what goes onto the ESP, and the
 * disk around it, is in compose-boot.c; what appears in the output directory in compose-output.c.
 */

#include "background.h"
#include "compose.h"
#include "image-commit.h"
#include "io.h"
#include "layout.h"
#include "output.h"
#include "shim.h"
#include "sign-request.h"

enum { DRAFTS_MAX = 16 };

/* One run: the inputs, the result so far, and files not yet published. */
struct run {
        const struct workdir *w;
        const struct manifest *m;
        const struct compose_options *options;
        struct signers signers;
        struct sign_requests requests; /* of them; empty when the keys sign */
        struct composition *c;
        struct draft drafts[DRAFTS_MAX];
        const struct output_ops *formats[DRAFTS_MAX]; /* what a draft is made from the disk by */
        size_t n_drafts;
        const struct draft *disk, *uki; /* among the drafts */
        struct partition esp;           /* of the layout, whose sizes are not settled yet */
        int initrd_fd;                  /* memory; -1: there is none yet, or no more */
        char *boot_loader;              /* its bytes */
        size_t boot_loader_size;
        char *uki_image; /* the UKI's bytes, until their digests are known: */
        struct sha256 uki_digest, uki_root_hash;
        struct shim shim;               /* NULLs: none */
        struct image_settings settings; /* complete */
        struct extent_cache *cache;     /* NULL: nothing is compressed */
        struct erofs_image *image;
        struct sha256 base;   /* commit; zeros: none */
        struct buffer layout; /* of an image that lies like the base */
        struct block_digests usr_digests;
        struct known_blocks usr; /* on the disk */
        struct lock lock;
        bool found;                 /* c->packages are known */
        struct background *servers; /* are being asked; NULL: nobody asks */
        struct workdir asking;      /* ours, without progress */
        struct package_set news;    /* what they say */
        struct package_trees trees; /* from import to merge */
        bool transaction;           /* of imports is still open */
        struct sha256 root;         /* identity of the committed tree */
        struct release_layout minimum;
        char *signature; /* the text in USR-VERITY-SIG; NULL: unsigned */
};

/* An artifact to be published at the end; *ret is valid until then. */
int compose_draft_output(struct run *run, const char *suffix, struct draft **ret,
                         struct error *err) _must_check_;

/* compose-packages.c: the set of packages, downloaded, and imported. */
int compose_step_resolve(struct run *run, struct error *err) _must_check_;
int compose_step_fetch(struct run *run, struct error *err) _must_check_;
int compose_step_import(struct run *run, struct error *err) _must_check_;
/* Waits for what the servers say. 1: other packages than expected, so these steps are to be done
 * again; 0: there is no news. */
int compose_hear_servers(struct run *run, struct error *err) _must_check_;
void compose_ignore_servers(struct run *run);
void artifacts_done(struct artifacts *a);

/* compose-boot.c: UKI and boot loader, signed where the manifest wants that; the disk. First what
 * must be known before the image is written, then what is made beside it: the UKI, once there is an
 * initrd, and the ESP. */
int compose_begin_boot(struct run *run, struct error *err) _must_check_;
int compose_prepare_uki(struct run *run, struct error *err) _must_check_;
int compose_prepare_esp(struct run *run, struct error *err) _must_check_;
/* What waited for the root hash. */
int compose_step_uki(struct run *run, struct error *err) _must_check_;
int compose_step_disk(struct run *run, struct error *err) _must_check_;
/* Leaves behind what the signatures that are missing are of; the image is not finished then. */
int compose_leave_requests(struct run *run, struct error *err) _must_check_;

/* compose-output.c: every artifact as it will be, and all of them published together. */
int compose_step_output(struct run *run, struct error *err) _must_check_;
