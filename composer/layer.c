/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The layer's tables. A layer is data only: packages, files/, unit presets, users, removals, and
 * what the initrd needs of it. */

#include "manifest.h"
#include "strv.h"

static void program_done(void *object)
{
        struct program *p = object;

        free(p->name);
        free(p->path);
}

static const struct record program_record = {
        "program",
        sizeof(struct program),
        (const struct field[]){
                { "name", field_string, offsetof(struct program, name), FIELD_MANDATORY,
                  "Name of the program in Slipway's libexec directory.", NULL },
                { "path", field_path, offsetof(struct program, path), FIELD_MANDATORY,
                  "Where it goes in the image.", NULL },
                {},
        },
        program_done,
        NULL,
};

static void attribute_done(void *object)
{
        struct attribute *a = object;

        free(a->path);
        free(a->user);
        free(a->group);
}

/* "mode" may be absent, and 0 is a mode: absent is told from it here. */
static int attribute_check(const struct json_document *d _unused_, json_object *value, void *object,
                           struct error *err _unused_)
{
        struct attribute *a = object;

        if (!json_object_object_get_ex(value, "mode", NULL))
                a->mode = UINT32_MAX;
        return 0;
}

static const struct record attribute_record = {
        "attribute",
        sizeof(struct attribute),
        (const struct field[]){
                { "path", field_path, offsetof(struct attribute, path), FIELD_MANDATORY,
                  "Path in the image.", NULL },
                { "mode", field_mode, offsetof(struct attribute, mode), 0, "Permission bits.",
                  NULL },
                { "user", field_string, offsetof(struct attribute, user), 0, "Owner's name.",
                  NULL },
                { "group", field_string, offsetof(struct attribute, group), 0, "Group's name.",
                  NULL },
                {},
        },
        attribute_done,
        attribute_check,
};

static void alternative_done(void *object)
{
        struct alternative *a = object;

        free(a->link);
        free(a->target);
}

static const struct record alternative_record = {
        "alternative",
        sizeof(struct alternative),
        (const struct field[]){
                { "link", field_path, offsetof(struct alternative, link), FIELD_MANDATORY,
                  "The symlink.", NULL },
                { "target", field_string, offsetof(struct alternative, target), FIELD_MANDATORY,
                  "What it points to.", NULL },
                {},
        },
        alternative_done,
        NULL,
};

static const char *const module_choices[] = { "all", "closure", NULL };

#define LAYER_STRINGS(key, member, help)                                                           \
        {                                                                                          \
                key, field_strings, offsetof(struct layer, member), 0, help, NULL                  \
        }

/* Nested objects: offsets are relative to the member that holds them. */
#define NESTED(parent, member)                                                                     \
        (offsetof(struct layer, parent.member) - offsetof(struct layer, parent))

static const struct record units_record = {
        "units",
        0,
        (const struct field[]){
                { "enable", field_strings, NESTED(units, enable), 0, "Units to enable.", NULL },
                { "disable", field_strings, NESTED(units, disable), 0, "Units to disable.", NULL },
                { "mask", field_strings, NESTED(units, mask), 0, "Units to mask.", NULL },
                {},
        },
        NULL,
        NULL,
};

static const struct record initrd_record = {
        "initrd",
        0,
        (const struct field[]){
                { "include", field_strings, NESTED(initrd, include), 0,
                  "Paths or glob patterns of the image that the initrd holds too.", NULL },
                { "modules", field_strings, NESTED(initrd, modules), 0,
                  "Kernel modules for the initrd; what they depend on comes along.", NULL },
                {},
        },
        NULL,
        NULL,
};

/* A string that is one component of a path. */
static int field_file_name(const struct json_document *d, json_object *value,
                           const struct field *field, void *member, struct error *err)
{
        char **name = member;
        int r = field_string(d, value, field, member, err);

        if (r >= 0 && (strchr(*name, '/') || **name == '.'))
                return json_error(d, value, err, -EINVAL, "'%s' is no name", *name);
        return r;
}

static const struct record layer_kernel_record = {
        "kernel",
        0,
        (const struct field[]){
                { "options", field_strings, NESTED(kernel, options), 0,
                  "Words for the kernel command line.", NULL },
                { "modules", field_strings, NESTED(kernel, modules), 0,
                  "Kernel modules that programs of this layer need at run time: names, aliases, "
                  "glob patterns of names, or with a '/' of paths below kernel/.",
                  NULL },
                { "build", field_file_name, NESTED(kernel, build), 0,
                  "A kernel that kernel-config/build has compiled into the cache, by its name.",
                  NULL },
                { "config", field_strings, NESTED(kernel, config), 0,
                  "Fragments of kernel-config/ that the image's kernel must satisfy.", NULL },
                {},
        },
        NULL,
        NULL,
};

static void layer_done(void *object)
{
        struct layer *l = object;
        char **const *const lists[] = {
                &l->packages,       &l->exclude,        &l->units.enable,   &l->units.disable,
                &l->units.mask,     &l->sysusers,       &l->tmpfiles,       &l->remove,
                &l->initrd.include, &l->initrd.modules, &l->kernel.options, &l->kernel.modules,
                &l->kernel.config,
        };

        for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
                strv_free(*lists[i]);
        field_array_done((struct field_array *)&l->programs, &program_record);
        field_array_done((struct field_array *)&l->attributes, &attribute_record);
        field_array_done((struct field_array *)&l->alternatives, &alternative_record);
        free(l->name);
        free(l->description);
        free(l->kernel.build);
        free(l->path);
        memset(l, 0, sizeof(*l));
}

const struct record layer_record = {
        "layer",
        sizeof(struct layer),
        (const struct field[]){
                { "name", field_string, offsetof(struct layer, name), FIELD_MANDATORY,
                  "Name of the layer, for messages.", NULL },
                { "description", field_string, offsetof(struct layer, description), 0,
                  "What it is for, one sentence.", NULL },
                LAYER_STRINGS("packages", packages, "Packages to install, without recommends."),
                LAYER_STRINGS("exclude", exclude,
                              "Packages that never come in, even when something depends on them."),
                { "programs", field_records, offsetof(struct layer, programs), 0,
                  "Programs of Slipway that the image holds.", &program_record },
                { "units", field_record, offsetof(struct layer, units), 0,
                  "systemd units to enable, disable or mask.", &units_record },
                LAYER_STRINGS("sysusers", sysusers, "Lines of sysusers.d(5)."),
                LAYER_STRINGS("tmpfiles", tmpfiles, "Lines of tmpfiles.d(5)."),
                LAYER_STRINGS("remove", remove, "Glob patterns of paths to remove."),
                { "attributes", field_records, offsetof(struct layer, attributes), 0,
                  "Owners and modes of single paths.", &attribute_record },
                { "alternatives", field_records, offsetof(struct layer, alternatives), 0,
                  "Symlinks that maintainer scripts would have made.", &alternative_record },
                { "initrd", field_record, offsetof(struct layer, initrd), 0,
                  "What the initrd holds of this layer.", &initrd_record },
                { "kernel", field_record, offsetof(struct layer, kernel), 0,
                  "What this layer wants of the kernel.", &layer_kernel_record },
                { "modules", field_enum, offsetof(struct layer, modules), 0,
                  "Which kernel modules an image with this layer ships: all (the default), or the "
                  "closure of those that layers and manifest name.",
                  module_choices },
                {},
        },
        layer_done,
        NULL,
};
