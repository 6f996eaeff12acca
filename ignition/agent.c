/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Naming the setting that a failure is about: its path in the configuration at hand, and where it
 * was written. */

#include <stdarg.h>

#include "agent.h"
#include "origin.h"

/* Where the value at a path was written; false: not known. */
static bool find_origin(const struct agent *a, const char *path, struct origin *ret)
{
        if (a->tree) {
                *ret = origin_get(json_at(a->tree, path));
                return ret->line > 0;
        }
        if (origins_load(&a->state, a->config.document.root, json_at(a->config.document.root, path),
                         ret))
                return true;
        *ret = (struct origin){};
        return json_position(&a->config.document, json_at(a->config.document.root, path),
                             &ret->line, &ret->column);
}

/* "$.storage.files.1.mode, line 4 col 9", and which file when it is not the first. */
static void set_setting(struct agent *a, const char *path)
{
        struct origin o;
        size_t n;

        snprintf(a->setting, sizeof(a->setting), "%s", path);
        if (!find_origin(a, path, &o))
                return;
        n = strlen(a->setting);
        snprintf(a->setting + n, sizeof(a->setting) - n, ", line %u col %u", o.line, o.column);
        n = strlen(a->setting);
        if (o.source > 0)
                snprintf(a->setting + n, sizeof(a->setting) - n, " of %s",
                         origins_name(&a->state, a->sources, o.source));
}

int agent_place_setting(struct agent *a, int code)
{
        char path[WHERE_MAX];

        snprintf(path, sizeof(path), "%.*s", (int)strcspn(a->setting, ","), a->setting);
        set_setting(a, path);
        return code;
}

static void remember_setting(struct agent *a, json_object *at, const char *key)
{
        char path[WHERE_MAX];
        size_t n;

        if (*a->setting)
                return;
        json_path(a->config.document.root, at, path);
        n = strlen(path);
        if (key)
                snprintf(path + n, sizeof(path) - n, ".%s", key);
        set_setting(a, path);
}

int agent_setting_error(struct agent *a, json_object *at, const char *key, struct error *err,
                        int code, const char *format, ...)
{
        char message[ERROR_MESSAGE_MAX / 2];
        va_list ap;

        va_start(ap, format);
        vsnprintf(message, sizeof(message), format, ap);
        va_end(ap);
        remember_setting(a, at, key);
        return error_set(err, code, "%s: %s", message, a->setting);
}

int agent_setting(struct agent *a, json_object *at, const char *key, int code)
{
        if (code < 0)
                remember_setting(a, at, key);
        return code;
}

int agent_refuse(struct agent *a, json_object *at, const char *key, struct error *err)
{
        char path[WHERE_MAX];
        size_t n;

        json_path(a->config.document.root, at, path);
        n = strlen(path);
        if (key)
                snprintf(path + n, sizeof(path) - n, ".%s", key);
        return agent_setting_error(a, at, key, err, -EOPNOTSUPP,
                                   "%s is not supported by this version", path + 2 * (n > 1));
}
