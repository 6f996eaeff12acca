/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See site-internal.h: libostree's formats, which are GVariants. Bytes of the network become one
 * only when they are in normal form, so that there is one reading of them, and every key is looked
 * up with its type: what is of another type is not there. Dates are big-endian.
 *
 *   signatures   a{sv}, "ostree.sign.ed25519": aay
 *   summary      (a(s(taya{sv}))a{sv}): refs with size and checksum of their commits
 *   commit       (a{sv}aya(say)sstayay): metadata … checksums of the root directory
 *   directory    (a(say)a(sayay)): files, directories
 */

#include <glib.h>

#undef MIN /* ours evaluate their arguments once */
#undef MAX

#include "macro.h"
#include "site-internal.h"

#define SIGNATURE_KEY     "ostree.sign.ed25519"
#define LAST_MODIFIED_KEY "ostree.summary.last-modified"
#define EXPIRES_KEY       "ostree.summary.expires"
#define ROOT_HASH_KEY     "slipway.root-hash"

#define SUMMARY_TYPE   "(a(s(taya{sv}))a{sv})"
#define COMMIT_TYPE    "(a{sv}aya(say)sstayay)"
#define DIRECTORY_TYPE "(a(say)a(sayay))"

static int load(const char *type, const void *data, size_t size, GVariant **ret, struct error *err)
{
        g_autoptr(GBytes) bytes = g_bytes_new(data, size);
        g_autoptr(GVariant) v =
                g_variant_ref_sink(g_variant_new_from_bytes(G_VARIANT_TYPE(type), bytes, FALSE));

        if (!g_variant_is_normal_form(v))
                return error_set(err, -EBADMSG, "not a GVariant %s", type);
        *ret = g_steal_pointer(&v);
        return 0;
}

/* An "ay" of exactly so many bytes. */
static int fixed_bytes(GVariant *v, void *ret, size_t size)
{
        gsize n;
        const void *data = g_variant_get_fixed_array(v, &n, 1);

        if (n != size)
                return -EBADMSG;
        memcpy(ret, data, size);
        return 0;
}

int site_signatures_parse(const void *data, size_t size, struct site_signatures *ret,
                          struct error *err)
{
        g_autoptr(GVariant) dictionary = NULL, list = NULL;
        struct site_signatures s = {};
        int r;

        r = load("a{sv}", data, size, &dictionary, err);
        if (r < 0)
                return error_prefix(err, r, "signatures");
        list = g_variant_lookup_value(dictionary, SIGNATURE_KEY, G_VARIANT_TYPE("aay"));
        if (list && g_variant_n_children(list) > SITE_SIGNATURES_MAX)
                return error_set(err, -EBADMSG, "signatures: more than %d", SITE_SIGNATURES_MAX);
        for (size_t i = 0; list && i < g_variant_n_children(list); i++) {
                g_autoptr(GVariant) one = g_variant_get_child_value(list, i);

                if (fixed_bytes(one, &s.items[s.count], sizeof(s.items[0])) < 0)
                        return error_set(err, -EBADMSG, "signatures: one is not of %d bytes",
                                         ED25519_SIGNATURE_SIZE);
                s.count++;
        }
        *ret = s;
        return 0;
}

static uint64_t lookup_time(GVariant *dictionary, const char *key)
{
        guint64 value;

        return g_variant_lookup(dictionary, key, "t", &value) ? GUINT64_FROM_BE(value) : 0;
}

static int find_ref(GVariant *refs, const char *ref, struct site_summary *ret, struct error *err)
{
        for (size_t i = 0; i < g_variant_n_children(refs); i++) {
                g_autoptr(GVariant) checksum = NULL, metadata = NULL;
                const char *name;
                guint64 size; /* in the byte order of whoever wrote it, so nobody uses it */

                g_variant_get_child(refs, i, "(&s(t@ay@a{sv}))", &name, &size, &checksum,
                                    &metadata);
                if (!streq(name, ref))
                        continue;
                if (fixed_bytes(checksum, &ret->commit, SHA256_SIZE) < 0)
                        return error_set(err, -EBADMSG, "ref '%s': not a checksum", ref);
                return 0;
        }
        return error_set(err, -ENOENT, "the site has no '%s'", ref);
}

int site_summary_parse(const void *data, size_t size, const char *ref, struct site_summary *ret,
                       struct error *err)
{
        g_autoptr(GVariant) summary = NULL, refs = NULL, metadata = NULL;
        struct site_summary s = {};
        int r;

        r = load(SUMMARY_TYPE, data, size, &summary, err);
        if (r < 0)
                return r;
        refs = g_variant_get_child_value(summary, 0);
        metadata = g_variant_get_child_value(summary, 1);
        s.last_modified = lookup_time(metadata, LAST_MODIFIED_KEY);
        s.expires = lookup_time(metadata, EXPIRES_KEY);
        if (s.last_modified == 0)
                return error_set(err, -EBADMSG, "does not say when it was made");
        r = find_ref(refs, ref, &s, err);
        if (r >= 0)
                *ret = s;
        return r;
}

static int check_release(const struct release *release, GVariant *metadata, const char *image,
                         const char *architecture, struct error *err)
{
        char hex[SHA256_HEX_SIZE];
        const char *root_hash;

        if (!streq(release->image, image))
                return error_set(err, -EBADMSG, "is of the image '%s', this machine's is '%s'",
                                 release->image, image);
        if (!streq(release->architecture, architecture))
                return error_set(err, -EBADMSG, "is for %s, this machine is %s",
                                 release->architecture, architecture);
        if (!g_variant_lookup(metadata, ROOT_HASH_KEY, "&s", &root_hash) ||
            !streq(root_hash, sha256_hex(&release->root_hash, hex)))
                return error_set(err, -EBADMSG, "contradicts the commit: another root hash");
        return 0;
}

int site_commit_parse(const void *data, size_t size, const char *image, const char *architecture,
                      struct release *ret, struct error *err)
{
        g_autoptr(GVariant) commit = NULL, metadata = NULL;
        _cleanup_release_ struct release release = {};
        const char *text;
        int r;

        r = load(COMMIT_TYPE, data, size, &commit, err);
        if (r < 0)
                return r;
        metadata = g_variant_get_child_value(commit, 0);
        if (!g_variant_lookup(metadata, COMMIT_RELEASE, "&s", &text))
                return error_set(err, -EBADMSG, "not a release: no " COMMIT_RELEASE);
        r = release_parse(COMMIT_RELEASE, text, strlen(text), &release, err);
        if (r >= 0)
                r = check_release(&release, metadata, image, architecture, err);
        if (r >= 0)
                *ret = TAKE_STRUCT(release);
        return r;
}

int site_commit_tree(const void *data, size_t size, struct sha256 *ret, struct error *err)
{
        g_autoptr(GVariant) commit = NULL, tree = NULL;
        int r = load(COMMIT_TYPE, data, size, &commit, err);

        if (r < 0)
                return r;
        tree = g_variant_get_child_value(commit, 6);
        if (fixed_bytes(tree, ret, SHA256_SIZE) < 0)
                return error_set(err, -EBADMSG, "its tree has no checksum");
        return 0;
}

int site_directory_find(const void *data, size_t size, const char *name, bool directory,
                        struct sha256 *ret, struct error *err)
{
        g_autoptr(GVariant) object = NULL, list = NULL;
        int r = load(DIRECTORY_TYPE, data, size, &object, err);

        if (r < 0)
                return r;
        list = g_variant_get_child_value(object, directory ? 1 : 0);
        for (size_t i = 0; i < g_variant_n_children(list); i++) {
                g_autoptr(GVariant) entry = g_variant_get_child_value(list, i), checksum = NULL;
                g_autoptr(GVariant) entry_name = g_variant_get_child_value(entry, 0);

                if (!streq(g_variant_get_string(entry_name, NULL), name))
                        continue;
                checksum = g_variant_get_child_value(entry, 1);
                if (fixed_bytes(checksum, ret, SHA256_SIZE) < 0)
                        return error_set(err, -EBADMSG, "'%s': not a checksum", name);
                return 1;
        }
        return 0;
}
