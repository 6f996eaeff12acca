/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See image-commit.h. */

#include "image-commit.h"
#include "report.h"
#include "strv.h"

static int load_settings(const struct workdir *w, const struct sha256 *commit,
                         struct image_settings *ret, struct error *err)
{
        _cleanup_free_ char *text = NULL;
        int r = repo_metadata(w->repo, commit, COMMIT_EROFS, &text, err);

        return r < 0 ? r : image_settings_parse(text, ret, err);
}

static int apply_layout(const struct workdir *w, const struct sha256 *commit,
                        struct erofs_image *image, struct error *err)
{
        _cleanup_free_ char *layout = NULL;
        size_t size;
        int r = repo_metadata_bytes(w->repo, commit, COMMIT_EROFS_LAYOUT, &layout, &size, err);

        if (r == -ENODATA)
                return 0;
        return r < 0 ? r : erofs_image_apply(image, layout, size, err);
}

int commit_image_load(const struct workdir *w, const struct sha256 *commit,
                      struct extent_cache *cache, struct commit_image *ret, struct error *err)
{
        _cleanup_commit_image_ struct commit_image c = {};
        char hex[SHA256_HEX_SIZE];
        struct sha256 root;
        int r;

        r = repo_load_tree(w->repo, sha256_hex(commit, hex), &c.tree, err);
        if (r >= 0)
                r = repo_root(w->repo, commit, &root, err);
        if (r >= 0)
                r = load_settings(w, commit, &c.settings, err);
        if (r < 0)
                return r;
        *ret = TAKE_STRUCT(c); /* the image points to the settings */
        r = image_new(ret->tree, &root, &ret->settings, cache, false, &ret->image, err);
        if (r >= 0)
                r = apply_layout(w, commit, ret->image, err);
        if (r < 0)
                commit_image_done(ret);
        return r;
}

void commit_image_done(struct commit_image *c)
{
        erofs_image_free(c->image);
        image_settings_done(&c->settings);
        tree_free(c->tree);
        *c = (struct commit_image){};
}

int commit_image_leaves(const struct workdir *w, const struct commit_image *c,
                        struct block_digests *ret, struct error *err)
{
        struct content_store store = repo_contents(w->repo);
        _cleanup_block_digests_ struct block_digests leaves = {};
        struct erofs_target nowhere = { .fd = -1, .digests = &leaves };
        int r;

        r = block_digests_init(&leaves, erofs_image_bound(c->image) / BLOCK_SIZE, err);
        if (r >= 0)
                r = erofs_image_write(c->image, &store, &nowhere, w->threads, err);
        if (r < 0)
                return r;
        *ret = TAKE_STRUCT(leaves);
        return 0;
}

/* ---- bases ---- */

static int commit_of_report(const char *path, bool is_directory, struct sha256 *ret,
                            struct error *err)
{
        _cleanup_report_summary_ struct report_summary summary = {};
        _cleanup_free_ char *directory = strdup(path);
        char *slash;
        int r;

        if (!directory)
                return error_oom(err);
        slash = strrchr(directory, '/');
        if (!is_directory && slash)
                slash[slash == directory] = '\0';
        r = report_load(is_directory || slash ? directory : ".", &summary, err);
        if (r >= 0)
                *ret = summary.commit;
        return r;
}

int base_commit_find(const struct workdir *w, const char *name, struct sha256 *ret,
                     struct error *err)
{
        char hex[SHA256_HEX_SIZE];
        struct sha256 commit;
        struct stat st;
        int r = 0;

        if (stat(name, &st) == 0) {
                r = commit_of_report(name, S_ISDIR(st.st_mode), &commit, err);
                if (r >= 0)
                        r = repo_resolve(w->repo, sha256_hex(&commit, hex), ret, err);
        } else {
                r = repo_resolve(w->repo, name, ret, err);
        }
        return error_prefix(err, r, "base '%s'", name);
}

/* Places hold for blocks that come out the same. */
static int compare_settings(const struct image_settings *a, const struct image_settings *b,
                            struct error *err)
{
        _cleanup_free_ char *x = NULL, *y = NULL;
        int r;

        r = image_settings_text(a, &x, err);
        if (r >= 0)
                r = image_settings_text(b, &y, err);
        if (r < 0 || streq(x, y))
                return r;
        return error_set(err, -EINVAL, "it is packed otherwise: %s, now %s", x, y);
}

int image_rebase(const struct workdir *w, struct erofs_image *image,
                 const struct image_settings *settings, const struct sha256 *base,
                 struct extent_cache *cache, struct error *err)
{
        _cleanup_commit_image_ struct commit_image b = {};
        struct content_store store = repo_contents(w->repo);
        int r;

        r = commit_image_load(w, base, cache, &b, err);
        if (r >= 0)
                r = compare_settings(&b.settings, settings, err);
        if (r >= 0 && !erofs_image_is_placed(b.image)) {
                r = erofs_image_measure(b.image, &store, w->threads, err);
                if (r >= 0)
                        erofs_image_place(b.image);
        }
        if (r < 0)
                return error_prefix(err, r, "base");
        r = erofs_image_measure(image, &store, w->threads, err);
        return r < 0 ? r : erofs_image_rebase(image, b.image, err);
}
