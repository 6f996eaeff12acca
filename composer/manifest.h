/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The manifest (one image) and the layers it names, as validated structs. The tables in manifest.c
 * and layer.c are the reference: parser, `slipway schema` and docs/manifest.md come from them. */

#include "image.h"
#include "trust.h"

struct repository_config {
        char *name;                  /* logical: "debian"; the URL comes from mirror.c */
        int format;                  /* enum repository_format */
        char **suites, **components; /* deb */
        char *keyring;               /* keyring file on the builder, for gpgv */
};
enum repository_format { REPOSITORY_DEB };

struct program { /* a program of ours that goes into the image */
        char *name, *path;
};

struct attribute {                 /* owner and mode of one path */
        char *path, *user, *group; /* user, group: names from the image; NULL: unchanged */
        uint32_t mode;             /* UINT32_MAX: unchanged */
};

struct alternative { /* a symlink that a maintainer script would have made */
        char *link, *target;
};

/* Which of the kernel's modules an image ships: all, or what layers and manifest name, with what
 * that needs (module-use.h). */
enum module_choice { MODULES_ALL, MODULES_CLOSURE };

struct layer {
        char *name, *description;
        char **packages, **exclude;
        struct {
                struct program *items;
                size_t count;
        } programs;
        struct {
                char **enable, **disable, **mask;
        } units;
        char **sysusers, **tmpfiles; /* lines of the formats of those names */
        char **remove;               /* glob patterns, see glob_match() in merge.h */
        struct {
                struct attribute *items;
                size_t count;
        } attributes;
        struct {
                struct alternative *items;
                size_t count;
        } alternatives;
        struct {
                char **include, **modules;
        } initrd;
        struct {
                char **options, **modules;
                char **config; /* names of fragments, see kernel-fragments.h */
                char *build;   /* NULL, or the name of a kernel of layer_kernel() */
        } kernel;
        int modules; /* enum module_choice */
        char *path;  /* absolute path of the layer's directory; not from the file */
};

struct partitions_config { /* bytes; 0: the default of layout.c */
        uint64_t esp, usr, usr_verity, usr_verity_sig, disk;
};

struct initrd_config {
        uint64_t level; /* of compress(); 0: the default */
};

struct manifest {
        char *name, *version, *architecture; /* "amd64", "arm64" */
        char *sysext_level;                  /* SYSEXT_LEVEL of os-release; NULL: none */
        struct {
                struct repository_config *items;
                size_t count;
        } repositories;
        char **layer_names;
        char **outputs; /* names from output.h */
        struct {
                char **options, **modules;
        } kernel;
        struct partitions_config partitions;
        struct image_settings erofs;
        struct initrd_config initrd;
        struct trust_config trust;
        struct layer *layers; /* loaded, in the order named */
        size_t n_layers;
        char *path; /* absolute path of the manifest */
};

extern const struct record manifest_record, layer_record;

/* Decoders of what becomes part of paths, labels and os-release: char *, checked. */
int field_name(const struct json_document *d, json_object *value, const struct field *field,
               void *member, struct error *err);
int field_version(const struct json_document *d, json_object *value, const struct field *field,
                  void *member, struct error *err);
int field_architecture(const struct json_document *d, json_object *value, const struct field *field,
                       void *member, struct error *err);
int field_level(const struct json_document *d, json_object *value, const struct field *field,
                void *member, struct error *err);
/* What "architecture" may be; ends with NULL. */
extern const char *const manifest_architectures[];

/* Loads and checks the manifest and every layer it names. Layers are looked up as
 * "<manifest's directory>/<name>/layer.json", then "<manifest's directory>/../<name>/layer.json".
 */
int manifest_load(const char *path, struct manifest *ret, struct error *err) _must_check_;
/* --arch: composes the same manifest for another architecture. */
int manifest_set_architecture(struct manifest *m, const char *architecture,
                              struct error *err) _must_check_;
void manifest_done(struct manifest *m);
#define _cleanup_manifest_ _cleanup_(manifest_done)
