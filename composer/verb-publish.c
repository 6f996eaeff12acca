/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* slipway publish [BUILD] --site DIR --key FILE: adds a build's release to a channel of an update
 * site, and says how long its releases will go on fitting. */

#include <inttypes.h>
#include <time.h>

#include "cli.h"
#include "delta.h"
#include "key-file.h"
#include "publish.h"
#include "strv.h"

enum {
        KEY_SITE = 0x200,
        KEY_CHANNEL,
        KEY_KEY,
        KEY_EXPIRES,
        KEY_PRUNE,
        KEY_KEEP,
        KEY_LAYOUT,
        KEY_FORCE,
        KEY_RENEW,
        KEY_PATCH_LEVEL,
        KEY_EXTENSION,
        KEY_IMAGE,

        DAY = 24 * 60 * 60,
        EXPIRES_DEFAULT = 30,
        EXPIRES_MAX = 3650,
        KEEP_DEFAULT = 3,
        KEEP_MAX = 1000,
};

struct arguments {
        struct cli_options cli;
        struct publish_options publish;
        const char *keys[SITE_KEYS_MAX];
        size_t n_keys;
        unsigned long expires, keep;
};

static const struct argp_option options[] = {
        { "site", KEY_SITE, "DIR", 0, "Directory of the update site; made when it is not there",
          0 },
        { "channel", KEY_CHANNEL, "NAME", 0, "Channel that the release is for", 0 },
        { "key", KEY_KEY, "FILE", 0, "Secret key to sign with; may be repeated", 0 },
        { "expires", KEY_EXPIRES, "DAYS", 0, "How long machines believe the summary (default: 30)",
          0 },
        { "layout", KEY_LAYOUT, "FILE", 0,
          "Smallest layouts in the field, which the channel's releases must fit from now on", 0 },
        { "prune", KEY_PRUNE, NULL, 0, "Remove releases that no channel needs", 0 },
        { "keep", KEY_KEEP, "N", 0, "Releases of each channel that --prune leaves (default: 3)",
          0 },
        { "force", KEY_FORCE, NULL, 0, "Publish what is older than the channel's newest", 0 },
        { "patch-level", KEY_PATCH_LEVEL, "N", 0,
          "Effort for patches of kernel modules, 1 to 22 (default: 19); 0: none are made", 0 },
        { "extension", KEY_EXTENSION, "FILE", 0,
          "Offer an extension's image, made by `slipway sysext`, in the channel; may be repeated",
          0 },
        { "image", KEY_IMAGE, "NAME", 0, "Whose channel an extension is for; without a BUILD", 0 },
        { "renew", KEY_RENEW, NULL, 0, "Sign the summary with a new date; needs no BUILD", 0 },
        {},
};

static unsigned long parse_number(const char *text, const char *option, unsigned long min,
                                  unsigned long max, struct argp_state *state)
{
        char *end;
        unsigned long n = strtoul(text, &end, 10);

        if (*end || *text < '0' || *text > '9' || n < min || n > max)
                argp_error(state, "%s wants a number from %lu to %lu, not '%s'", option, min, max,
                           text);
        return n;
}

static void add_key(struct arguments *a, const char *path, struct argp_state *state)
{
        if (a->n_keys == SITE_KEYS_MAX)
                argp_error(state, "at most %d keys", SITE_KEYS_MAX);
        a->keys[a->n_keys++] = path;
}

static void check(const struct arguments *a, struct argp_state *state)
{
        const struct publish_options *p = &a->publish;

        if (!p->site || a->n_keys == 0)
                argp_error(state, "--site and --key are needed");
        if (p->build && !p->channel)
                argp_error(state, "which --channel?");
        if (!p->build && !p->renew && !p->prune && !p->extensions)
                argp_error(state, "which build directory?");
        if (!p->build && (p->layouts || p->older || (p->channel && !p->extensions)))
                argp_error(state, "--channel, --layout and --force are about a build");
        if (!p->build && p->extensions && (!p->channel || !p->image))
                argp_error(state, "an extension without a build wants --image and --channel");
        if (p->image && (p->build || !p->extensions))
                argp_error(state, "--image is about extensions without a build");
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
        struct arguments *a = state->input;
        struct publish_options *p = &a->publish;

        switch (key) {
        case ARGP_KEY_INIT: state->child_inputs[0] = &a->cli; return 0;
        case KEY_SITE: p->site = argument; return 0;
        case KEY_CHANNEL: p->channel = argument; return 0;
        case KEY_KEY: add_key(a, argument, state); return 0;
        case KEY_EXPIRES:
                a->expires = parse_number(argument, "--expires", 1, EXPIRES_MAX, state);
                return 0;
        case KEY_KEEP: a->keep = parse_number(argument, "--keep", 1, KEEP_MAX, state); return 0;
        case KEY_LAYOUT: p->layouts = argument; return 0;
        case KEY_PATCH_LEVEL:
                p->patch_level =
                        (int)parse_number(argument, "--patch-level", 0, DELTA_LEVEL_MAX, state);
                return 0;
        case KEY_PRUNE: p->prune = true; return 0;
        case KEY_FORCE: p->older = true; return 0;
        case KEY_RENEW: p->renew = true; return 0;
        case KEY_EXTENSION: return strv_extend(&p->extensions, argument) < 0 ? ENOMEM : 0;
        case KEY_IMAGE: p->image = argument; return 0;
        case ARGP_KEY_ARG: return cli_one_argument(state, argument, &p->build, "build");
        case ARGP_KEY_END: check(a, state); return 0;
        default: return ARGP_ERR_UNKNOWN;
        }
}

static const struct argp argp = { options,
                                  parse_option,
                                  "[BUILD]",
                                  "Publishes the release of a build's output directory in a "
                                  "channel of an update site, a directory for any web server.",
                                  cli_children,
                                  NULL,
                                  NULL };

/* ---- the answer ---- */

static void print_trend(const struct channel_trend *t)
{
        char size[16], limit[16], growth[16];

        printf("%s: %s", t->partition, cli_size(t->size, size));
        if (t->layout)
                printf(" of %s in layout '%s'", cli_size(t->limit, limit), t->layout);
        if (t->releases > 1)
                printf(", %s%s a release (last %u)", t->growth < 0 ? "-" : "+",
                       cli_size((uint64_t)(t->growth < 0 ? -t->growth : t->growth), growth),
                       t->releases);
        if (t->left != UINT64_MAX)
                printf(": %" PRIu64 " more fit", t->left);
        putchar('\n');
}

static void print_release(const struct arguments *a, const struct publication *p)
{
        char commit[SHA256_HEX_SIZE], root_hash[SHA256_HEX_SIZE];
        const struct release *r = &p->release;
        struct channel_trend trend;

        printf("%s %s (%s) in %s%s\ncommit %s\nimages/%s\n", r->image, r->version, r->architecture,
               a->publish.channel, p->changed ? "" : ", unchanged", sha256_hex(&p->commit, commit),
               sha256_hex(&r->root_hash, root_hash));
        if (channel_trend(&p->channel, &trend))
                print_trend(&trend);
}

static void put_string(json_object *object, const char *key, const char *value)
{
        json_object_object_add(object, key, value ? json_object_new_string(value) : NULL);
}

static json_object *trend_json(const struct channel_trend *t)
{
        json_object *object = json_object_new_object();

        put_string(object, "partition", t->partition);
        put_string(object, "layout", t->layout);
        json_object_object_add(object, "size", json_object_new_uint64(t->size));
        if (t->layout)
                json_object_object_add(object, "limit", json_object_new_uint64(t->limit));
        json_object_object_add(object, "releases", json_object_new_int64(t->releases));
        json_object_object_add(object, "growth", json_object_new_int64(t->growth));
        json_object_object_add(object, "left",
                               t->left == UINT64_MAX ? NULL : json_object_new_uint64(t->left));
        return object;
}

static void put_release(json_object *root, const struct arguments *a, const struct publication *p)
{
        char hex[SHA256_HEX_SIZE];
        struct channel_trend trend;

        put_string(root, "image", p->release.image);
        put_string(root, "version", p->release.version);
        put_string(root, "architecture", p->release.architecture);
        put_string(root, "channel", a->publish.channel);
        put_string(root, "commit", sha256_hex(&p->commit, hex));
        put_string(root, "rootHash", sha256_hex(&p->release.root_hash, hex));
        if (channel_trend(&p->channel, &trend))
                json_object_object_add(root, "trend", trend_json(&trend));
}

static void print_json(const struct arguments *a, const struct publication *p)
{
        json_object *root = json_object_new_object();

        if (a->publish.build)
                put_release(root, a, p);
        json_object_object_add(root, "changed", json_object_new_boolean(p->changed));
        json_object_object_add(root, "imagesRemoved", json_object_new_uint64(p->images_removed));
        json_object_object_add(root, "objectsRemoved", json_object_new_uint64(p->objects_removed));
        json_object_object_add(root, "patchesRemoved", json_object_new_uint64(p->patches_removed));
        json_object_object_add(root, "extensionsRemoved",
                               json_object_new_uint64(p->extensions_removed));
        cli_print_json(root);
}

static void print_result(const struct arguments *a, const struct publication *p)
{
        if (a->cli.json) {
                print_json(a, p);
                return;
        }
        if (a->publish.build)
                print_release(a, p);
        if (a->publish.prune)
                printf("pruned %" PRIu64 " images, %" PRIu64 " objects, %" PRIu64
                       " patches, %" PRIu64 " extensions\n",
                       p->images_removed, p->objects_removed, p->patches_removed,
                       p->extensions_removed);
}

/* ---- the run ---- */

/* This takes a minute. */
static void say_patching(void *userdata _unused_, const char *from_kernel, const char *to_kernel)
{
        fprintf(stderr, "patches of kernel modules: %s to %s\n", from_kernel, to_kernel);
}

static int load_keys(const struct arguments *a, struct site_keys *keys, struct error *err)
{
        int r = 0;

        for (; r >= 0 && keys->count < a->n_keys; keys->count++)
                r = key_load(a->keys[keys->count], &keys->items[keys->count], err);
        return r;
}

static int run_publish(const struct arguments *a, struct error *err)
{
        _cleanup_workdir_ struct workdir w = { .cache_fd = -1, .output_fd = -1 };
        _cleanup_publication_ struct publication p = {};
        int r = cli_workdir(&a->cli, NULL, &w, err);

        if (r >= 0)
                r = publish(&w, &a->publish, &p, err);
        if (r >= 0)
                print_result(a, &p);
        return r;
}

int verb_publish(int argc, char *argv[], struct error *err)
{
        struct arguments a = { .publish.patch_level = DELTA_LEVEL_DEFAULT,
                               .expires = EXPIRES_DEFAULT,
                               .keep = KEEP_DEFAULT };
        struct site_keys keys = {};
        int r;

        argp_parse(&argp, argc, argv, 0, NULL, &a);
        a.publish.keys = &keys;
        a.publish.now = (uint64_t)time(NULL);
        a.publish.lifetime = a.expires * DAY;
        a.publish.keep = (unsigned)a.keep;
        a.publish.patching = say_patching;
        r = load_keys(&a, &keys, err);
        if (r >= 0)
                r = run_publish(&a, err);
        explicit_bzero(&keys, sizeof(keys));
        strv_free(a.publish.extensions);
        cli_options_done(&a.cli);
        return r;
}
