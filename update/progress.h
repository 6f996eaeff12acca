/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Where progress is told: to the service manager (STATUS=), and to whoever started this program and
 * gave it a pipe, as lines "<phase> <done> <total>" of names and bytes. */

#include "upgrade.h"

struct progress {
        int fd; /* pipe; -1: none */
        enum upgrade_phase phase;
        unsigned percent; /* that were told last */
};
#define PROGRESS_NULL                                                                              \
        {                                                                                          \
                .fd = -1                                                                           \
        }

/* For struct upgrade_options; userdata is the struct progress. */
void progress_report(void *userdata, enum upgrade_phase phase, uint64_t done, uint64_t total);
/* One such line, without its end. 0 or -EINVAL. */
int progress_parse(const char *line, enum upgrade_phase *ret_phase, uint64_t *ret_done,
                   uint64_t *ret_total) _must_check_;
/* To the service manager alone. */
void progress_status(const char *text);
void progress_ready(void);
