/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See site.h. The order is the trust: a signature is checked over bytes before they are looked
 * into, and what is believed says which bytes come next.
 *
 *   summary, summary.sig → keys → dates → the channel's ref → commit → keys → release
 *
 * The summary is fetched by request.c, because libostree takes up to 128 MiB of it into memory
 * before anybody may look at a signature; the commit, whose checksum is known by then, by libostree
 * (site-pull.c). The repository below /var/lib/slipway is a cache. */

#include "site-ostree.h" /* first: GLib has a MIN of its own */

#include <fcntl.h>

#include "request.h"
#include "strv.h"

/* What was offered before, and is no longer. */
static void forget_others(OstreeRepo *repo, const char *commit)
{
        g_autoptr(GHashTable) commits = NULL;
        GHashTableIter iterator;
        gpointer name;

        if (!ostree_repo_list_commit_objects_starting_with(repo, "", &commits, NULL, NULL))
                return;
        g_hash_table_iter_init(&iterator, commits);
        while (g_hash_table_iter_next(&iterator, &name, NULL)) {
                const char *checksum;
                OstreeObjectType type;

                ostree_object_name_deserialize(name, &checksum, &type);
                if (!streq(checksum, commit))
                        ostree_repo_delete_object(repo, type, checksum, NULL, NULL);
        }
}

/* The summary that was verified, so that libostree does not fetch another one. */
struct summary_bytes {
        GBytes *data, *signature;
};

static void summary_bytes_done(struct summary_bytes *s)
{
        g_clear_pointer(&s->data, g_bytes_unref);
        g_clear_pointer(&s->signature, g_bytes_unref);
}

/* ---- summary ---- */

static int fetch(const char *base, const char *name, size_t limit, char **ret, size_t *ret_size,
                 struct error *err)
{
        _cleanup_free_ char *url = string_format("%s/repo/%s", base, name);

        if (!url)
                return error_oom(err);
        return request_run(&(struct request){ .url = url, .limit = limit }, ret, ret_size, err);
}

/* Dates are compared with the newest time that is known: the clock may be behind, as on a machine
 * without a battery, and what was seen before was not in the future. */
static int check_dates(const struct site_summary *s, const struct site_state *state,
                       struct error *err)
{
        uint64_t known = MAX(state->running_timestamp, state->summary_timestamp);
        uint64_t now = MAX(state->now, known);

        if (s->last_modified < state->summary_timestamp)
                return error_set(err, -ESTALE, "older than the one that was seen before");
        if (s->expires == 0)
                return error_set(err, -EKEYEXPIRED, "does not say until when it holds");
        if (s->expires <= now)
                return error_set(err, -EKEYEXPIRED, "expired %ju seconds ago",
                                 (uintmax_t)(now - s->expires));
        return 0;
}

static int get_summary(const char *base, const char *ref, const struct keyring *keys,
                       const struct site_state *state, struct summary_bytes *ret_bytes,
                       struct site_summary *ret, struct error *err)
{
        _cleanup_free_ char *data = NULL, *signature = NULL;
        struct site_signatures signatures;
        struct site_summary s;
        size_t size, signature_size;
        int r;

        r = fetch(base, "summary", SITE_SUMMARY_MAX, &data, &size, err);
        if (r < 0)
                return r;
        r = fetch(base, "summary.sig", SITE_SIGNATURES_SIZE_MAX, &signature, &signature_size, err);
        if (r == -ENOENT)
                return error_set(err, -EKEYREJECTED, "not signed");
        if (r >= 0)
                r = site_signatures_parse(signature, signature_size, &signatures, err);
        if (r >= 0)
                r = keyring_verify(keys, data, size, signatures.items, signatures.count, err);
        if (r >= 0)
                r = site_summary_parse(data, size, ref, &s, err);
        if (r >= 0)
                r = check_dates(&s, state, err);
        if (r < 0)
                return r;
        *ret = s;
        ret_bytes->data = g_bytes_new(data, size);
        ret_bytes->signature = g_bytes_new(signature, signature_size);
        return 0;
}

/* ---- commit ---- */

static int check_signature(OstreeRepo *repo, const char *commit, GVariant *object,
                           const struct keyring *keys, struct error *err)
{
        struct site_signatures signatures = {};
        g_autoptr(GVariant) detached = NULL;
        g_autoptr(GError) error = NULL;
        int r = 0;

        if (g_variant_get_size(object) > SITE_COMMIT_MAX)
                return error_set(err, -EFBIG, "more than %d bytes", SITE_COMMIT_MAX);
        if (!ostree_repo_read_commit_detached_metadata(repo, commit, &detached, NULL, &error))
                return gerror_set(err, error);
        if (detached && g_variant_get_size(detached) > SITE_COMMIT_MAX)
                return error_set(err, -EFBIG, "more than %d bytes of signatures", SITE_COMMIT_MAX);
        if (detached)
                r = site_signatures_parse(g_variant_get_data(detached),
                                          g_variant_get_size(detached), &signatures, err);
        return r < 0 ? r
                     : keyring_verify(keys, g_variant_get_data(object), g_variant_get_size(object),
                                      signatures.items, signatures.count, err);
}

/* -ESTALE: older than the running one. The same one is fine: there is nothing to do, then. */
static int check_age(const struct release *release, const struct site_state *state,
                     struct error *err)
{
        int age = release_compare_age(release->timestamp, release->version,
                                      state->running_timestamp, state->running_version);

        if (age >= 0 || state->allow_downgrade)
                return 0;
        return error_set(err, -ESTALE, "release %s is older than %s, which runs", release->version,
                         state->running_version);
}

static int get_commit(OstreeRepo *repo, const char *commit, const struct keyring *keys,
                      const char *image, const char *architecture, const struct site_state *state,
                      struct release *ret, struct error *err)
{
        _cleanup_release_ struct release release = {};
        g_autoptr(GVariant) object = NULL;
        g_autoptr(GError) error = NULL;
        int r;

        if (!ostree_repo_load_variant(repo, OSTREE_OBJECT_TYPE_COMMIT, commit, &object, &error))
                return gerror_set(err, error);
        r = check_signature(repo, commit, object, keys, err);
        if (r >= 0)
                r = site_commit_parse(g_variant_get_data(object), g_variant_get_size(object), image,
                                      architecture, &release, err);
        if (r >= 0)
                r = check_age(&release, state, err);
        if (r >= 0)
                *ret = TAKE_STRUCT(release);
        return r;
}

/* The repository is opened only when it has been written: whoever pulls may not share it. */
static int pull_commit(const char *base, const char *repo_path, const char *commit,
                       const struct summary_bytes *summary, OstreeRepo **ret, struct error *err)
{
        _cleanup_free_ char *url = string_format("%s/repo", base);
        const struct site_pull p = { repo_path, url, commit, summary->data, summary->signature };
        g_autoptr(GError) error = NULL;
        int r = url ? site_pull(&p, err) : error_oom(err);

        if (r < 0)
                return r;
        *ret = ostree_repo_open_at(AT_FDCWD, repo_path, NULL, &error);
        return *ret ? 0 : gerror_set(err, error);
}

int site_check(const struct update_config *config, const struct keyring *keys, const char *image,
               const char *architecture, const char *repo_path, const struct site_state *state,
               struct site_offer *ret, struct error *err)
{
        _cleanup_free_ char *ref = string_format("%s/%s/%s", image, architecture, config->channel);
        g_autoptr(OstreeRepo) repo = NULL;
        _cleanup_(summary_bytes_done) struct summary_bytes bytes = {};
        struct site_summary summary;
        char commit[SHA256_HEX_SIZE];
        int r;

        if (!ref)
                return error_oom(err);
        r = get_summary(config->site, ref, keys, state, &bytes, &summary, err);
        if (r < 0)
                return error_prefix(err, r, "%s: summary", config->site);
        sha256_hex(&summary.commit, commit);
        r = pull_commit(config->site, repo_path, commit, &bytes, &repo, err);
        if (r >= 0)
                r = get_commit(repo, commit, keys, image, architecture, state, &ret->release, err);
        if (r < 0)
                return error_prefix(err, r, "%s: commit %.12s", config->site, commit);
        forget_others(repo, commit);
        ret->commit = summary.commit;
        ret->summary_timestamp = summary.last_modified;
        return 0;
}

void site_offer_done(struct site_offer *o)
{
        release_done(&o->release);
        *o = (struct site_offer){};
}
