/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Whether an image fits a platform: what that would refuse, and what would not work there, found
 * before anything is uploaded. A platform is one file that ends with its table, and one row in
 * fit.c. */

#include "compose.h"

enum fit_state {
        FIT_HOLDS,
        FIT_WARNING, /* it runs, but something is missing */
        FIT_REFUSED, /* it is not taken, does not boot, or cannot be reached */
        _FIT_STATE_MAX
};
extern const char *const fit_state_names[_FIT_STATE_MAX]; /* "ok", "warning", "refused" */

struct fit_subject { /* what is judged */
        const struct manifest *m;
        const struct composition *c; /* planned or built */
        struct content_store store;
};

struct fit_check {
        const char *name;
        enum fit_state failing; /* what it is when it does not hold */
        /* 1: it holds, 0: it does not, negative: it could not be found out. May say more than
         * `reason` does. */
        int (*holds)(const struct fit_subject *s, const char *argument, struct buffer *more,
                     struct error *err);
        const char *argument;
        const char *reason; /* what it is good for */
};

struct fit_platform {
        const char *name;               /* as Ignition calls it */
        const struct fit_check *checks; /* ends with an empty row */
};

/* NULL: there is no such platform. */
const struct fit_platform *fit_platform(const char *name);

/* Judges by one row; *ret_text, which the caller frees, is one line. */
int fit_judge(const struct fit_check *check, const struct fit_subject *s, enum fit_state *ret,
              char **ret_text, struct error *err) _must_check_;

/* For tables: what many platforms ask for. */
int fit_has_file(const struct fit_subject *s, const char *path, struct buffer *more,
                 struct error *err);
int fit_has_module(const struct fit_subject *s, const char *name, struct buffer *more,
                   struct error *err);
int fit_has_initrd_module(const struct fit_subject *s, const char *name, struct buffer *more,
                          struct error *err);
int fit_has_kernel_option(const struct fit_subject *s, const char *word, struct buffer *more,
                          struct error *err);
int fit_has_unit(const struct fit_subject *s, const char *name, struct buffer *more,
                 struct error *err);
int fit_has_kernel_config(const struct fit_subject *s, const char *fragment, struct buffer *more,
                          struct error *err);

extern const struct fit_platform fit_azure;
