/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What Kconfig writes: a kernel's .config, and fragments in the same syntax. A fragment says above
 * its options, in a comment, who needs them; kernel-demands.h has what it means. */

#include "strv.h"

enum {
        KCONFIG_TEXT_MAX = 4 * 1024 * 1024, /* a distribution's has 130 to 300 KB */
        KCONFIG_OPTIONS_MAX = 65536,        /* Linux 6.12 has 20000 */
        KCONFIG_NAME_MAX = 128,             /* the longest there is of Linux 6.12 has 54 */
        KCONFIG_LINE_MAX = 8192,            /* CONFIG_CMDLINE may have 2048 */
        KCONFIG_REASON_MAX = 1024,
};

enum kconfig_kind {
        KCONFIG_OFF, /* "# CONFIG_X is not set", CONFIG_X=n */
        KCONFIG_MODULE,
        KCONFIG_BUILT_IN,
        KCONFIG_VALUE, /* a number or a quoted text */
        _KCONFIG_KIND_MAX
};

struct kconfig_option {
        const char *name;   /* "CONFIG_EXT4_FS" */
        const char *value;  /* as it stands there; "n" when it is off */
        const char *reason; /* the comment above, its lines joined by blanks; "" without one */
        unsigned line;      /* from 1 */
        enum kconfig_kind kind;
};

struct kconfig {
        char *name;                     /* for messages: the file */
        char *text;                     /* what the options point into */
        struct kconfig_option *options; /* sorted by name */
        size_t count;
};

/* Parses a text, which is copied. -EINVAL with "<name>:<line>: …" for a line that is neither option
 * nor comment, for an option that stands twice, and beyond the limits. */
int kconfig_parse(const char *name, const char *text, size_t size, struct kconfig *ret,
                  struct error *err) _must_check_;
int kconfig_load(const char *path, struct kconfig *ret, struct error *err) _must_check_;
void kconfig_done(struct kconfig *c);
#define _cleanup_kconfig_ _cleanup_(kconfig_done)

/* The option of that name, or NULL. */
const struct kconfig_option *kconfig_find(const struct kconfig *c, const char *name);
/* Appends the option as Kconfig writes it, without the end of the line. */
void kconfig_write(struct buffer *b, const struct kconfig_option *o);
