/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The [Install] section of unit files, and preset files. */

#include "error.h"

/* What `systemctl enable` would do. Lists may be NULL. */
struct unit_install {
        char **alias, **wanted_by, **required_by, **upheld_by, **also;
        char *default_instance;
};
void unit_install_done(struct unit_install *u);
#define _cleanup_unit_install_ _cleanup_(unit_install_done)

/* Adds what a unit file or drop-in says. Other sections and keys are passed over. */
int unit_install_parse(struct unit_install *u, const char *text, struct error *err) _must_check_;

/* Expands %i %j %p %n %N %% for a unit name; -EINVAL for another specifier. */
int unit_specifiers(const char *text, const char *unit, char **ret, struct error *err) _must_check_;

/* "foo@.service" with "x" → "foo@x.service". Caller frees; NULL: out of memory. */
char *unit_instance(const char *template, const char *instance);
bool unit_is_template(const char *name);

enum preset_action { PRESET_ENABLE, PRESET_DISABLE, PRESET_IGNORE };

struct preset_rule {
        enum preset_action action;
        char *pattern;
        char **instances; /* of a template; may be NULL */
};
struct presets {
        struct preset_rule *items;
        size_t count, capacity;
};
void presets_done(struct presets *p);
#define _cleanup_presets_ _cleanup_(presets_done)

int presets_parse(struct presets *p, const char *text, struct error *err) _must_check_;
/* The first rule whose pattern matches; NULL when none does, which means: enable. */
const struct preset_rule *presets_find(const struct presets *p, const char *unit);
