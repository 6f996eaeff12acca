/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the image says about itself: IMAGE_ID and IMAGE_VERSION in os-release, with
 * SLIPWAY_TIMESTAMP, by which a machine knows an older release from a newer one, SYSEXT_LEVEL for
 * system extensions, and the list of its packages in /usr/share/slipway/packages.json. dpkg's
 * database does not come along: nothing on the host could use it. */

#include "fixup.h"
#include "json.h"
#include "strv.h"
#include "text.h"

static bool is_ours(const char *line)
{
        static const char *const keys[] = { "IMAGE_ID=", "IMAGE_VERSION=", "SLIPWAY_TIMESTAMP=",
                                            "SYSEXT_LEVEL=" };

        for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
                if (startswith(line, keys[i]))
                        return true;
        return false;
}

static int write_os_release(struct fixup_context *c, struct error *err)
{
        _cleanup_free_ char *text = NULL;
        _cleanup_strv_ char **lines = NULL;
        _cleanup_buffer_ struct buffer b = {};
        int r = fixup_read(c, "/usr/lib/os-release", &text, err);

        if (r == 0)
                r = text_lines(text ?: "", "#", &lines, err);
        if (r < 0)
                return r;
        STRV_FOREACH (line, lines)
                if (!is_ours(*line))
                        buffer_printf(&b, "%s\n", *line);
        text_assignment(&b, "IMAGE_ID", c->m->name);
        text_assignment(&b, "IMAGE_VERSION", c->m->version);
        if (c->m->sysext_level)
                text_assignment(&b, "SYSEXT_LEVEL", c->m->sysext_level);
        buffer_printf(&b, "SLIPWAY_TIMESTAMP=%ju\n", (uintmax_t)c->epoch);
        return b.failed ? error_oom(err)
                        : fixup_put(c, "/usr/lib/os-release", b.data, b.size, 0644, err);
}

static int add_package(json_object *array, const struct package *p)
{
        json_object *item = json_object_new_object();

        if (!item || json_object_array_add(array, item) < 0) {
                json_object_put(item);
                return -ENOMEM;
        }
        if (json_object_object_add(item, "name", json_object_new_string(p->name)) < 0 ||
            json_object_object_add(item, "version", json_object_new_string(p->version)) < 0 ||
            json_object_object_add(item, "architecture", json_object_new_string(p->architecture)) <
                    0)
                return -ENOMEM;
        return 0;
}

static int packages_text(const struct fixup_context *c, json_object *array, char **ret,
                         struct error *err)
{
        const char *text;

        for (size_t i = 0; i < c->count; i++)
                if (add_package(array, c->packages[i].package) < 0)
                        return error_oom(err);
        text = json_object_to_json_string_ext(array, JSON_C_TO_STRING_PRETTY |
                                                             JSON_C_TO_STRING_NOSLASHESCAPE);
        if (!text || asprintf(ret, "%s\n", text) < 0)
                return error_oom(err);
        return 0;
}

static int write_packages(struct fixup_context *c, struct error *err)
{
        json_object *array = json_object_new_array();
        char *text = NULL;
        int r = array ? packages_text(c, array, &text, err) : error_oom(err);

        if (r == 0) {
                r = fixup_put(c, "/usr/share/slipway/packages.json", text, strlen(text), 0644, err);
                free(text);
        }
        json_object_put(array);
        return r;
}

int fixup_release(struct fixup_context *c, struct error *err)
{
        int r = write_os_release(c, err);

        return r < 0 ? r : write_packages(c, err);
}
