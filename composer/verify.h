/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Checks what a build left behind, link by link, and derives images from commits again. */

#include "block-digests.h"
#include "workdir.h"

/* Called after each check that held, with a sentence saying what holds. */
typedef void (*verify_said_fn)(void *userdata, const char *what);

/* A build's output directory: digests of the artifacts, partition table, hash tree against the root
 * hash, every block of the image against the tree, UKI, and the commit when the repository has it.
 * Stops at the first thing that does not hold. */
int verify_build(const struct workdir *w, const char *directory, verify_said_fn said,
                 void *userdata, struct error *err) _must_check_;

/* A commit: derives image and root hash from it and compares with its metadata. */
int verify_commit(const struct workdir *w, const char *ref_or_checksum, verify_said_fn said,
                  void *userdata, struct error *err) _must_check_;

/* The digests of the blocks of the image that a commit derives to: its hash tree's leaves. */
int verify_leaves(const struct workdir *w, const struct sha256 *commit, struct block_digests *ret,
                  struct error *err) _must_check_;
