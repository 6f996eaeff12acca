/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Options as Go programs write them: -name, --name, or either with =VALUE. */

#include "macro.h"

struct flag {
        const char *name; /* as long as size; ends with '=' or the argument */
        size_t size;
        const char *value; /* behind the '='; NULL: none */
};

enum { FLAG_NONE, FLAG_END, FLAG_BAD, FLAG_FOUND };

/* FLAG_NONE: the argument is no option; FLAG_END: it is "--", behind which there are none;
 * FLAG_BAD: it has no name. */
int flag_parse(const char *argument, struct flag *ret);

bool flag_is(const struct flag *flag, const char *name);

/* Whether yes is meant, or no; NULL is yes. False: neither; *ret is untouched. */
bool flag_bool(const char *value, bool *ret) _must_check_;
