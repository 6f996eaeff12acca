/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a channel offers, from a site behind a web server on loopback: taken only when everything is
 * as it must be, and each single thing that is not is refused with its own code. And the corpus of
 * the formats: each file is taken or refused as its name says. */

#include "test.h"

#include <ostree.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#undef MIN
#undef MAX

#include "blocks.h"
#include "site-formats.h"
#include "strv.h"

enum { NOW = 1800000000, YEAR = 365 * 86400 };

/* ---- a web server ---- */

struct server {
        pid_t pid;
        char url[64];
};

static void server_start(struct server *s, const char *directory)
{
        static const char program[] =
                "import http.server, functools, sys\n"
                "h = functools.partial(http.server.SimpleHTTPRequestHandler, directory=sys.argv[1])\n"
                "h.func.log_message = lambda *a: None\n"
                "s = http.server.ThreadingHTTPServer(('127.0.0.1', 0), h)\n"
                "print(s.server_port, flush=True)\n"
                "s.serve_forever()\n";
        char port[16] = "";
        int fds[2];
        size_t n = 0;

        assert_int_equal(pipe(fds), 0);
        s->pid = fork();
        assert_true(s->pid >= 0);
        if (s->pid == 0) {
                prctl(PR_SET_PDEATHSIG, SIGKILL);
                dup2(fds[1], STDOUT_FILENO);
                close(fds[0]);
                close(fds[1]);
                execlp("python3", "python3", "-c", program, directory, NULL);
                _exit(127);
        }
        close(fds[1]);
        while (n < sizeof(port) - 1 && !strchr(port, '\n') && read(fds[0], port + n, 1) == 1)
                n++;
        assert_true(n > 1);
        close(fds[0]);
        snprintf(s->url, sizeof(s->url), "http://127.0.0.1:%d", atoi(port));
}

static void server_stop(struct server *s)
{
        kill(s->pid, SIGTERM);
        waitpid(s->pid, NULL, 0);
}

/* ---- a site ---- */

struct fixture {
        char *root;
        struct server server;
        OstreeRepo *repo;
        struct ed25519_secret secrets[2]; /* the machine has the first one's public key */
        struct keyring keys;
};

/* What is published; zeroed it is a good release. */
struct published {
        const char *image, *architecture, *version, *ref;
        uint64_t timestamp, last_modified, expires;
        bool summary_unsigned, summary_other_key, commit_unsigned, commit_other_key, no_expiry,
                other_root_hash, no_release, tampered;
        size_t padding; /* bytes of other metadata in the commit */
        char commit[SHA256_HEX_SIZE];
};

static void setup(struct fixture *f)
{
        struct error err = {};
        _cleanup_free_ char *path = NULL;

        f->root = test_mkdir();
        path = string_format("%s/site/repo", f->root);
        assert_ok(path_mkdirs(AT_FDCWD, path, 0755, &err), &err);
        f->repo = ostree_repo_create_at(AT_FDCWD, path, OSTREE_REPO_MODE_ARCHIVE, NULL, NULL, NULL);
        assert_non_null(f->repo);
        for (size_t i = 0; i < 2; i++)
                assert_ok(ed25519_generate(&f->secrets[i], &err), &err);
        ed25519_public_of(&f->secrets[0], &f->keys.keys[0]);
        f->keys.count = 1;
        path = (free(path), string_format("%s/site", f->root));
        server_start(&f->server, path);
}

static void teardown(struct fixture *f)
{
        server_stop(&f->server);
        g_object_unref(f->repo);
        test_rmdir(f->root);
}

static char *release_json(const struct published *p)
{
        struct release r = {
                .format = RELEASE_FORMAT,
                .image = (char *)p->image,
                .version = (char *)p->version,
                .architecture = (char *)p->architecture,
                .timestamp = p->timestamp,
                .kernel = (char *)"6.1",
                .usr_size = 100 * BLOCK_SIZE,
                .uki_size = 5000,
                .layout = { 1 << 20, 1 << 20, 1 << 20 },
        };
        struct hash_tree_shape shape;
        struct error err = {};
        char *text;

        assert_int_equal(hash_tree_shape(r.usr_size, &shape), 0);
        r.tree_size = shape.size;
        assert_ok(release_text(&r, &text, &err), &err);
        return text;
}

static GVariant *bytes(const void *data, size_t size)
{
        return g_variant_new_fixed_array(G_VARIANT_TYPE_BYTE, data, size, 1);
}

/* Another one's signature stands before the right one, as while keys rotate. */
static GVariant *signatures(const struct ed25519_secret *secret, const void *data, size_t size)
{
        struct ed25519_signature s[2] = {};
        GVariantBuilder list, dictionary;
        struct error err = {};

        assert_ok(ed25519_sign(secret, data, size, &s[1], &err), &err);
        g_variant_builder_init(&list, G_VARIANT_TYPE("aay"));
        for (size_t i = 0; i < 2; i++)
                g_variant_builder_add_value(&list, bytes(&s[i], sizeof(s[i])));
        g_variant_builder_init(&dictionary, G_VARIANT_TYPE_VARDICT);
        g_variant_builder_add(&dictionary, "{sv}", "ostree.sign.ed25519",
                              g_variant_builder_end(&list));
        return g_variant_ref_sink(g_variant_builder_end(&dictionary));
}

static GVariant *commit_variant(const struct published *p)
{
        static const struct sha256 zero, other = { { 1 } };
        _cleanup_free_ char *json = release_json(p), *padding = calloc(1, p->padding + 1);
        char hex[SHA256_HEX_SIZE];
        GVariantBuilder metadata;

        g_variant_builder_init(&metadata, G_VARIANT_TYPE_VARDICT);
        if (!p->no_release)
                g_variant_builder_add(&metadata, "{sv}", COMMIT_RELEASE,
                                      g_variant_new_string(json));
        g_variant_builder_add(
                &metadata, "{sv}", "slipway.root-hash",
                g_variant_new_string(sha256_hex(p->other_root_hash ? &other : &zero, hex)));
        if (p->padding > 0)
                g_variant_builder_add(&metadata, "{sv}", "padding", bytes(padding, p->padding));
        return g_variant_ref_sink(
                g_variant_new("(a{sv}@ay@a(say)sst@ay@ay)", &metadata, bytes("", 0),
                              g_variant_new_array(G_VARIANT_TYPE("(say)"), NULL, 0), "tiny", "",
                              GUINT64_TO_BE(p->timestamp), bytes(&zero, sizeof(zero)),
                              bytes(&zero, sizeof(zero))));
}

static uint64_t publish_commit(struct fixture *f, struct published *p)
{
        g_autoptr(GVariant) commit = commit_variant(p), detached = NULL;
        g_autofree guchar *checksum = NULL;
        struct sha256 digest;

        assert_true(ostree_repo_write_metadata(f->repo, OSTREE_OBJECT_TYPE_COMMIT, NULL, commit,
                                               &checksum, NULL, NULL));
        memcpy(&digest, checksum, sizeof(digest));
        sha256_hex(&digest, p->commit);
        if (!p->commit_unsigned)
                detached = signatures(&f->secrets[p->commit_other_key], g_variant_get_data(commit),
                                      g_variant_get_size(commit));
        assert_true(ostree_repo_write_commit_detached_metadata(f->repo, p->commit, detached, NULL,
                                                               NULL));
        return g_variant_get_size(commit);
}

static GVariant *summary_variant(const struct published *p, uint64_t commit_size)
{
        GVariantBuilder refs, metadata, nothing;
        struct sha256 digest;

        assert_int_equal(hex_decode(p->commit, &digest, sizeof(digest)), 0);
        g_variant_builder_init(&nothing, G_VARIANT_TYPE_VARDICT);
        g_variant_builder_init(&refs, G_VARIANT_TYPE("a(s(taya{sv}))"));
        g_variant_builder_add(&refs, "(s(t@aya{sv}))", p->ref, GUINT64_TO_BE(commit_size),
                              bytes(&digest, sizeof(digest)), &nothing);
        g_variant_builder_init(&metadata, G_VARIANT_TYPE_VARDICT);
        g_variant_builder_add(&metadata, "{sv}", "ostree.summary.last-modified",
                              g_variant_new_uint64(GUINT64_TO_BE(p->last_modified)));
        if (!p->no_expiry)
                g_variant_builder_add(&metadata, "{sv}", "ostree.summary.expires",
                                      g_variant_new_uint64(GUINT64_TO_BE(p->expires)));
        return g_variant_ref_sink(g_variant_new("(a(s(taya{sv}))a{sv})", &refs, &metadata));
}

static void put(struct fixture *f, const char *name, const void *data, size_t size)
{
        _cleanup_free_ char *path = string_format("%s/site/repo/%s", f->root, name);
        struct error err = {};

        assert_ok(file_write(AT_FDCWD, path, data, size, 0644, &err), &err);
}

static void publish(struct fixture *f, struct published *p)
{
        g_autoptr(GVariant) summary = NULL, signature = NULL;
        _cleanup_free_ char *copy = NULL, *sig = NULL;
        uint64_t commit_size;
        size_t size;

        p->image = p->image ?: "tiny";
        p->architecture = p->architecture ?: "amd64";
        p->version = p->version ?: "1.0.1";
        p->ref = p->ref ?: "tiny/amd64/stable";
        p->timestamp = p->timestamp ?: NOW - YEAR;
        p->last_modified = p->last_modified ?: NOW - 1000;
        p->expires = p->expires ?: NOW + 1000;
        commit_size = publish_commit(f, p);
        summary = summary_variant(p, commit_size);
        size = g_variant_get_size(summary);
        copy = g_memdup2(g_variant_get_data(summary), size);
        signature = signatures(&f->secrets[p->summary_other_key], copy, size);
        if (p->tampered)
                copy[10] ^= 1;
        put(f, "summary", copy, size);
        sig = string_format("%s/site/repo/summary.sig", f->root);
        if (p->summary_unsigned)
                (void)!unlink(sig);
        else
                put(f, "summary.sig", g_variant_get_data(signature), g_variant_get_size(signature));
}

static const struct site_state fresh = { .running_timestamp = NOW - 2 * YEAR,
                                         .running_version = "1.0.0",
                                         .now = NOW };

static int check(struct fixture *f, const struct site_state *state, struct site_offer *ret,
                 struct error *err)
{
        struct update_config config = { .site = f->server.url, .channel = (char *)"stable" };
        _cleanup_free_ char *repo = string_format("%s/repo", f->root);

        return site_check(&config, &f->keys, "tiny", "amd64", repo, state, ret, err);
}

static void test_good(void **state _unused_)
{
        struct site_offer offer = {};
        struct published p = {};
        struct error err = {};
        char hex[SHA256_HEX_SIZE];
        struct fixture f;

        setup(&f);
        publish(&f, &p);
        for (int again = 0; again < 3; again++) {
                _cleanup_free_ char *config = string_format("%s/repo/config", f.root);

                assert_ok(check(&f, &fresh, &offer, &err), &err);
                assert_string_equal(offer.release.version, "1.0.1");
                assert_string_equal(sha256_hex(&offer.commit, hex), p.commit);
                assert_int_equal(offer.summary_timestamp, NOW - 1000);
                site_offer_done(&offer);
                if (again == 1) /* a repository that is damaged is made anew */
                        assert_int_equal(truncate(config, 3), 0);
        }
        teardown(&f);
}

/* Only the newest commit is kept. */
static void test_forgets(void **state _unused_)
{
        struct published p = {}, q = { .version = "1.0.2", .last_modified = NOW - 10 };
        _cleanup_free_ char *old = NULL, *new = NULL;
        struct site_offer offer = {};
        struct error err = {};
        struct fixture f;

        setup(&f);
        publish(&f, &p);
        assert_ok(check(&f, &fresh, &offer, &err), &err);
        site_offer_done(&offer);
        publish(&f, &q);
        assert_ok(check(&f, &fresh, &offer, &err), &err);
        assert_string_equal(offer.release.version, "1.0.2");
        site_offer_done(&offer);
        old = string_format("%s/repo/objects/%.2s/%s.commit", f.root, p.commit, p.commit + 2);
        new = string_format("%s/repo/objects/%.2s/%s.commit", f.root, q.commit, q.commit + 2);
        assert_int_not_equal(access(old, F_OK), 0);
        assert_int_equal(access(new, F_OK), 0);
        teardown(&f);
}

static void test_refused(void **state _unused_)
{
        static const struct {
                const char *what, *message;
                struct published published;
                int code;
        } cases[] = {
                { "unsigned summary",
                  "summary: not signed",
                  { .summary_unsigned = true },
                  -EKEYREJECTED },
                { "summary, wrong key",
                  "none of the keys",
                  { .summary_other_key = true },
                  -EKEYREJECTED },
                { "summary, changed", "none of the keys", { .tampered = true }, -EKEYREJECTED },
                { "unsigned commit", "not signed", { .commit_unsigned = true }, -EKEYREJECTED },
                { "commit, wrong key",
                  "none of the keys",
                  { .commit_other_key = true },
                  -EKEYREJECTED },
                { "expired", "expired", { .expires = NOW }, -EKEYEXPIRED },
                { "no expiry", "until when", { .no_expiry = true }, -EKEYEXPIRED },
                { "older release", "older than 1.0.0", { .timestamp = NOW - 3 * YEAR }, -ESTALE },
                { "older version",
                  "older than 1.0.0",
                  { .timestamp = NOW - 2 * YEAR, .version = "0.9" },
                  -ESTALE },
                { "another image", "is of the image 'other'", { .image = "other" }, -EBADMSG },
                { "another architecture", "is for arm64", { .architecture = "arm64" }, -EBADMSG },
                { "another site",
                  "has no 'tiny/amd64/stable'",
                  { .ref = "big/amd64/stable" },
                  -ENOENT },
                { "another channel",
                  "has no 'tiny/amd64/stable'",
                  { .ref = "tiny/amd64/beta" },
                  -ENOENT },
                { "mixed", "contradicts", { .other_root_hash = true }, -EBADMSG },
                { "no release", "not a release", { .no_release = true }, -EBADMSG },
                { "too long", "more than", { .padding = SITE_COMMIT_MAX }, -EFBIG },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct site_offer offer = { .summary_timestamp = 7 };
                struct published p = cases[i].published;
                struct error err = {};
                struct fixture f;

                setup(&f);
                publish(&f, &p);
                assert_int_equal(check(&f, &fresh, &offer, &err), cases[i].code);
                if (!strstr(err.message, cases[i].message))
                        fail_msg("%s: %s", cases[i].what, err.message);
                assert_int_equal(offer.summary_timestamp, 7);
                assert_null(offer.release.version);
                teardown(&f);
        }
}

static void test_states(void **state _unused_)
{
        struct site_state seen = fresh, behind = fresh, newer = fresh;
        struct site_offer offer = {};
        struct published p = {};
        struct error err = {};
        struct fixture f;

        setup(&f);
        publish(&f, &p);
        seen.summary_timestamp = NOW - 1000; /* the same one again is fine … */
        assert_ok(check(&f, &seen, &offer, &err), &err);
        site_offer_done(&offer);
        seen.summary_timestamp++; /* … an older one is not */
        assert_int_equal(check(&f, &seen, &offer, &err), -ESTALE);
        behind.now = 0; /* a clock that stands still makes nothing valid again */
        behind.running_timestamp = p.expires;
        behind.allow_downgrade = true;
        assert_int_equal(check(&f, &behind, &offer, &err), -EKEYEXPIRED);
        newer.running_timestamp = NOW - 10;
        assert_int_equal(check(&f, &newer, &offer, &err), -ESTALE);
        newer.allow_downgrade = true;
        assert_ok(check(&f, &newer, &offer, &err), &err);
        site_offer_done(&offer);
        teardown(&f);
}

static void test_rotation(void **state _unused_)
{
        struct published p = { .summary_other_key = true, .commit_other_key = true };
        struct site_offer offer = {};
        struct error err = {};
        struct fixture f;

        setup(&f);
        publish(&f, &p);
        assert_int_equal(check(&f, &fresh, &offer, &err), -EKEYREJECTED);
        ed25519_public_of(&f.secrets[1], &f.keys.keys[f.keys.count++]);
        assert_ok(check(&f, &fresh, &offer, &err), &err);
        site_offer_done(&offer);
        teardown(&f);
}

/* Objects that are not what their names say, and objects that are not there. */
static void test_objects(void **state _unused_)
{
        struct site_offer offer = {};
        struct published p = {};
        struct error err = {};
        char name[128];
        struct fixture f;

        setup(&f);
        publish(&f, &p);
        snprintf(name, sizeof(name), "objects/%.2s/%s.commit", p.commit, p.commit + 2);
        put(&f, name, "x", 1);
        assert_true(check(&f, &fresh, &offer, &err) < 0);
        assert_non_null(strstr(err.message, "commit"));
        snprintf(name, sizeof(name), "%s/site/repo/objects/%.2s/%s.commit", f.root, p.commit,
                 p.commit + 2);
        assert_int_equal(unlink(name), 0);
        assert_true(check(&f, &fresh, &offer, &err) < 0);
        put(&f, "summary", "", 0);
        assert_int_equal(check(&f, &fresh, &offer, &err), -EKEYREJECTED);
        put(&f, "summary.sig", "x", 1);
        assert_int_equal(check(&f, &fresh, &offer, &err), -EBADMSG);
        teardown(&f);
}

static void test_oversized(void **state _unused_)
{
        _cleanup_free_ char *path = NULL;
        struct site_offer offer = {};
        struct published p = {};
        struct error err = {};
        struct fixture f;

        setup(&f);
        publish(&f, &p);
        path = string_format("%s/site/repo/summary", f.root);
        assert_int_equal(truncate(path, SITE_SUMMARY_MAX + 1), 0);
        assert_int_equal(check(&f, &fresh, &offer, &err), -EFBIG);
        assert_int_equal(truncate(path, SITE_SUMMARY_MAX), 0);
        assert_int_equal(check(&f, &fresh, &offer, &err), -EKEYREJECTED);
        teardown(&f);
}

static void test_corpus(void **state _unused_)
{
        _cleanup_closedir_ DIR *dir = opendir(TEST_DATA_DIR "/site");
        size_t good = 0, bad = 0;
        struct dirent *entry;

        assert_non_null(dir);
        while ((entry = readdir(dir))) {
                bool refused = startswith(entry->d_name, "should-fail-");
                _cleanup_free_ char *data = NULL;
                struct error err = {};
                size_t size;

                if (entry->d_name[0] == '.')
                        continue;
                assert_ok(file_read(dirfd(dir), entry->d_name, 1 << 20, &data, &size, &err), &err);
                if ((site_formats_try((uint8_t *)data, size, &err) < 0) != refused)
                        fail_msg("%s: %s", entry->d_name, refused ? "taken" : err.message);
                refused ? bad++ : good++;
        }
        assert_int_equal(good, 5);
        assert_int_equal(bad, 16);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_good),      cmocka_unit_test(test_forgets),
                cmocka_unit_test(test_refused),   cmocka_unit_test(test_states),
                cmocka_unit_test(test_rotation),  cmocka_unit_test(test_objects),
                cmocka_unit_test(test_oversized), cmocka_unit_test(test_corpus),
        };

        test_good(NULL); /* GLib keeps what it opened for the first pull */
        return test_run(tests);
}
