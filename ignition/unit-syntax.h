/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The syntax of systemd unit files, as far as a configuration is checked for it. */

#include "error.h"

enum { UNIT_LINE_MAX = 2048 };

/* Checks the text; *ret_install (may be NULL) says whether [Install] has any setting. -EINVAL with
 * the reason. */
int unit_syntax_check(const char *text, bool *ret_install, struct error *err) _must_check_;

/* "echo@a.service" → "echo@.service" in ret; false when the name is no instance's. */
bool unit_template(const char *name, char *ret, size_t size) _must_check_;
