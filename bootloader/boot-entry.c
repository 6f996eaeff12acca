/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See boot-entry.h. There is one spelling of each entry: a name is what was parsed only if it
 * formats back to itself, so "+03" or a second "+" are no entries of ours. */

#include "boot-entry.h"
#include "version.h"

#define PREFIX "slipway_"
#define SUFFIX ".efi"

/* Digits up to BOOT_TRIES_MAX; returns what follows, or NULL. */
static const char *parse_number(const char *s, unsigned *ret)
{
        unsigned n = 0;

        if (*s < '0' || *s > '9')
                return NULL;
        for (; *s >= '0' && *s <= '9'; s++) {
                n = n * 10 + (unsigned)(*s - '0');
                if (n > BOOT_TRIES_MAX)
                        return NULL;
        }
        *ret = n;
        return s;
}

static const char *parse_counter(const char *s, struct boot_entry *e)
{
        if (*s != '+')
                return s;
        e->counted = true;
        s = parse_number(s + 1, &e->tries_left);
        if (!s || *s != '-')
                return s;
        return parse_number(s + 1, &e->tries_done);
}

int boot_entry_parse(const char *name, struct boot_entry *ret)
{
        const char *version = startswith(name, PREFIX), *rest;
        char again[BOOT_ENTRY_NAME_MAX];
        struct boot_entry e = {};
        size_t n;

        if (!version)
                return -EINVAL;
        n = strspn(version, VERSION_CHARACTERS);
        if (version[n] == '\0' && endswith(version, SUFFIX) && n > strlen(SUFFIX))
                n -= strlen(SUFFIX);
        if (n == 0 || n > BOOT_VERSION_MAX)
                return -EINVAL;
        memcpy(e.version, version, n);
        rest = parse_counter(version + n, &e);
        if (!rest || !streq(rest, SUFFIX) || !streq(boot_entry_format(&e, again), name))
                return -EINVAL;
        *ret = e;
        return 0;
}

char *boot_entry_format(const struct boot_entry *e, char *ret)
{
        char counter[24] = "";

        if (e->counted && e->tries_done > 0)
                snprintf(counter, sizeof(counter), "+%u-%u", e->tries_left, e->tries_done);
        else if (e->counted)
                snprintf(counter, sizeof(counter), "+%u", e->tries_left);
        snprintf(ret, BOOT_ENTRY_NAME_MAX, PREFIX "%s%s" SUFFIX, e->version, counter);
        return ret;
}

const char *boot_loader_conf(void)
{
        return "timeout 0\n"
               "default slipway_*\n"
               "console-mode keep\n"
               "editor no\n"
               "auto-entries no\n"
               "auto-firmware no\n";
}
