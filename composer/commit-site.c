/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See commit-site.h.
 *
 * Copying. All objects but the commit arrive in one transaction, the commit in another, and
 * libostree syncs each before its files get their names: so a commit that is there is complete,
 * after a kill and after a power cut, and copying it again costs one look.
 *
 * Signatures are those of the file's bytes: an "aay" under "ostree.sign.ed25519" in an "a{sv}",
 * which is the commit's detached metadata, or summary.sig. */

#include "commit-internal.h"
#include "commit-site-internal.h"
#include "io.h"
#include "parallel.h"
#include "strv.h"

#define SIGNATURES_KEY "ostree.sign.ed25519"

enum { COPY_PIECES = 64 };

static const char repo_config[] = "[core]\n"
                                  "repo_version=1\n"
                                  "mode=archive-z2\n"
                                  "min-free-space-percent=0\n";

/* ---- repository ---- */

/* A config of our own comes first, see create_at() in commit.c. */
static int write_config(int fd, struct error *err)
{
        if (faccessat(fd, "config", F_OK, 0) == 0)
                return 0;
        return file_write(fd, "config", repo_config, strlen(repo_config), 0644, err);
}

int site_repo_open(int site_fd, struct site_repo **ret, struct error *err)
{
        _cleanup_site_repo_ struct site_repo *s = calloc(1, sizeof(*s));
        g_autoptr(GError) error = NULL;
        int r;

        if (!s)
                return error_oom(err);
        s->fd = path_open_dir(site_fd, "repo", 0755, err);
        if (s->fd < 0)
                return s->fd;
        drafts_sweep(s->fd);
        r = write_config(s->fd, err);
        if (r < 0)
                return error_prefix(err, r, "repo");
        s->ostree = ostree_repo_create_at(s->fd, ".", OSTREE_REPO_MODE_ARCHIVE, NULL, NULL, &error);
        if (!s->ostree)
                return error_prefix(err, gerror_set(err, error), "repo");
        if (ostree_repo_get_mode(s->ostree) != OSTREE_REPO_MODE_ARCHIVE)
                return error_set(err, -EINVAL, "repo: its mode is not archive");
        s->commits = (struct repo){ .ostree = s->ostree, .fd = s->fd, .unsynced_fd = -1 };
        *ret = TAKE_PTR(s);
        return 0;
}

void site_repo_free(struct site_repo *s)
{
        if (!s)
                return;
        g_clear_object(&s->ostree);
        close_p(&s->fd);
        free(s);
}

/* libostree replaces files by way of names that it never removes, and would take for refs: a kill
 * leaves none of ours. */
static int put_file(struct site_repo *s, const char *directory, const char *name, const void *data,
                    size_t size, struct error *err)
{
        _cleanup_close_ int fd = path_open_dir(s->fd, directory, 0755, err);

        if (fd < 0)
                return fd;
        drafts_sweep(fd);
        return file_write(fd, name, data, size, 0644, err);
}

/* ---- copying ---- */

struct copy {
        struct site_repo *to;
        struct repo *from;
        GPtrArray *names; /* borrowed variants */
};

static int copy_object(const struct copy *c, OstreeObjectType type, const char *checksum,
                       struct error *err)
{
        g_autoptr(GError) error = NULL;

        if (!ostree_repo_import_object_from_with_trust(c->to->ostree, c->from->ostree, type,
                                                       checksum, TRUE, NULL, &error))
                return error_prefix(err, gerror_set(err, error), "object %s", checksum);
        return 0;
}

/* One of the pieces that all names are dealt to. */
static int copy_piece(void *context, size_t index, struct error *err)
{
        const struct copy *c = context;
        int r = 0;

        for (guint i = (guint)index; r >= 0 && i < c->names->len; i += COPY_PIECES) {
                OstreeObjectType type;
                const char *checksum;

                ostree_object_name_deserialize(c->names->pdata[i], &checksum, &type);
                if (type != OSTREE_OBJECT_TYPE_COMMIT)
                        r = copy_object(c, type, checksum, err);
        }
        return r;
}

static int copy_below(struct copy *c, const char *commit, unsigned threads, struct error *err)
{
        g_autoptr(GHashTable) reachable = NULL;
        g_autoptr(GPtrArray) names = g_ptr_array_new();
        g_autoptr(GError) error = NULL;
        GHashTableIter iter;
        gpointer name;

        if (!ostree_repo_traverse_commit(c->from->ostree, commit, 0, &reachable, NULL, &error))
                return gerror_set(err, error);
        g_hash_table_iter_init(&iter, reachable);
        while (g_hash_table_iter_next(&iter, &name, NULL))
                g_ptr_array_add(names, name);
        c->names = names;
        return parallel_for(COPY_PIECES, threads, copy_piece, c, err);
}

static int begin(struct site_repo *s, struct error *err)
{
        g_autoptr(GError) error = NULL;

        if (!ostree_repo_prepare_transaction(s->ostree, NULL, NULL, &error))
                return gerror_set(err, error);
        return 0;
}

/* Ends a transaction whose work went as r says. */
static int end(struct site_repo *s, int r, struct error *err)
{
        g_autoptr(GError) error = NULL;

        if (r >= 0 && !ostree_repo_commit_transaction(s->ostree, NULL, NULL, &error))
                r = gerror_set(err, error);
        if (r < 0)
                ostree_repo_abort_transaction(s->ostree, NULL, NULL);
        return r;
}

int site_repo_copy(struct site_repo *s, struct repo *from, const struct sha256 *commit,
                   unsigned threads, struct error *err)
{
        struct copy copy = { .to = s, .from = from };
        g_autoptr(GError) error = NULL;
        char name[SHA256_HEX_SIZE];
        gboolean known;
        int r;

        sha256_hex(commit, name);
        if (!ostree_repo_has_object(s->ostree, OSTREE_OBJECT_TYPE_COMMIT, name, &known, NULL,
                                    &error))
                return gerror_set(err, error);
        if (known)
                return 0;
        r = begin(s, err);
        if (r >= 0)
                r = end(s, copy_below(&copy, name, threads, err), err);
        if (r >= 0)
                r = begin(s, err);
        if (r >= 0)
                r = end(s, copy_object(&copy, OSTREE_OBJECT_TYPE_COMMIT, name, err), err);
        return error_prefix(err, r, "commit %s", name);
}

/* ---- signatures ---- */

bool signatures_have(const struct signatures *s, const struct ed25519_signature *signature)
{
        for (size_t i = 0; i < s->count; i++)
                if (memcmp(&s->items[i], signature, sizeof(*signature)) == 0)
                        return true;
        return false;
}

void signatures_add(struct signatures *s, const struct ed25519_signature *signature)
{
        if (s->count < SIGNATURES_MAX && !signatures_have(s, signature))
                s->items[s->count++] = *signature;
}

void signatures_load(GVariant *dictionary, struct signatures *ret)
{
        g_autoptr(GVariant) list = NULL;

        if (dictionary)
                list = g_variant_lookup_value(dictionary, SIGNATURES_KEY, G_VARIANT_TYPE("aay"));
        for (gsize i = 0; list && i < g_variant_n_children(list); i++) {
                g_autoptr(GVariant) item = g_variant_get_child_value(list, i);
                struct ed25519_signature signature;
                gsize size;
                const void *bytes = g_variant_get_fixed_array(item, &size, 1);

                if (size != sizeof(signature.bytes))
                        continue;
                memcpy(signature.bytes, bytes, size);
                signatures_add(ret, &signature);
        }
}

int signatures_make(const struct site_keys *keys, const void *data, size_t size,
                    struct signatures *ret, struct error *err)
{
        for (size_t i = 0; i < keys->count; i++) {
                struct ed25519_signature signature;
                int r = ed25519_sign(&keys->items[i], data, size, &signature, err);

                if (r < 0)
                        return r;
                signatures_add(ret, &signature);
        }
        return 0;
}

GVariant *signatures_variant(GVariant *dictionary, const struct signatures *s)
{
        GVariantBuilder list;
        GVariantDict dict;

        g_variant_builder_init(&list, G_VARIANT_TYPE("aay"));
        for (size_t i = 0; i < s->count; i++)
                g_variant_builder_add_value(
                        &list, bytes_variant(s->items[i].bytes, ED25519_SIGNATURE_SIZE));
        g_variant_dict_init(&dict, dictionary);
        g_variant_dict_insert_value(&dict, SIGNATURES_KEY, g_variant_builder_end(&list));
        return g_variant_ref_sink(g_variant_dict_end(&dict));
}

static int put_details(struct site_repo *s, const char *commit, GVariant *details,
                       struct error *err)
{
        char directory[sizeof("objects/xx")], name[SHA256_HEX_SIZE + sizeof(".commitmeta")];

        snprintf(directory, sizeof(directory), "objects/%.2s", commit);
        snprintf(name, sizeof(name), "%s.commitmeta", commit + 2);
        return put_file(s, directory, name, g_variant_get_data(details),
                        g_variant_get_size(details), err);
}

static int sign_commit(struct site_repo *s, const char *name, const struct site_keys *keys,
                       bool *ret_changed, struct error *err)
{
        g_autoptr(GVariant) commit = NULL, details = NULL, signed_details = NULL;
        g_autoptr(GError) error = NULL;
        struct signatures signatures = {};
        size_t known;
        int r;

        if (!ostree_repo_load_variant(s->ostree, OSTREE_OBJECT_TYPE_COMMIT, name, &commit,
                                      &error) ||
            !ostree_repo_read_commit_detached_metadata(s->ostree, name, &details, NULL, &error))
                return gerror_set(err, error);
        signatures_load(details, &signatures);
        known = signatures.count;
        r = signatures_make(keys, g_variant_get_data(commit), g_variant_get_size(commit),
                            &signatures, err);
        if (r < 0 || signatures.count == known)
                return r;
        signed_details = signatures_variant(details, &signatures);
        r = put_details(s, name, signed_details, err);
        if (r >= 0)
                *ret_changed = true;
        return r;
}

int site_repo_sign(struct site_repo *s, const struct sha256 *commit, const struct site_keys *keys,
                   bool *ret_changed, struct error *err)
{
        char name[SHA256_HEX_SIZE];
        int r = sign_commit(s, sha256_hex(commit, name), keys, ret_changed, err);

        return error_prefix(err, r, "commit %s: sign", name);
}

/* ---- refs ---- */

static int put_ref(struct site_repo *s, const char *ref, const char *commit, struct error *err)
{
        const char *name = strrchr(ref, '/');
        _cleanup_free_ char *text = string_format("%s\n", commit);
        _cleanup_free_ char *directory =
                string_format("refs/heads/%.*s", name ? (int)(name - ref) : 0, ref);

        if (!text || !directory)
                return error_oom(err);
        return put_file(s, directory, name ? name + 1 : ref, text, strlen(text), err);
}

int site_repo_ref(struct site_repo *s, const char *ref, struct sha256 *ret, struct error *err)
{
        g_autofree char *name = NULL;
        g_autoptr(GError) error = NULL;

        if (!ostree_repo_resolve_rev(s->ostree, ref, TRUE, &name, &error))
                return error_prefix(err, gerror_set(err, error), "ref %s", ref);
        if (!name)
                return error_code(err, -ENOENT, "ref %s", ref);
        return hex_decode(name, ret->bytes, SHA256_SIZE) < 0
                       ? error_set(err, -EBADMSG, "ref %s: not a checksum", ref)
                       : 0;
}

int site_repo_set_ref(struct site_repo *s, const char *ref, const struct sha256 *commit,
                      bool *ret_changed, struct error *err)
{
        char name[SHA256_HEX_SIZE];
        struct sha256 old;
        int r = site_repo_ref(s, ref, &old, err);

        if (r < 0 && r != -ENOENT)
                return r;
        if (r >= 0 && sha256_equal(&old, commit))
                return 0;
        r = put_ref(s, ref, sha256_hex(commit, name), err);
        if (r < 0)
                return error_prefix(err, r, "ref %s", ref);
        *ret_changed = true;
        return 0;
}

/* ---- pruning ---- */

static int reach(struct site_repo *s, const char *commit, GHashTable *reachable, struct error *err)
{
        g_autoptr(GError) error = NULL;
        gboolean known;

        if (!ostree_repo_has_object(s->ostree, OSTREE_OBJECT_TYPE_COMMIT, commit, &known, NULL,
                                    &error))
                return gerror_set(err, error);
        if (known &&
            !ostree_repo_traverse_commit_union(s->ostree, commit, 0, reachable, NULL, &error))
                return gerror_set(err, error);
        return 0;
}

int site_repo_prune(struct site_repo *s, const struct sha256 *commits, size_t count, uint64_t *ret,
                    struct error *err)
{
        g_autoptr(GHashTable) reachable = ostree_repo_traverse_new_reachable();
        OstreeRepoPruneOptions options = { .reachable = reachable };
        g_autoptr(GError) error = NULL;
        char name[SHA256_HEX_SIZE];
        gint total, pruned;
        guint64 size;
        int r = 0;

        for (size_t i = 0; r >= 0 && i < count; i++)
                r = reach(s, sha256_hex(&commits[i], name), reachable, err);
        if (r < 0)
                return error_prefix(err, r, "prune");
        if (!ostree_repo_traverse_reachable_refs(s->ostree, 0, reachable, NULL, &error) ||
            !ostree_repo_prune_from_reachable(s->ostree, &options, &total, &pruned, &size, NULL,
                                              &error))
                return error_prefix(err, gerror_set(err, error), "prune");
        *ret = (uint64_t)pruned;
        return 0;
}
