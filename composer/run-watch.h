/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Runs QEMU and looks at what the guest's console prints meanwhile: a provisioning that failed says
 * so there, and nothing else tells the builder's machine. */

#include "error.h"

enum { WATCH_LINE_MAX = 256, WATCH_STAGE_MAX = 32 };

struct watch {
        int read_fd, write_fd; /* QEMU, who inherits it, writes the console's text there, too */
        char line[WATCH_LINE_MAX];
        size_t size;
        char stage[WATCH_STAGE_MAX]; /* that failed last; "": none */
};
#define WATCH_NULL                                                                                 \
        {                                                                                          \
                .read_fd = -1, .write_fd = -1                                                      \
        }

int watch_open(struct watch *ret, struct error *err) _must_check_;
void watch_done(struct watch *w);
#define _cleanup_watch_ _cleanup_(watch_done)

/* Takes what the console printed, in pieces of any size. */
void watch_feed(struct watch *w, const char *text, size_t size);

/* Runs the command until it ends; SIGINT, SIGTERM and SIGHUP are passed on to it. Returns its exit
 * status, dies by the signal it died by; a failed provisioning is an error. */
int watch_run(struct watch *w, char *const argv[], struct error *err) _must_check_;
