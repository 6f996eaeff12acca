/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* VirtualBox: a guest property, read and deleted through the guest additions' VBoxControl, which
 * prints "Value: <text>", or "No value set!". */

#include "process.h"
#include "provider.h"
#include "strv.h"

static const char config[] = "/Ignition/Config", encoding[] = "/Ignition/Config/Encoding";

static int control(const char *action, const char *property, char **ret, struct error *err)
{
        const char *const argv[] = { "VBoxControl", "--nologo", "guestproperty",
                                     action,        property,   NULL };
        const struct spawn_options options = { .output_limit = CONFIG_SIZE_MAX };

        return spawn(argv, &options, ret, err);
}

/* *ret is NULL when the property is not set. */
static int get(const char *property, char **ret, struct error *err)
{
        _cleanup_free_ char *output = NULL;
        const char *value;
        size_t size;
        int r = control("get", property, &output, err);

        if (r < 0)
                return error_prefix(err, r, "guest property %s", property);
        value = startswith(output, "Value: ");
        if (!value)
                return 0;
        size = strlen(value);
        *ret = strndup(value, size > 0 && value[size - 1] == '\n' ? size - 1 : size);
        return *ret ? 0 : error_oom(err);
}

static int fetch(struct agent *a _unused_, struct config_text *ret, struct error *err)
{
        _cleanup_free_ char *how = NULL;
        int r = get(encoding, &how, err);

        if (r >= 0 && !string_is_empty(how))
                return error_set(err, -EINVAL, "guest property %s: unsupported encoding '%s'",
                                 encoding, how);
        if (r >= 0)
                r = get(config, &ret->text, err);
        if (r < 0 || !ret->text)
                return r < 0 ? r : PROVIDER_NONE;
        ret->size = strlen(ret->text);
        ret->source = string_format("guest property %s", config);
        return ret->source ? 0 : error_oom(err);
}

static int delete (const char *property, struct error *err)
{
        _cleanup_free_ char *value = NULL;
        int r = get(property, &value, err);

        return r >= 0 && value ? control("delete", property, NULL, err) : r;
}

static int delete_all(struct agent *a _unused_, struct error *err)
{
        int r = delete (config, err);

        return r < 0 ? r : delete (encoding, err);
}

const struct provider provider_virtualbox = { .name = "virtualbox",
                                              .fetch = fetch,
                                              .remove = delete_all };
