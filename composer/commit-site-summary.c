/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The summary of an update site, see commit-site.h: "(a(s(taya{sv}))a{sv})", which is ref, size of
 * the commit object, its checksum, and then dates, which are big-endian seconds. It is made here,
 * and not by libostree, which would remove summary.sig before there is another one.
 *
 * Two files, one moment. Readers take summary.sig and then summary, or the other way round. So
 * summary.sig is written first, and keeps the signature of the summary that it replaces: it is good
 * for both. Only who holds a summary.sig from before, and asks for the summary after both were
 * written, has to ask again. */

#include "commit-internal.h"
#include "commit-site-internal.h"
#include "io.h"

#define LAST_MODIFIED_KEY "ostree.summary.last-modified"
#define EXPIRES_KEY       "ostree.summary.expires"

enum { SUMMARY_SIZE_MAX = 10 * 1024 * 1024 /* what libostree takes */ };

struct file {
        char *data; /* NULL: absent */
        size_t size;
};

static void file_done(struct file *f)
{
        free(f->data);
}

static int load_file(struct site_repo *s, const char *name, struct file *ret, struct error *err)
{
        if (faccessat(s->fd, name, F_OK, 0) < 0 && errno == ENOENT)
                return 0;
        return file_read(s->fd, name, SUMMARY_SIZE_MAX, &ret->data, &ret->size, err);
}

/* A file as a variant of that type, or NULL: referenced, the bytes borrowed. */
static GVariant *file_variant(const struct file *f, const GVariantType *type)
{
        g_autoptr(GVariant) variant = NULL;

        if (!f->data)
                return NULL;
        variant = g_variant_ref_sink(
                g_variant_new_from_data(type, f->data, f->size, FALSE, NULL, NULL));
        return g_variant_is_normal_form(variant) ? g_steal_pointer(&variant) : NULL;
}

static int add_ref(struct site_repo *s, GVariantBuilder *refs, const char *ref, const char *name,
                   struct error *err)
{
        g_autoptr(GVariant) commit = NULL, metadata = NULL;
        g_autoptr(GError) error = NULL;
        struct sha256 checksum;
        GVariantDict details;
        const char *version;

        if (hex_decode(name, checksum.bytes, SHA256_SIZE) < 0)
                return error_set(err, -EBADMSG, "ref %s: not a checksum", ref);
        if (!ostree_repo_load_variant(s->ostree, OSTREE_OBJECT_TYPE_COMMIT, name, &commit, &error))
                return error_prefix(err, gerror_set(err, error), "ref %s", ref);
        metadata = g_variant_get_child_value(commit, 0);
        g_variant_dict_init(&details, NULL);
        if (g_variant_lookup(metadata, "version", "&s", &version))
                g_variant_dict_insert(&details, "ostree.commit.version", "s", version);
        g_variant_dict_insert(&details, "ostree.commit.timestamp", "t",
                              GUINT64_TO_BE(ostree_commit_get_timestamp(commit)));
        g_variant_builder_add(refs, "(s@(taya{sv}))", ref,
                              g_variant_new("(t@ay@a{sv})", (guint64)g_variant_get_size(commit),
                                            bytes_variant(checksum.bytes, SHA256_SIZE),
                                            g_variant_dict_end(&details)));
        return 0;
}

/* The refs, sorted, as the summary has them; referenced. */
static int refs_variant(struct site_repo *s, GVariant **ret, struct error *err)
{
        g_autoptr(GVariantBuilder) refs = g_variant_builder_new(G_VARIANT_TYPE("a(s(taya{sv}))"));
        g_autoptr(GHashTable) table = NULL;
        g_autoptr(GError) error = NULL;
        g_autoptr(GList) names = NULL;
        int r = 0;

        if (!ostree_repo_list_refs(s->ostree, NULL, &table, NULL, &error))
                return gerror_set(err, error);
        names = g_list_sort(g_hash_table_get_keys(table), (GCompareFunc)strcmp);
        for (GList *name = names; r >= 0 && name; name = name->next)
                r = add_ref(s, refs, name->data, g_hash_table_lookup(table, name->data), err);
        if (r >= 0)
                *ret = g_variant_ref_sink(g_variant_builder_end(refs));
        return r;
}

/* 0 when it is not there. */
static uint64_t summary_date(GVariant *summary, const char *key)
{
        g_autoptr(GVariant) details = summary ? g_variant_get_child_value(summary, 1) : NULL;
        guint64 date = 0;

        if (details && g_variant_lookup(details, key, "t", &date))
                date = GUINT64_FROM_BE(date);
        return date;
}

/* Referenced. Its date is later than the old one's, whatever the clock does: machines believe no
 * summary that is older than one they have seen, and of two with one date could not tell. */
static GVariant *summary_variant(GVariant *refs, GVariant *old, const struct site_summary *summary)
{
        uint64_t before = summary_date(old, LAST_MODIFIED_KEY),
                 modified = MAX(summary->now, before + (before < UINT64_MAX));
        GVariantBuilder details;

        g_variant_builder_init(&details, G_VARIANT_TYPE_VARDICT);
        g_variant_builder_add(&details, "{sv}", EXPIRES_KEY,
                              g_variant_new_uint64(GUINT64_TO_BE(modified + summary->lifetime)));
        g_variant_builder_add(&details, "{sv}", "ostree.summary.indexed-deltas",
                              g_variant_new_boolean(FALSE));
        g_variant_builder_add(&details, "{sv}", LAST_MODIFIED_KEY,
                              g_variant_new_uint64(GUINT64_TO_BE(modified)));
        g_variant_builder_add(&details, "{sv}", "ostree.summary.mode",
                              g_variant_new_string("archive-z2"));
        g_variant_builder_add(&details, "{sv}", "ostree.summary.tombstone-commits",
                              g_variant_new_boolean(FALSE));
        return g_variant_ref_sink(
                g_variant_new("(@a(s(taya{sv}))@a{sv})", refs, g_variant_builder_end(&details)));
}

/* What is there already. */
struct old_summary {
        struct file summary_file, signature_file;
        GVariant *summary;            /* NULL: none, or not one */
        struct signatures signatures; /* of the keys, for this summary */
        bool complete;                /* every key's */
};

static void old_summary_done(struct old_summary *o)
{
        g_clear_pointer(&o->summary, g_variant_unref);
        file_done(&o->summary_file);
        file_done(&o->signature_file);
}

static int load_old(struct site_repo *s, const struct site_keys *keys, struct old_summary *ret,
                    struct error *err)
{
        g_autoptr(GVariant) dictionary = NULL;
        struct signatures there = {}, wanted = {};
        int r;

        r = load_file(s, "summary", &ret->summary_file, err);
        if (r >= 0)
                r = load_file(s, "summary.sig", &ret->signature_file, err);
        if (r < 0)
                return r;
        ret->summary = file_variant(&ret->summary_file, OSTREE_SUMMARY_GVARIANT_FORMAT);
        dictionary = file_variant(&ret->signature_file, G_VARIANT_TYPE_VARDICT);
        signatures_load(dictionary, &there);
        if (!ret->summary)
                return 0;
        r = signatures_make(keys, ret->summary_file.data, ret->summary_file.size, &wanted, err);
        for (size_t i = 0; i < wanted.count; i++)
                if (signatures_have(&there, &wanted.items[i]))
                        signatures_add(&ret->signatures, &wanted.items[i]);
        ret->complete = ret->signatures.count == wanted.count;
        return r;
}

static bool is_good(const struct old_summary *old, GVariant *refs,
                    const struct site_summary *summary)
{
        g_autoptr(GVariant) old_refs = NULL;

        if (!old->summary || !old->complete || summary->renew ||
            summary_date(old->summary, EXPIRES_KEY) <= summary->now)
                return false;
        old_refs = g_variant_get_child_value(old->summary, 0);
        return g_variant_equal(old_refs, refs);
}

/* The signature first, which is good for the old summary as well. */
static int write_summary(struct site_repo *s, const struct old_summary *old, GVariant *summary,
                         const struct site_keys *keys, struct error *err)
{
        struct signatures signatures = {};
        g_autoptr(GVariant) dictionary = NULL;
        int r = signatures_make(keys, g_variant_get_data(summary), g_variant_get_size(summary),
                                &signatures, err);

        if (r < 0)
                return r;
        for (size_t i = 0; i < old->signatures.count; i++)
                signatures_add(&signatures, &old->signatures.items[i]);
        dictionary = signatures_variant(NULL, &signatures);
        r = file_write(s->fd, "summary.sig", g_variant_get_data(dictionary),
                       g_variant_get_size(dictionary), 0644, err);
        if (r < 0)
                return r;
        return file_write(s->fd, "summary", g_variant_get_data(summary),
                          g_variant_get_size(summary), 0644, err);
}

int site_repo_summarize(struct site_repo *s, const struct site_summary *summary,
                        const struct site_keys *keys, bool *ret_changed, struct error *err)
{
        _cleanup_(old_summary_done) struct old_summary old = {};
        g_autoptr(GVariant) refs = NULL, variant = NULL;
        int r;

        r = refs_variant(s, &refs, err);
        if (r >= 0)
                r = load_old(s, keys, &old, err);
        if (r >= 0 && is_good(&old, refs, summary))
                return 0;
        if (r >= 0) {
                variant = summary_variant(refs, old.summary, summary);
                r = write_summary(s, &old, variant, keys, err);
        }
        if (r < 0)
                return error_prefix(err, r, "summary");
        *ret_changed = true;
        return 0;
}
