/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See manifest.h. Names become parts of paths, refs and labels, so they are checked here once. */

#include <fcntl.h>
#include <limits.h>

#include "compress.h"
#include "manifest.h"
#include "output.h"
#include "strv.h"

enum { NAME_MAX_LENGTH = 64, VERSION_MAX_LENGTH = 32, LEVEL_MAX_LENGTH = 32 };

static const char *const repository_formats[] = { "deb", NULL };
const char *const manifest_architectures[] = { "amd64", "arm64", NULL };

#define PARTITION_SIZE                                                                             \
        {                                                                                          \
                MIB, 1024 * GIB                                                                    \
        }
static const struct field_range level_range = { 1, COMPRESS_LEVEL_MAX };
static const struct field_range partition_range = PARTITION_SIZE;

static bool name_valid(const char *name, size_t limit, const char *extra)
{
        if (strlen(name) > limit || *name == '.' || *name == '-')
                return false;
        for (; *name; name++)
                if (!strchr("abcdefghijklmnopqrstuvwxyz0123456789", *name) && !strchr(extra, *name))
                        return false;
        return true;
}

int field_name(const struct json_document *d, json_object *value, const struct field *field,
               void *member, struct error *err)
{
        int r = field_string(d, value, field, member, err);

        if (r < 0)
                return r;
        if (!name_valid(*(char **)member, NAME_MAX_LENGTH, "-._+"))
                return json_error(d, value, err, -EINVAL,
                                  "\"%s\" may hold up to %d of a-z, 0-9 and '-._+', not \"%s\"",
                                  field->key, NAME_MAX_LENGTH, *(char **)member);
        return 0;
}

int field_version(const struct json_document *d, json_object *value, const struct field *field,
                  void *member, struct error *err)
{
        int r = field_string(d, value, field, member, err);

        if (r < 0)
                return r;
        if (!name_valid(*(char **)member, VERSION_MAX_LENGTH, ".~^"))
                return json_error(d, value, err, -EINVAL,
                                  "\"%s\" must be a version such as \"1.2.0\" (up to %d of a-z, "
                                  "0-9 and '.~^'), not \"%s\"",
                                  field->key, VERSION_MAX_LENGTH, *(char **)member);
        return 0;
}

/* os-release(5): "a lower-case string (mostly numeric …)". */
int field_level(const struct json_document *d, json_object *value, const struct field *field,
                void *member, struct error *err)
{
        int r = field_string(d, value, field, member, err);

        if (r < 0)
                return r;
        if (!name_valid(*(char **)member, LEVEL_MAX_LENGTH, "._-"))
                return json_error(d, value, err, -EINVAL,
                                  "\"%s\" may hold up to %d of a-z, 0-9 and '._-', not \"%s\"",
                                  field->key, LEVEL_MAX_LENGTH, *(char **)member);
        return 0;
}

int field_architecture(const struct json_document *d, json_object *value, const struct field *field,
                       void *member, struct error *err)
{
        int index, r;

        r = field_enum(d, value, field, &index, err);
        if (r < 0)
                return r;
        return field_string(d, value, &(struct field){ .key = field->key }, member, err);
}

static void repository_done(void *object)
{
        struct repository_config *r = object;

        free(r->name);
        strv_free(r->suites);
        strv_free(r->components);
        free(r->keyring);
}

static const struct record repository_record = {
        "repository",
        sizeof(struct repository_config),
        (const struct field[]){
                { "name", field_name, offsetof(struct repository_config, name), FIELD_MANDATORY,
                  "Logical name; the URL comes from --mirror, SLIPWAY_MIRROR_<NAME>, or apt.",
                  NULL },
                { "format", field_enum, offsetof(struct repository_config, format), FIELD_MANDATORY,
                  "Kind of repository.", repository_formats },
                { "suites", field_strings, offsetof(struct repository_config, suites),
                  FIELD_MANDATORY, "Suites (distributions) to read.", NULL },
                { "components", field_strings, offsetof(struct repository_config, components),
                  FIELD_MANDATORY, "Components of each suite.", NULL },
                { "keyring", field_path, offsetof(struct repository_config, keyring),
                  FIELD_MANDATORY, "Keyring on the builder that signatures are checked with.",
                  NULL },
                {},
        },
        repository_done,
        NULL,
};

static const struct record kernel_record = {
        "kernel",
        2 * sizeof(char **),
        (const struct field[]){
                { "options", field_strings, 0, 0, "Words for the kernel command line.", NULL },
                { "modules", field_strings, sizeof(char **), 0,
                  "Kernel modules that the image must ship besides those that layers name; see "
                  "the layers' kernel.modules.",
                  NULL },
                {},
        },
        NULL,
        NULL,
};

#define PARTITION_FIELD(key, member, help)                                                         \
        {                                                                                          \
                key, field_size, offsetof(struct partitions_config, member), 0, help,              \
                        &partition_range                                                           \
        }

static const struct record partitions_record = {
        "partitions",
        sizeof(struct partitions_config),
        (const struct field[]){
                PARTITION_FIELD("esp", esp, "Size of the EFI system partition."),
                PARTITION_FIELD("usr", usr, "Size of each /usr slot."),
                PARTITION_FIELD("usr-verity", usr_verity, "Size of each slot's hash tree."),
                PARTITION_FIELD("usr-verity-sig", usr_verity_sig,
                                "Size of each slot's signature partition."),
                PARTITION_FIELD("disk", disk, "Size of the whole disk image."),
                {},
        },
        NULL,
        NULL,
};

static const struct record initrd_record = {
        "initrd",
        sizeof(struct initrd_config),
        (const struct field[]){
                { "level", field_uint, offsetof(struct initrd_config, level), 0,
                  "Level of zstd: 1 to 19, which is slow, once, for a smaller UKI.", &level_range },
                {},
        },
        NULL,
        NULL,
};

static int manifest_check(const struct json_document *d, json_object *value, void *object,
                          struct error *err)
{
        struct manifest *m = object;

        STRV_FOREACH (name, m->outputs)
                if (!output_find(*name))
                        return json_error(d, json_object_object_get(value, "outputs"), err, -EINVAL,
                                          "unknown output format \"%s\"", *name);
        if (strv_length(m->layer_names) == 0)
                return json_error(d, json_object_object_get(value, "layers"), err, -EINVAL,
                                  "\"layers\" must name at least one layer");
        STRV_FOREACH (name, m->layer_names)
                if (!name_valid(*name, NAME_MAX_LENGTH, "-_"))
                        return json_error(d, json_object_object_get(value, "layers"), err, -EINVAL,
                                          "bad layer name \"%s\"", *name);
        return 0;
}

static void manifest_free_members(void *object)
{
        manifest_done(object);
}

const struct record manifest_record = {
        "manifest",
        sizeof(struct manifest),
        (const struct field[]){
                { "name", field_name, offsetof(struct manifest, name), FIELD_MANDATORY,
                  "Name of the image; becomes IMAGE_ID in os-release.", NULL },
                { "version", field_version, offsetof(struct manifest, version), FIELD_MANDATORY,
                  "Version of the image; becomes IMAGE_VERSION and the slots' labels.", NULL },
                { "architecture", field_architecture, offsetof(struct manifest, architecture),
                  FIELD_MANDATORY, "Architecture of the image.", manifest_architectures },
                { "sysextLevel", field_level, offsetof(struct manifest, sysext_level), 0,
                  "SYSEXT_LEVEL in os-release: the system extensions that the image takes.", NULL },
                { "repositories", field_records, offsetof(struct manifest, repositories),
                  FIELD_MANDATORY, "Package repositories.", &repository_record },
                { "layers", field_strings, offsetof(struct manifest, layer_names), FIELD_MANDATORY,
                  "Names of the layers, lowest first.", NULL },
                { "outputs", field_strings, offsetof(struct manifest, outputs), 0,
                  "Formats to write; the raw disk is always there.", NULL },
                { "kernel", field_record, offsetof(struct manifest, kernel), 0,
                  "Kernel command line of this image, after the layers', and modules.",
                  &kernel_record },
                { "partitions", field_record, offsetof(struct manifest, partitions), 0,
                  "Sizes that differ from the defaults.", &partitions_record },
                { "erofs", field_record, offsetof(struct manifest, erofs), 0,
                  "How the image of /usr is packed.", &image_settings_record },
                { "initrd", field_record, offsetof(struct manifest, initrd), 0,
                  "How the initrd is compressed.", &initrd_record },
                { "trust", field_record, offsetof(struct manifest, trust), 0,
                  "Links of the chain from firmware to /usr that are signed.", &trust_record },
                {},
        },
        manifest_free_members,
        manifest_check,
};

static int load_layer_file(char *path, struct layer *ret, struct error *err)
{
        int r = record_load(AT_FDCWD, path, &layer_record, ret, err);

        if (r < 0)
                return r;
        *strrchr(path, '/') = '\0';
        ret->path = realpath(path, NULL);
        return ret->path ? 0 : error_errno(err, "%s", path);
}

static int load_layer(const char *const places[2], const char *name, struct layer *ret,
                      struct error *err)
{
        for (size_t i = 0; i < 2; i++) {
                _cleanup_free_ char *path = string_format("%s/%s/layer.json", places[i], name);

                if (!path)
                        return error_oom(err);
                if (access(path, F_OK) == 0)
                        return error_prefix(err, load_layer_file(path, ret, err), "layer '%s'",
                                            name);
        }
        return error_set(err, -ENOENT,
                         "layer '%s': no %s/layer.json beside the manifest or one above", name,
                         name);
}

static int load_layers(struct manifest *m, struct error *err)
{
        _cleanup_free_ char *directory = strdup(m->path), *above = NULL;
        int r;

        if (!directory)
                return error_oom(err);
        *strrchr(directory, '/') = '\0';
        above = strdup(directory);
        if (!above)
                return error_oom(err);
        if (*above)
                *strrchr(above, '/') = '\0';
        m->layers = calloc(strv_length(m->layer_names), sizeof(struct layer));
        if (!m->layers)
                return error_oom(err);
        STRV_FOREACH (name, m->layer_names) {
                r = load_layer((const char *const[]){ directory, above }, *name,
                               &m->layers[m->n_layers], err);
                if (r < 0)
                        return r;
                m->n_layers++;
        }
        return 0;
}

int manifest_load(const char *path, struct manifest *ret, struct error *err)
{
        _cleanup_manifest_ struct manifest m = {};
        int r;

        r = record_load(AT_FDCWD, path, &manifest_record, &m, err);
        if (r < 0)
                return r;
        m.path = realpath(path, NULL);
        if (!m.path)
                return error_errno(err, "%s", path);
        r = load_layers(&m, err);
        if (r < 0)
                return error_prefix(err, r, "image '%s'", m.name);
        *ret = TAKE_STRUCT(m);
        return 0;
}

int manifest_set_architecture(struct manifest *m, const char *architecture, struct error *err)
{
        for (size_t i = 0; manifest_architectures[i]; i++) {
                char *copy;

                if (!streq(manifest_architectures[i], architecture))
                        continue;
                copy = strdup(architecture);
                if (!copy)
                        return error_oom(err);
                free(m->architecture);
                m->architecture = copy;
                return 0;
        }
        return error_set(err, -EINVAL, "unknown architecture '%s'", architecture);
}

void manifest_done(struct manifest *m)
{
        free(m->name);
        free(m->version);
        free(m->architecture);
        free(m->sysext_level);
        field_array_done((struct field_array *)&m->repositories, &repository_record);
        strv_free(m->layer_names);
        strv_free(m->outputs);
        strv_free(m->kernel.options);
        strv_free(m->kernel.modules);
        image_settings_done(&m->erofs);
        for (size_t i = 0; i < m->n_layers; i++)
                layer_record.done(&m->layers[i]);
        free(m->layers);
        free(m->path);
        memset(m, 0, sizeof(*m));
}
