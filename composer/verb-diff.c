/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* slipway diff A B: packages, files, units and kernel options between two commits. A and B are
 * refs, commit checksums, or directories that `slipway build` wrote to.
 *
 * slipway diff --blocks A B: what a machine that has image A fetches to have B; diff-blocks.h says
 * what counts. A and B may also be files: images of /usr, raw disks. Everything is hashed: a hash
 * tree beside an image might not be its own. */

#include <fcntl.h>
#include <inttypes.h>

#include "cli.h"
#include "diff-blocks.h"
#include "diff.h"
#include "image-commit.h"
#include "image-file.h"
#include "interrupt.h"
#include "report.h"
#include "strv.h"

struct arguments {
        struct cli_options cli;
        const char *sides[2];
        int count;
        bool blocks;
};

enum { KEY_BLOCKS = 0x200 };

static const struct argp_option options[] = {
        { "blocks", KEY_BLOCKS, NULL, 0,
          "Compare the images' 4 KiB blocks; A and B may be image or raw disk files", 0 },
        {},
};

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
        struct arguments *a = state->input;

        switch (key) {
        case ARGP_KEY_INIT: state->child_inputs[0] = &a->cli; return 0;
        case KEY_BLOCKS: a->blocks = true; return 0;
        case ARGP_KEY_ARG:
                if (a->count == 2)
                        argp_error(state, "two things to compare, not more");
                a->sides[a->count++] = argument;
                return 0;
        case ARGP_KEY_END:
                if (a->count < 2)
                        argp_error(state, "which two things to compare?");
                return 0;
        default: return ARGP_ERR_UNKNOWN;
        }
}

static const struct argp argp = {
        options,      parse_option,
        "A B",        "Compares two commits (refs, checksums) or build directories.",
        cli_children, NULL,
        NULL
};

static const char *const signs[] = {
        [CHANGE_ADDED] = "+", [CHANGE_REMOVED] = "-", [CHANGE_CHANGED] = "~"
};
static const char *const words[] = {
        [CHANGE_ADDED] = "added", [CHANGE_REMOVED] = "removed", [CHANGE_CHANGED] = "changed"
};

static void print_list(const char *title, const struct change_list *list)
{
        if (list->count == 0)
                return;
        printf("%s (%zu)\n", title, list->count);
        for (size_t i = 0; i < list->count; i++) {
                const struct change *c = &list->items[i];

                printf("  %s %s  %s%s%s\n", signs[c->kind], c->name, c->before ?: "",
                       c->before && c->after ? " => " : "", c->after ?: "");
        }
}

static void print_text(const struct tree_diff *d)
{
        print_list("packages", &d->packages);
        print_list("kernel options", &d->options);
        print_list("units", &d->units);
        print_list("files", &d->files);
        printf("size %+" PRId64 " bytes\n", d->size_delta);
}

static void put_list(json_object *root, const char *key, const struct change_list *list)
{
        json_object *array = json_object_new_array();

        for (size_t i = 0; i < list->count; i++) {
                const struct change *c = &list->items[i];
                json_object *item = json_object_new_object();

                json_object_object_add(item, "name", json_object_new_string(c->name));
                json_object_object_add(item, "change", json_object_new_string(words[c->kind]));
                if (c->before)
                        json_object_object_add(item, "before", json_object_new_string(c->before));
                if (c->after)
                        json_object_object_add(item, "after", json_object_new_string(c->after));
                json_object_array_add(array, item);
        }
        json_object_object_add(root, key, array);
}

static void print_json(const struct tree_diff *d)
{
        json_object *root = json_object_new_object();

        put_list(root, "packages", &d->packages);
        put_list(root, "kernelOptions", &d->options);
        put_list(root, "units", &d->units);
        put_list(root, "files", &d->files);
        json_object_object_add(root, "sizeDelta", json_object_new_int64(d->size_delta));
        cli_print_json(root);
}

static int load_side(const struct workdir *w, const char *side, struct tree **ret,
                     struct error *err)
{
        char hex[SHA256_HEX_SIZE];
        struct stat st;
        int r;

        if (stat(side, &st) == 0 && S_ISDIR(st.st_mode)) {
                struct report_summary summary = {};

                r = report_load(side, &summary, err);
                if (r < 0)
                        return r;
                sha256_hex(&summary.commit, hex);
                report_summary_done(&summary);
                side = hex;
        }
        return repo_load_tree(w->repo, side, ret, err);
}

static int diff(const struct arguments *a, struct error *err)
{
        _cleanup_workdir_ struct workdir w = { .cache_fd = -1, .output_fd = -1 };
        _cleanup_tree_ struct tree *before = NULL, *after = NULL;
        _cleanup_tree_diff_ struct tree_diff d = {};
        struct content_store store;
        int r;

        r = cli_workdir(&a->cli, NULL, &w, err);
        if (r >= 0)
                r = load_side(&w, a->sides[0], &before, err);
        if (r >= 0)
                r = load_side(&w, a->sides[1], &after, err);
        if (r < 0)
                return r;
        store = repo_contents(w.repo);
        r = tree_diff(before, after, &store, &d, err);
        if (r < 0)
                return r;
        if (a->cli.json)
                print_json(&d);
        else
                print_text(&d);
        return 0;
}

/* ---- blocks ---- */

static int leaves_of_file(const struct arguments *a, const char *path, struct block_digests *ret,
                          struct error *err)
{
        _cleanup_image_file_ struct image_file file = IMAGE_FILE_NULL;
        int r = image_file_open(path, &file, err);

        return r < 0 ? r
                     : error_prefix(err, image_file_digests(&file, a->cli.threads, ret, err), "%s",
                                    path);
}

/* The raw disk among the artifacts of a build. */
static int leaves_of_build(const struct arguments *a, const char *directory,
                           struct block_digests *ret, struct error *err)
{
        _cleanup_report_summary_ struct report_summary summary = {};
        _cleanup_free_ char *path = NULL;
        int r = report_load(directory, &summary, err);

        if (r < 0)
                return r;
        for (size_t i = 0; !path && i < summary.artifacts.count; i++)
                if (endswith(summary.artifacts.items[i].name, ".raw")) {
                        path = string_format("%s/%s", directory, summary.artifacts.items[i].name);
                        if (!path)
                                return error_oom(err);
                }
        if (!path)
                return error_set(err, -ENOENT, "%s: the report lists no raw disk", directory);
        return leaves_of_file(a, path, ret, err);
}

/* Files need neither cache nor repository, so these are opened (and made) only here. */
static int leaves_of_commit(const struct arguments *a, const char *name, struct block_digests *ret,
                            struct error *err)
{
        _cleanup_commit_image_ struct commit_image c = {};
        _cleanup_workdir_ struct workdir w = { .cache_fd = -1, .output_fd = -1 };
        struct sha256 commit;
        int r;

        r = cli_workdir(&a->cli, NULL, &w, err);
        if (r >= 0)
                r = repo_resolve(w.repo, name, &commit, err);
        if (r >= 0)
                r = commit_image_load(&w, &commit, NULL, &c, err);
        if (r >= 0)
                r = commit_image_leaves(&w, &c, ret, err);
        return error_prefix(err, r, "'%s' is no file; as a commit", name);
}

static int leaves_of(const struct arguments *a, const char *side, struct block_digests *ret,
                     struct error *err)
{
        struct stat st;

        if (stat(side, &st) < 0)
                return leaves_of_commit(a, side, ret, err);
        return S_ISDIR(st.st_mode) ? leaves_of_build(a, side, ret, err)
                                   : leaves_of_file(a, side, ret, err);
}

static double percent(uint64_t part, uint64_t whole)
{
        return whole > 0 ? 100.0 * (double)part / (double)whole : 0;
}

static void print_blocks_text(const struct block_diff *d)
{
        char size[16];

        printf("%-9s %10s %12s\n", "", "blocks", "size");
        printf("%-9s %10" PRIu64 " %12s\n", "image", d->blocks,
               cli_size(d->blocks * BLOCK_SIZE, size));
        printf("%-9s %10" PRIu64 " %12s  %.2f %%\n\n", "missing", d->missing,
               cli_size(d->missing * BLOCK_SIZE, size), percent(d->missing, d->blocks));
        printf("%-9s %10s %12s\n", "gap", "ranges", "fetched");
        for (size_t i = 0; i < BLOCK_DIFF_GAPS; i++) {
                printf("%-9s %10" PRIu64, cli_size(d->sums[i].gap, size), d->sums[i].ranges);
                printf(" %12s  %.2f %%\n", cli_size(d->sums[i].bytes, size),
                       percent(d->sums[i].bytes, d->blocks * BLOCK_SIZE));
        }
}

static void put_number(json_object *object, const char *key, uint64_t value)
{
        json_object_object_add(object, key, json_object_new_uint64(value));
}

static void print_blocks_json(const struct block_diff *d)
{
        json_object *root = json_object_new_object(), *ranges = json_object_new_array();
        char share[32];

        snprintf(share, sizeof(share), "%.4f", percent(d->missing, d->blocks));
        put_number(root, "blocks", d->blocks);
        put_number(root, "zeroBlocks", d->zeros);
        put_number(root, "missingBlocks", d->missing);
        put_number(root, "missingBytes", d->missing * BLOCK_SIZE);
        json_object_object_add(root, "missingPercent",
                               json_object_new_double_s(percent(d->missing, d->blocks), share));
        for (size_t i = 0; i < BLOCK_DIFF_GAPS; i++) {
                json_object *item = json_object_new_object();

                put_number(item, "gap", d->sums[i].gap);
                put_number(item, "ranges", d->sums[i].ranges);
                put_number(item, "bytes", d->sums[i].bytes);
                json_object_array_add(ranges, item);
        }
        json_object_object_add(root, "fetch", ranges);
        cli_print_json(root);
}

static int diff_blocks(const struct arguments *a, struct error *err)
{
        _cleanup_block_digests_ struct block_digests before = {}, after = {};
        struct block_diff d;
        int r;

        interrupt_catch();
        r = leaves_of(a, a->sides[0], &before, err);
        if (r >= 0)
                r = leaves_of(a, a->sides[1], &after, err);
        if (r >= 0)
                r = block_diff(&before, &after, &d, err);
        if (r < 0)
                return r;
        if (a->cli.json)
                print_blocks_json(&d);
        else
                print_blocks_text(&d);
        return 0;
}

int verb_diff(int argc, char *argv[], struct error *err)
{
        struct arguments a = {};
        int r;

        argp_parse(&argp, argc, argv, 0, NULL, &a);
        r = a.blocks ? diff_blocks(&a, err) : diff(&a, err);
        cli_options_done(&a.cli);
        return r;
}
