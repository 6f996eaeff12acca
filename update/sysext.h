/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* System extensions (systemd-sysext(8)) that a release would no longer take. An extension names
 * what it was made for: SYSEXT_LEVEL, which must be one of the release's, else VERSION_ID; ID=_any
 * fits all. Those that are directories are read; images only when they are merged. */

#include "release.h"
#include "host.h"

struct sysext_problem {
        char *name, *reason;
};

struct sysext_problems {
        struct sysext_problem *items;
        size_t count, capacity;
};

int sysext_check(const struct host *h, const struct release *release, struct sysext_problems *ret,
                 struct error *err) _must_check_;
void sysext_problems_done(struct sysext_problems *p);

/* Whether the text of an extension-release file fits. *ret_reason (owned): why not. */
int sysext_fits(const char *text, const struct release *release, const char *version_id,
                char **ret_reason, struct error *err) _must_check_;
