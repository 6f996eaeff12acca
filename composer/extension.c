/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See extension.h. systemd-sysext compares what the extension says with the host's os-release
 * (systemd 257, extension_release_validate()): ID, unless it is "_any", then SYSEXT_LEVEL or, if
 * the extension has none, VERSION_ID; and ARCHITECTURE with the kernel's. So one of the two must be
 * said, and neither with "_any", where nobody would look at it. */

#include <fcntl.h>
#include <limits.h>

#include "extension.h"
#include "manifest.h"
#include "strv.h"
#include "text.h"

#define ID_DEFAULT "debian"
#define ID_ANY     "_any"

static const char *const scopes[] = { "system", "initrd", "portable", NULL };

/* As ConditionArchitecture= names them. */
static const struct {
        const char *ours, *systemds;
} architecture_names[] = { { "amd64", "x86-64" }, { "arm64", "arm64" } };

static int field_id(const struct json_document *d, json_object *value, const struct field *field,
                    void *member, struct error *err)
{
        const char *text = json_object_get_string(value);

        if (text && streq(text, ID_ANY))
                return field_string(d, value, field, member, err);
        return field_level(d, value, field, member, err);
}

static int check_levels(const struct json_document *d, json_object *value,
                        const struct extension *e, struct error *err)
{
        if (e->id && streq(e->id, ID_ANY))
                return !e->level && !e->version_id
                               ? 0
                               : json_error(d, value, err, -EINVAL,
                                            "with \"id\" \"" ID_ANY "\" nobody looks at \"level\" "
                                            "or \"versionId\"");
        if (!e->level == !e->version_id)
                return json_error(d, value, err, -EINVAL,
                                  "one of \"level\" and \"versionId\" says for which hosts it is");
        return 0;
}

static int check(const struct json_document *d, json_object *value, void *object, struct error *err)
{
        const struct extension *e = object;

        STRV_FOREACH (scope, e->scope) {
                size_t i = 0;

                while (scopes[i] && !streq(scopes[i], *scope))
                        i++;
                if (!scopes[i])
                        return json_error(d, json_object_object_get(value, "scope"), err, -EINVAL,
                                          "\"scope\" may hold \"system\", \"initrd\" and "
                                          "\"portable\", not \"%s\"",
                                          *scope);
        }
        return check_levels(d, value, e, err);
}

static void done(void *object)
{
        extension_done(object);
}

#define MEMBER(name) offsetof(struct extension, name)

const struct record extension_record = {
        "extension",
        sizeof(struct extension),
        (const struct field[]){
                { "name", field_name, MEMBER(name), FIELD_MANDATORY,
                  "Name of the extension; versions of one extension share it.", NULL },
                { "version", field_version, MEMBER(version), FIELD_MANDATORY,
                  "Version of the extension.", NULL },
                { "architecture", field_architecture, MEMBER(architecture), FIELD_MANDATORY,
                  "Architecture of what is in it.", manifest_architectures },
                { "level", field_level, MEMBER(level), 0,
                  "The \"sysextLevel\" of the images that it is for.", NULL },
                { "id", field_id, MEMBER(id), 0,
                  "ID in os-release of the hosts that it is for (default: debian); _any: all.",
                  NULL },
                { "versionId", field_level, MEMBER(version_id), 0,
                  "VERSION_ID in os-release of the hosts that it is for, instead of a level.",
                  NULL },
                { "source", field_string, MEMBER(source), FIELD_MANDATORY,
                  "Directory or tar archive with usr/ or opt/, relative to this file.", NULL },
                { "scope", field_strings, MEMBER(scope), 0,
                  "Where it is taken: system, initrd, portable (default: system and portable).",
                  NULL },
                { "reloadManager", field_bool, MEMBER(reload_manager), 0,
                  "The service manager reloads after merging: it brings units.", NULL },
                { "erofs", field_record, MEMBER(erofs), 0, "How the image is packed.",
                  &image_settings_record },
                {},
        },
        done,
        check,
};

int extension_load(const char *path, struct extension *ret, struct error *err)
{
        _cleanup_extension_ struct extension e = {};
        int r = record_load(AT_FDCWD, path, &extension_record, &e, err);

        if (r < 0)
                return r;
        e.path = realpath(path, NULL);
        if (!e.path)
                return error_errno(err, "%s", path);
        *ret = TAKE_STRUCT(e);
        return 0;
}

void extension_done(struct extension *e)
{
        free(e->name);
        free(e->version);
        free(e->architecture);
        free(e->level);
        free(e->id);
        free(e->version_id);
        free(e->source);
        strv_free(e->scope);
        image_settings_done(&e->erofs);
        free(e->path);
        *e = (struct extension){};
}

static const char *architecture_name(const char *ours)
{
        for (size_t i = 0; i < ARRAY_SIZE(architecture_names); i++)
                if (streq(architecture_names[i].ours, ours))
                        return architecture_names[i].systemds;
        return ours;
}

static void put_scope(struct buffer *b, const struct extension *e)
{
        _cleanup_buffer_ struct buffer words = {};

        STRV_FOREACH (scope, e->scope)
                buffer_printf(&words, "%s%s", words.size > 0 ? " " : "", *scope);
        b->failed |= words.failed;
        if (words.size > 0)
                text_assignment(b, "SYSEXT_SCOPE", words.data);
}

int extension_release_text(const struct extension *e, char **ret, struct error *err)
{
        _cleanup_buffer_ struct buffer b = {};

        text_assignment(&b, "ID", e->id ?: ID_DEFAULT);
        if (e->level)
                text_assignment(&b, "SYSEXT_LEVEL", e->level);
        if (e->version_id)
                text_assignment(&b, "VERSION_ID", e->version_id);
        text_assignment(&b, "ARCHITECTURE", architecture_name(e->architecture));
        text_assignment(&b, "SYSEXT_ID", e->name);
        text_assignment(&b, "SYSEXT_VERSION_ID", e->version);
        put_scope(&b, e);
        if (e->reload_manager)
                text_assignment(&b, "EXTENSION_RELOAD_MANAGER", "1");
        return buffer_take(&b, ret, NULL) < 0 ? error_oom(err) : 0;
}
