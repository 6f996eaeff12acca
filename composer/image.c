/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See image.h. What would be random in other images is derived from the root identity; there is no
 * time in it, because a tree has none. */

#include <assert.h>

#include "image.h"
#include "merge.h"
#include "strv.h"

enum { KERNEL_CONFIG_MAX = 4 * 1024 * 1024, CLUSTER_DEFAULT = 1024 * 1024, IMAGE_AUTO = 0 };

/* Of the kernel, for each kind of compression. */
static const char *const kernel_options[_CODEC_MAX] = {
        [CODEC_LZ4] = "CONFIG_EROFS_FS_ZIP=y",
        [CODEC_LZ4HC] = "CONFIG_EROFS_FS_ZIP=y",
        [CODEC_ZSTD] = "CONFIG_EROFS_FS_ZIP_ZSTD=y",
};

/* Best first. */
static const enum codec_kind preferences[] = { CODEC_ZSTD, CODEC_LZ4HC };

/* What is compressed already. */
static const char *const plain_defaults[] = {
        "/**/*.gz",  "/**/*.xz",  "/**/*.zst",  "/**/*.bz2",   "/**/*.lz4",
        "/**/*.png", "/**/*.jpg", "/**/*.webp", "/**/*.woff2", NULL,
};

/* ---- settings ---- */

const char *const image_compressions[] = { "auto", "none", "lz4", "lz4hc", "zstd", NULL };
static_assert(ARRAY_SIZE(image_compressions) == _CODEC_MAX + 2, "auto, and every codec");

static const struct field_range cluster_range = { EROFS_CLUSTER_MIN, EROFS_CLUSTER_MAX },
                                level_range = { 1, 19 };

static enum codec_kind kind_of(const struct image_settings *s)
{
        return (enum codec_kind)(s->compression - 1);
}

static int check_settings(const struct json_document *d, json_object *value, void *object,
                          struct error *err)
{
        const struct image_settings *s = object;
        int min = 0, max = 0;

        if ((s->cluster_size & (s->cluster_size - 1)) != 0)
                return json_error(d, json_object_object_get(value, "cluster-size"), err, -EINVAL,
                                  "\"cluster-size\" must be a power of two");
        if (s->compression != IMAGE_AUTO)
                codec_level_range(kind_of(s), &min, &max);
        if (s->level != 0 && (s->level < (uint64_t)min || s->level > (uint64_t)max))
                return json_error(d, json_object_object_get(value, "level"), err, -ERANGE,
                                  max == 0 ? "\"%s\" has no levels"
                                           : "the level of \"%s\" must be from %d to %d",
                                  image_compressions[s->compression], min, max);
        return 0;
}

static void settings_free_members(void *object)
{
        image_settings_done(object);
}

const struct record image_settings_record = {
        "erofs",
        sizeof(struct image_settings),
        (const struct field[]){
                { "compression", field_enum, offsetof(struct image_settings, compression), 0,
                  "How /usr is compressed; auto: as the image's kernel can read it.",
                  image_compressions },
                { "level", field_uint, offsetof(struct image_settings, level), 0,
                  "Level of lz4hc (3 to 12) or zstd (1 to 19).", &level_range },
                { "cluster-size", field_size, offsetof(struct image_settings, cluster_size), 0,
                  "What is compressed, and read, as one: a power of two.", &cluster_range },
                { "plain", field_strings, offsetof(struct image_settings, plain), 0,
                  "Glob patterns of paths that stay plain; without it, files of compressed formats.",
                  NULL },
                {},
        },
        settings_free_members,
        check_settings,
};

void image_settings_done(struct image_settings *s)
{
        strv_free(s->plain);
        *s = (struct image_settings){};
}

/* ---- what the kernel reads ---- */

/* The text of /usr/lib/modules/VERSION/config, of the first kernel there is; NULL: none. */
static int load_kernel_config(const struct tree *tree, const struct content_store *store,
                              char **ret, struct error *err)
{
        const struct tree_node *modules = tree_lookup(tree, "/usr/lib/modules");
        size_t size;

        *ret = NULL;
        for (size_t i = 0; modules && i < modules->n_children; i++) {
                const struct tree_node *config = tree_child(modules->children[i], "config");

                if (config)
                        return content_load(config->inode, store, KERNEL_CONFIG_MAX, ret, &size,
                                            err);
        }
        return 0;
}

/* Whether the config has the option as a line of its own. */
static bool has_option(const char *config, const char *option)
{
        size_t n = strlen(option);

        for (const char *at = config; (at = strstr(at, option)); at += n)
                if ((at == config || at[-1] == '\n') && (at[n] == '\n' || at[n] == '\0'))
                        return true;
        return false;
}

static enum codec_kind best_kind(const char *config)
{
        for (size_t i = 0; config && i < ARRAY_SIZE(preferences); i++)
                if (has_option(config, kernel_options[preferences[i]]))
                        return preferences[i];
        return CODEC_NONE;
}

static int choose_compression(int wanted, const char *config, int *ret, struct error *err)
{
        const char *option;

        *ret = wanted;
        if (wanted == IMAGE_AUTO) {
                *ret = (int)best_kind(config) + 1;
                return 0;
        }
        option = kernel_options[wanted - 1];
        if (option && config && !has_option(config, option))
                return error_set(err, -EOPNOTSUPP,
                                 "erofs: compression \"%s\": the image's kernel is built without "
                                 "%s and could not read it",
                                 image_compressions[wanted], option);
        return 0;
}

static int copy_patterns(char *const *from, char ***ret)
{
        _cleanup_strv_ char **copy = NULL;

        for (; *from; from++)
                if (strv_extend(&copy, *from) < 0)
                        return -ENOMEM;
        *ret = TAKE_PTR(copy);
        return 0;
}

int image_settings_complete(const struct image_settings *wanted, const struct tree *tree,
                            const struct content_store *store, struct image_settings *ret,
                            struct error *err)
{
        _cleanup_image_settings_ struct image_settings s = {};
        _cleanup_free_ char *config = NULL;
        int r;

        r = load_kernel_config(tree, store, &config, err);
        if (r >= 0)
                r = choose_compression(wanted->compression, config, &s.compression, err);
        if (r < 0)
                return r;
        s.level = wanted->level ?: (uint64_t)codec_default_level(kind_of(&s));
        s.cluster_size = wanted->cluster_size ?: CLUSTER_DEFAULT;
        if (copy_patterns(wanted->plain ?: (char **)plain_defaults, &s.plain) < 0)
                return error_oom(err);
        *ret = TAKE_STRUCT(s);
        return 0;
}

/* ---- settings as text ---- */

int image_settings_text(const struct image_settings *s, char **ret, struct error *err)
{
        json_object *root = json_object_new_object(), *plain = json_object_new_array();

        json_object_object_add(root, "compression",
                               json_object_new_string(image_compressions[s->compression]));
        if (s->level > 0)
                json_object_object_add(root, "level", json_object_new_uint64(s->level));
        json_object_object_add(root, "cluster-size", json_object_new_uint64(s->cluster_size));
        STRV_FOREACH (pattern, s->plain)
                json_object_array_add(plain, json_object_new_string(*pattern));
        json_object_object_add(root, "plain", plain);
        *ret = strdup(json_object_to_json_string_ext(root, JSON_C_TO_STRING_PLAIN |
                                                                   JSON_C_TO_STRING_NOSLASHESCAPE));
        json_object_put(root);
        return *ret ? 0 : error_oom(err);
}

int image_settings_parse(const char *text, struct image_settings *ret, struct error *err)
{
        _cleanup_image_settings_ struct image_settings s = {};
        _cleanup_json_ struct json_document d = {};
        int r;

        r = json_load("slipway.erofs", text, strlen(text), false, &d, err);
        if (r >= 0)
                r = record_decode(&d, d.root, &image_settings_record, &s, err);
        if (r < 0)
                return r;
        if (s.compression == IMAGE_AUTO || s.cluster_size == 0)
                return error_set(err, -EBADMSG, "slipway.erofs: not complete");
        *ret = TAKE_STRUCT(s);
        return 0;
}

void image_library(const struct image_settings *s, char ret[CODEC_LIBRARY_MAX])
{
        codec_library(kind_of(s), ret);
}

/* ---- the image ---- */

int image_cache_open(int cache_fd, const struct image_settings *s, struct extent_cache **ret,
                     struct error *err)
{
        char parameters[128], library[CODEC_LIBRARY_MAX];

        *ret = NULL;
        if (kind_of(s) == CODEC_NONE)
                return 0;
        image_library(s, library);
        snprintf(parameters, sizeof(parameters), "%s %s %ju %ju", library,
                 image_compressions[s->compression], (uintmax_t)s->level,
                 (uintmax_t)s->cluster_size);
        return extent_cache_open(cache_fd, parameters, ret, err);
}

static bool stays_plain(const struct tree_node *node, const void *userdata)
{
        const struct image_settings *s = userdata;
        char path[TREE_PATH_MAX];

        tree_path(node, path);
        STRV_FOREACH (pattern, s->plain)
                if (glob_match(*pattern, path))
                        return true;
        return false;
}

static struct erofs_options options_of(const char *label, const struct image_settings *settings)
{
        return (struct erofs_options){
                .label = label,
                .codec = { kind_of(settings), (int)settings->level },
                .cluster_size = (uint32_t)settings->cluster_size,
                .keep_plain = stays_plain,
                .userdata = settings,
        };
}

int image_new(const struct tree *tree, const struct sha256 *root,
              const struct image_settings *settings, struct extent_cache *cache, bool keep,
              struct erofs_image **ret, struct error *err)
{
        struct tree_node *usr = tree_child(tree->root, "usr");
        struct erofs_options options = options_of("usr", settings);
        struct uuid uuid;

        if (!usr)
                return error_set(err, -ENOENT, "the tree has no /usr");
        derive_uuid(root, "erofs", &uuid);
        options.uuid = &uuid;
        options.cache = cache;
        options.keep = keep;
        return erofs_image_new(usr, &options, ret, err);
}

int image_new_whole(const struct tree *tree, const struct sha256 *seed, const char *label,
                    const struct image_settings *settings, struct erofs_image **ret,
                    struct error *err)
{
        struct erofs_options options = options_of(label, settings);
        struct uuid uuid;

        derive_uuid(seed, "erofs", &uuid);
        options.uuid = &uuid;
        return erofs_image_new(tree->root, &options, ret, err);
}

void image_verity_uuid(const struct sha256 *root, struct uuid *ret)
{
        derive_uuid(root, "verity", ret);
}
