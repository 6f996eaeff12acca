/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The log: syslog (or stdout) lines in the original's format,
 *   INFO     : files: op(3): [started]  writing file "/sysroot/etc/hostname"
 * and the summary of a failure, which goes everywhere a person may look. */

#include <syslog.h>

#include "error.h"

struct log {
        bool to_stdout;
        bool quiet;          /* a dry run has nothing to say */
        const char *stage;   /* prefix of the messages; may be NULL */
        unsigned operations; /* counted atomically: file systems are made side by side */
};

void log_open(struct log *l, bool to_stdout);
void log_line(struct log *l, int priority, const char *format, ...) _printf_(3, 4);

/* Starts an operation: logs it and returns its number for log_end(). */
unsigned log_start(struct log *l, const char *format, ...) _printf_(2, 3);
/* err NULL: finished; else failed. Describe it as at the start. */
void log_end(struct log *l, unsigned operation, const struct error *err, const char *format, ...)
        _printf_(4, 5);

/* The block that tells of a failure: to stderr, to every console (when this is the initrd) and to
 * the kernel log; a line to the log. */
void log_failure(struct log *l, const char *stage, const char *reason, const char *block);
