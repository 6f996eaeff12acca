/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One job at a time on a thread of its own, beside what its owner does: reading ahead, writing
 * behind. */

#include "error.h"

struct background;
typedef int (*background_fn)(void *job, struct error *err);

/* When no thread can be had, jobs are done by who starts them. */
int background_new(struct background **ret, struct error *err) _must_check_;
/* Waits for the job before, then starts this one: `job` stays as it is until the next start or wait
 * returns. After a job has failed none is started any more, and its error is returned. */
int background_start(struct background *b, background_fn fn, void *job,
                     struct error *err) _must_check_;
/* Waits for the job. */
int background_wait(struct background *b, struct error *err) _must_check_;
/* Waits for the job, too. */
void background_free(struct background *b);
DEFINE_CLEANUP(struct background, background_free)
