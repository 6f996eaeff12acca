/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See seal.h. A commit is signed after it was sealed, so what its metadata says of the image, the
 * release above all, is covered by that signature. */

#include <assert.h>

#include "derived.h"
#include "image-commit.h"
#include "initrd.h"
#include "module-diff.h"
#include "release.h"
#include "seal.h"
#include "strv.h"

enum { COMMIT_KEYS_MAX = 12 };

/* ---- the release ---- */

static int copy_names(const struct manifest *m, struct release *r, struct error *err)
{
        r->image = strdup(m->name);
        r->version = strdup(m->version);
        r->architecture = strdup(m->architecture);
        if (!r->image || !r->version || !r->architecture)
                return error_oom(err);
        if (m->sysext_level && strv_extend(&r->sysext_levels, m->sysext_level) < 0)
                return error_oom(err);
        return 0;
}

/* Of all kernel modules; reading them would take longer than anything else here. */
static int modules_digest(const struct workdir *w, const struct tree *tree, struct sha256 *ret,
                          struct error *err)
{
        char key[SHA256_HEX_SIZE], name[sizeof("module-set-") + SHA256_HEX_SIZE];
        const struct content_store store = repo_contents(w->repo);
        _cleanup_module_set_ struct module_set set = {};
        _cleanup_free_ char *kept = NULL;
        size_t size;
        int r = module_set_key(tree, &store, key, err);

        if (r < 0)
                return r;
        snprintf(name, sizeof(name), "module-set-%s", key);
        r = derived_load(w->cache_fd, name, SHA256_SIZE, &kept, &size, err);
        if (r > 0 && size == SHA256_SIZE)
                return memcpy(ret->bytes, kept, SHA256_SIZE), 0;
        if (r >= 0)
                r = module_set_of_tree(tree, &store, &set, err);
        if (r < 0)
                return r;
        *ret = set.digest;
        return derived_keep(w->cache_fd, name, ret->bytes, SHA256_SIZE, err);
}

static int release_of(const struct workdir *w, const struct manifest *m, const struct seal *seal,
                      const struct composition *c, struct release *ret, struct error *err)
{
        struct content_store store = repo_contents(w->repo);
        _cleanup_release_ struct release release = {
                .format = RELEASE_FORMAT,
                .timestamp = c->epoch,
                .root_hash = c->root_hash,
                .usr_size = c->usr_size,
                .tree_size = c->tree_size,
                .uki_size = c->uki_size,
                .uki_root_hash = *seal->uki_root_hash,
                .usr_signature_size = seal->signature ? strlen(seal->signature) : 0,
                .layout = *seal->minimum,
        };
        int r;

        if (seal->signature)
                sha256_of(seal->signature, strlen(seal->signature), &release.usr_signature);
        r = copy_names(m, &release, err);
        if (r >= 0)
                r = kernel_version(c->merge.tree, &release.kernel, err);
        if (r >= 0)
                r = health_names(c->merge.tree, &store, &release.health, err);
        if (r >= 0)
                r = modules_digest(w, c->merge.tree, &release.modules, err);
        if (r >= 0)
                *ret = TAKE_STRUCT(release);
        return r;
}

static int release_text_of(const struct workdir *w, const struct manifest *m,
                           const struct seal *seal, const struct composition *c, char **ret,
                           struct error *err)
{
        _cleanup_release_ struct release release = {};
        int r = release_of(w, m, seal, c, &release, err);

        return r < 0 ? r : release_text(&release, ret, err);
}

/* ---- the commit ---- */

/* Pairs of keys and values, as many as there are. */
struct commit_keys {
        const char *items[2 * COMMIT_KEYS_MAX + 1];
        size_t count;
};

static void add_key(struct commit_keys *k, const char *key, const char *value)
{
        assert(k->count + 2 < ARRAY_SIZE(k->items));
        k->items[k->count++] = key;
        k->items[k->count++] = value;
}

static int write_commit(const struct workdir *w, const struct manifest *m,
                        const struct commit_info *info, struct sha256 *commit, struct error *err)
{
        char ref[160];
        int r;

        snprintf(ref, sizeof(ref), "image/%s/%s", m->name, m->architecture);
        r = repo_begin(w->repo, err);
        if (r < 0)
                return r;
        r = repo_seal(w->repo, commit, ref, info, commit, err);
        if (r < 0) {
                repo_abort(w->repo);
                return r;
        }
        return repo_end(w->repo, err);
}

int commit_seal(const struct workdir *w, const struct manifest *m, const struct seal *seal,
                struct composition *c, struct error *err)
{
        char root_hash[SHA256_HEX_SIZE], base[SHA256_HEX_SIZE], usr_size[24];
        struct commit_info info = { .subject = m->name, .timestamp = c->epoch };
        _cleanup_free_ char *settings = NULL, *release = NULL;
        char library[CODEC_LIBRARY_MAX];
        struct commit_keys keys = {};
        int r;

        r = image_settings_text(seal->settings, &settings, err);
        if (r >= 0)
                r = release_text_of(w, m, seal, c, &release, err);
        if (r < 0)
                return r;
        image_library(seal->settings, library);
        snprintf(usr_size, sizeof(usr_size), "%ju", (uintmax_t)c->usr_size);
        add_key(&keys, "slipway.version", m->version);
        add_key(&keys, "slipway.architecture", m->architecture);
        add_key(&keys, COMMIT_ROOT_HASH, sha256_hex(&c->root_hash, root_hash));
        add_key(&keys, "slipway.usr-size", usr_size);
        add_key(&keys, COMMIT_RELEASE, release);
        add_key(&keys, COMMIT_EROFS, settings);
        add_key(&keys, COMMIT_EROFS_LIBRARY, library);
        add_key(&keys, "version", m->version);
        if (seal->places->size > 0) {
                add_key(&keys, COMMIT_EROFS_BASE, sha256_hex(seal->base, base));
                info.bytes_key = COMMIT_EROFS_LAYOUT;
                info.bytes = seal->places->data;
                info.bytes_size = seal->places->size;
        }
        info.keys = keys.items;
        return write_commit(w, m, &info, &c->commit, err);
}
