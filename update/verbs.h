/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The verbs of the program slipway-update. They print; nobody else of the agent does. */

#include "progress.h"

struct arguments {
        const char *verb;
        struct upgrade_options options;
        struct progress progress;
        bool json;
        char **rest; /* of the command line, behind the verb; inspect's */
};

int verb_check(const struct arguments *a, struct error *err);
int verb_plan(const struct arguments *a, struct error *err);
int verb_apply(const struct arguments *a, struct error *err);
int verb_auto(const struct arguments *a, struct error *err);
int verb_rollback(const struct arguments *a, struct error *err);
int verb_inspect(const struct arguments *a, struct error *err);
int verb_daemon(const struct arguments *a, struct error *err);

/* Prints an object and puts it. */
static inline void print_json(json_object *object)
{
        puts(json_object_to_json_string_ext(object, JSON_C_TO_STRING_PRETTY |
                                                            JSON_C_TO_STRING_NOSLASHESCAPE));
        json_object_put(object);
}

static inline void add_text(json_object *object, const char *key, const char *value)
{
        json_object_object_add(object, key, value ? json_object_new_string(value) : NULL);
}

static inline void add_number(json_object *object, const char *key, uint64_t value)
{
        json_object_object_add(object, key, json_object_new_uint64(value));
}
