/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See flag.h. */

#include "flag.h"

int flag_parse(const char *argument, struct flag *ret)
{
        const char *name = argument + 1, *equals;

        if (argument[0] != '-' || argument[1] == '\0')
                return FLAG_NONE;
        if (*name == '-' && *++name == '\0')
                return FLAG_END;
        if (*name == '\0' || *name == '-' || *name == '=')
                return FLAG_BAD;
        equals = strchr(name, '=');
        *ret = (struct flag){ .name = name,
                              .size = equals ? (size_t)(equals - name) : strlen(name),
                              .value = equals ? equals + 1 : NULL };
        return FLAG_FOUND;
}

bool flag_is(const struct flag *flag, const char *name)
{
        return strlen(name) == flag->size && strncmp(flag->name, name, flag->size) == 0;
}

bool flag_bool(const char *value, bool *ret)
{
        static const struct {
                const char *text;
                bool yes;
        } texts[] = {
                { "1", true },    { "t", true },      { "T", true },      { "true", true },
                { "TRUE", true }, { "True", true },   { "0", false },     { "f", false },
                { "F", false },   { "false", false }, { "FALSE", false }, { "False", false }
        };

        for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
                if (strcmp(value ? value : "true", texts[i].text) != 0)
                        continue;
                *ret = texts[i].yes;
                return true;
        }
        return false;
}
