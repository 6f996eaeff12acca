/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The identity of a build's inputs, and the receipt that lets an unchanged build stop early. */

#include "compose.h"
#include "io.h"

/* sha256 over everything a build depends on: this program, manifest and layers with all their
 * files, programs for the image, packages, id allocations, epoch, base (zeros: none), and the
 * public half of what signs. */
int inputs_key(const struct workdir *w, const struct manifest *m,
               const struct package_set *packages, const struct lock *lock, uint64_t epoch,
               const struct sha256 *base, const struct signers *signers, struct sha256 *ret,
               struct error *err) _must_check_;

/* Fills c from the receipt in the output directory when it is for c->key and every artifact is
 * there as it was written; c->unchanged says so. A missing or foreign receipt is no error. */
int receipt_check(int output_fd, struct composition *c, struct error *err) _must_check_;
/* Makes the receipt's draft, with room for what will stand there: before anything is published, so
 * that a full disk shows before. */
int receipt_draft(int output_fd, const struct composition *c, struct draft *ret,
                  struct error *err) _must_check_;
/* Says in it how the published artifacts look, and publishes it, durably. */
int receipt_publish(struct draft *d, const struct composition *c, struct error *err) _must_check_;
