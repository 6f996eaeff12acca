/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Runs another program with an argv, never through a shell. */

#include "error.h"

struct spawn_options {
        const char *const *environment; /* "K=V" list; NULL: the caller's environment */
        int stdin_fd;                   /* 0: /dev/null; else this fd */
        int stdout_fd;                  /* 0: captured; else this fd */
        int stderr_fd;                  /* 0: captured, for the message; else this fd */
        size_t output_limit;            /* captured bytes kept; 0: 1 MiB */
};

/* Runs argv[0] (searched in PATH, then in /usr/sbin) and waits. *ret_output (may be NULL) gets
 * captured stdout, NUL-terminated. A non-zero exit or a signal is -ECHILD with the last line of
 * stderr in the message. options may be NULL. */
int spawn(const char *const argv[], const struct spawn_options *options, char **ret_output,
          struct error *err) _must_check_;

/* The program's output goes where our messages do. */
extern const struct spawn_options spawn_says;

/* Between these no program is started. A child has copies of all descriptors until it becomes its
 * program, so whoever has something open that must be closed for good when it is closed (a device
 * with O_EXCL) opens, uses and closes it in between, when there are other threads. Any number of
 * threads may hold at once; one that holds may not spawn(). */
void spawn_hold(void);
void spawn_release(void);
