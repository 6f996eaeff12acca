/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The fix-ups that make, move and remove files: kernel, defaults, PAM, certificates, alternatives,
 * removals, state, release, libraries. */

#include "fixup-test.h"
#include "ld-cache.h"

static void test_kernel(void **state)
{
        _cleanup_fixture_ struct fixture f;
        struct error err = {};

        (void)state;
        fixture_init(&f);
        put(f.c.tree, "/boot/vmlinuz-6.1-x", "kernel", 0644);
        put(f.c.tree, "/boot/config-6.1-x", "config", 0644);
        put(f.c.tree, "/boot/System.map-6.1-x", "map", 0644);
        put_dir(f.c.tree, "/usr/lib/modules/6.1-x", 0755);
        assert_ok(fixup_kernel(&f.c, &err), &err);
        assert_text(f.c.tree, "/usr/lib/modules/6.1-x/vmlinuz", "kernel");
        assert_text(f.c.tree, "/usr/lib/modules/6.1-x/config", "config");
        assert_absent(f.c.tree, "/boot/vmlinuz-6.1-x");
}

static void test_defaults(void **state)
{
        _cleanup_fixture_ struct fixture f;
        struct error err = {};

        (void)state;
        fixture_init(&f);
        put(f.c.tree, "/usr/share/base-files/profile", "profile", 0600);
        put(f.c.tree, "/usr/share/base-files/motd", "motd", 0644);
        put(f.c.tree, "/usr/share/libc-bin/nsswitch.conf", "default", 0644);
        put(f.c.tree, "/usr/etc/nsswitch.conf", "layer", 0644);
        put(f.c.tree, "/usr/bin/bash", "", 0755);
        put(f.c.tree, "/usr/lib/systemd/systemd-resolved", "", 0755);
        put(f.c.tree, "/usr/share/debianutils/shells.d/bash", "/bin/bash\n/usr/bin/bash\n", 0644);
        assert_ok(fixup_defaults(&f.c, &err), &err);
        assert_text(f.c.tree, "/usr/etc/profile", "profile");
        assert_int_equal(tree_lookup(f.c.tree, "/usr/etc/profile")->inode->mode & 07777, 0644);
        assert_text(f.c.tree, "/usr/etc/nsswitch.conf", "layer");
        assert_link(f.c.tree, "/usr/bin/sh", "bash");
        assert_link(f.c.tree, "/usr/etc/resolv.conf", "../run/systemd/resolve/stub-resolv.conf");
        assert_text(f.c.tree, "/usr/etc/shells",
                    "# /etc/shells: valid login shells\n"
                    "/bin/sh\n/usr/bin/sh\n/bin/bash\n/usr/bin/bash\n");
        assert_absent(f.c.tree, "/usr/etc/localtime");
}

static void test_pam(void **state)
{
        _cleanup_fixture_ struct fixture f;
        struct error err = {};

        (void)state;
        fixture_init(&f);
        put(f.c.tree, "/usr/share/pam/common-auth",
            "# head\n$auth_primary\nmid\n$auth_additional\n", 0644);
        put(f.c.tree, "/usr/share/pam/common-session-noninteractive",
            "$session_nonint_primary\n$session_nonint_additional\n", 0644);
        put(f.c.tree, "/usr/share/pam/common-password", "template", 0644);
        put(f.c.tree, "/usr/etc/pam.d/common-password", "layer", 0644);
        put(f.c.tree, "/usr/share/pam-configs/low",
            "Name: Low\nDefault: yes\nPriority: 10\nAuth-Type: Primary\nAuth:\n"
            "\t[success=end default=ignore]\tpam_low.so use\n"
            "Auth-Initial:\n\tpam_never.so\n"
            "Session-Type: Additional\nSession:\n\toptional pam_low.so\n",
            0644);
        put(f.c.tree, "/usr/share/pam-configs/high",
            "Name: High\nDefault: yes\nPriority: 256\nAuth-Type: Primary\nAuth:\n\tpam_never.so\n"
            "Auth-Initial:\n\t[success=end default=ignore]\tpam_high.so\n"
            "Session-Type: Additional\nSession-Interactive-Only: yes\nSession:\n\tpam_never.so\n",
            0644);
        put(f.c.tree, "/usr/share/pam-configs/off",
            "Name: Off\nDefault: no\nAuth-Type: Additional\nAuth:\n\tpam_off.so\n", 0644);
        assert_ok(fixup_pam(&f.c, &err), &err);
        assert_text(f.c.tree, "/usr/etc/pam.d/common-auth",
                    "# head\n"
                    "auth\t[success=2 default=ignore]\tpam_high.so\n"
                    "auth\t[success=1 default=ignore]\tpam_low.so use\n"
                    "mid\n");
        assert_text(f.c.tree, "/usr/etc/pam.d/common-session-noninteractive",
                    "session\t[default=1]\t\t\tpam_permit.so\n"
                    "session\toptional pam_low.so\n");
        assert_text(f.c.tree, "/usr/etc/pam.d/common-password", "layer");
        assert_absent(f.c.tree, "/usr/etc/pam.d/common-account");
}

static void test_certificates(void **state)
{
        _cleanup_fixture_ struct fixture f;
        struct error err = {};

        (void)state;
        fixture_init(&f);
        put(f.c.tree, "/usr/share/ca-certificates/m/b.crt", "-----BEGIN CERTIFICATE-----b", 0644);
        put(f.c.tree, "/usr/share/ca-certificates/m/a.crt", "-----BEGIN CERTIFICATE-----a\n", 0644);
        put(f.c.tree, "/usr/share/ca-certificates/README", "no", 0644);
        assert_ok(fixup_certificates(&f.c, &err), &err);
        assert_text(f.c.tree, "/usr/etc/ssl/certs/ca-certificates.crt",
                    "-----BEGIN CERTIFICATE-----a\n-----BEGIN CERTIFICATE-----b\n");
        assert_link(f.c.tree, "/usr/lib/ssl/cert.pem", "/etc/ssl/certs/ca-certificates.crt");
        put(f.c.tree, "/usr/share/ca-certificates/m/c.crt", "junk", 0644);
        assert_int_equal(fixup_certificates(&f.c, &err), -EINVAL);
}

static void test_alternatives(void **state)
{
        _cleanup_fixture_ struct fixture f;
        struct error err = {};

        (void)state;
        fixture_init(&f);
        put(fixture_package(&f, "a", "1"), "/control/postinst",
            "update-alternatives --install /usr/bin/pager pager /bin/more 50 \\\n"
            "  --slave /usr/share/man/pager.1 pager.1 /usr/share/man/more.1\n"
            "update-alternatives --install /usr/bin/gone gone /usr/bin/removed 50\n"
            "update-alternatives --install /usr/bin/$x x /usr/bin/$x 50\n",
            0755);
        put(fixture_package(&f, "b", "1"), "/control/postinst",
            "if [ x ]; then update-alternatives --quiet --install /usr/bin/pager pager "
            "/usr/bin/less 77 --slave /usr/share/man/pager.1 pager.1 /usr/share/man/less.1 "
            "--slave /usr/bin/lesspager lp /usr/bin/nothing\nfi\n",
            0755);
        put(f.c.tree, "/usr/bin/more", "", 0755);
        put(f.c.tree, "/usr/bin/less", "", 0755);
        put(f.c.tree, "/usr/share/man/less.1", "", 0644);
        assert_ok(fixup_alternatives(&f.c, &err), &err);
        assert_link(f.c.tree, "/usr/bin/pager", "/usr/bin/less");
        assert_link(f.c.tree, "/usr/share/man/pager.1", "/usr/share/man/less.1");
        assert_absent(f.c.tree, "/usr/bin/gone");
        assert_absent(f.c.tree, "/usr/bin/lesspager");
        assert_int_equal(tree_lookup(f.c.tree, "/usr/bin")->n_children, 3);
}

static void test_remove(void **state)
{
        _cleanup_fixture_ struct fixture f;
        struct error err = {};

        (void)state;
        fixture_init(&f);
        put(f.c.tree, "/usr/share/doc/a/x", "", 0644);
        put(f.c.tree, "/usr/lib/a/x.py", "", 0644);
        put(f.c.tree, "/usr/lib/b/y.py", "", 0644);
        put(f.c.tree, "/usr/lib/b/y", "", 0644);
        put(f.c.tree, "/usr/etc/z", "", 0644);
        f.layers[0].remove = (char *[]){ (char *)"/usr/share/doc", (char *)"/usr/**/*.py",
                                         (char *)"/etc/z", NULL };
        f.layers[1].remove = (char *[]){ (char *)"/usr/nothing", NULL };
        assert_ok(fixup_remove(&f.c, &err), &err);
        assert_absent(f.c.tree, "/usr/share/doc");
        assert_absent(f.c.tree, "/usr/lib/a/x.py");
        assert_absent(f.c.tree, "/usr/lib/b/y.py");
        assert_absent(f.c.tree, "/usr/etc/z");
        assert_text(f.c.tree, "/usr/lib/b/y", "");
        assert_int_equal(f.result.findings.count, 1);
        assert_finding(&f.result, "layer two", "remove pattern '/usr/nothing' matches nothing");
}

static void test_state(void **state)
{
        _cleanup_fixture_ struct fixture f;
        struct error err = {};

        (void)state;
        fixture_init(&f);
        assert_ok(accounts_add_group(&f.c.accounts, "mail", 8, &err), &err);
        put_dir(f.c.tree, "/var/log", 0755);
        put_dir(f.c.tree, "/var/mail", 02775)->inode->gid = 8;
        put_dir(f.c.tree, "/var/with blank%", 0700)->inode->uid = 99;
        put_link(f.c.tree, "/var/spool/mail", "../mail");
        put(f.c.tree, "/root/.profile", "profile", 0644);
        put(f.c.tree, "/tmp/x", "", 0644);
        put(f.c.tree, "/boot/x", "", 0644);
        put(f.c.tree, "/usr/local/bin/x", "", 0755);
        put(f.c.tree, "/usr/lib/tmpfiles.d/var.conf", "d /var 0755 - - -\nd /var/log - - -\n",
            0644);
        assert_ok(fixup_state(&f.c, &err), &err);
        assert_text(f.c.tree, "/usr/lib/tmpfiles.d/slipway-state.conf",
                    "# What packages and layers have outside /usr.\n"
                    "d /root 0755 0 0 -\n"
                    "C /root/.profile 0644 0 0 -\n"
                    "d /var/mail 2775 0 mail -\n"
                    "d /var/spool 0755 0 0 -\n"
                    "L /var/spool/mail - - - - ../mail\n"
                    "d /var/with\\x20blank%% 0700 99 0 -\n");
        assert_text(f.c.tree, "/usr/share/factory/root/.profile", "profile");
        assert_absent(f.c.tree, "/usr/local");
        assert_int_equal(f.c.tree->root->n_children, 1);
}

static void test_release(void **state)
{
        _cleanup_fixture_ struct fixture f;
        struct error err = {};

        (void)state;
        fixture_init(&f);
        fixture_package(&f, "a", "1:2-3");
        f.m.version = (char *)"1.0 \"x\"";
        f.c.epoch = 1790000000;
        put(f.c.tree, "/usr/lib/os-release", "ID=debian\nIMAGE_ID=old\nSLIPWAY_TIMESTAMP=1\n",
            0644);
        assert_ok(fixup_release(&f.c, &err), &err);
        assert_text(f.c.tree, "/usr/lib/os-release",
                    "ID=debian\nIMAGE_ID=test\nIMAGE_VERSION=\"1.0 \\\"x\\\"\"\n"
                    "SLIPWAY_TIMESTAMP=1790000000\n");
        assert_text(f.c.tree, "/usr/share/slipway/packages.json",
                    "[\n  {\n    \"name\":\"a\",\n    \"version\":\"1:2-3\",\n"
                    "    \"architecture\":\"amd64\"\n  }\n]\n");
}

/* Falling order, numbers as numbers, equal names in the order given. */
static void test_ld_cache(void **state)
{
        static const char *const expected[] = { "libz.so.10", "libz.so.9", "liba.so.1", "liba.so.1",
                                                "ld-x.so" };
        struct ld_cache_entry entries[] = {
                { (char *)"liba.so.1", (char *)"/1/liba.so.1", 0x303 },
                { (char *)"libz.so.9", (char *)"/1/libz.so.9", 0x303 },
                { (char *)"ld-x.so", (char *)"/1/ld-x.so", 0x303 },
                { (char *)"libz.so.10", (char *)"/1/libz.so.10", 0x303 },
                { (char *)"liba.so.1", (char *)"/2/liba.so.1", 0x303 },
        };
        _cleanup_free_ void *data = NULL;
        struct error err = {};
        size_t size;

        (void)state;
        assert_ok(ld_cache_build(entries, ARRAY_SIZE(entries), &data, &size, &err), &err);
        assert_memory_equal(data, "glibc-ld.so.cache1.1\5\0\0\0", 24);
        for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
                const uint8_t *entry = (const uint8_t *)data + 48 + 24 * i;
                uint32_t key = entry[4] | (uint32_t)entry[5] << 8;

                assert_int_equal(entry[0] | entry[1] << 8, 0x303);
                assert_true(key < size);
                assert_string_equal((const char *)data + key, expected[i]);
        }
        assert_string_equal(entries[2].path, "/1/liba.so.1");
        assert_int_equal(ld_cache_flags(62), 0x303);
        assert_int_equal(ld_cache_flags(3), 0);
}

/* A library of this very machine: its soname gets a link and an entry. */
static void test_libraries(void **state)
{
        static const char *const candidates[] = { "/usr/lib/x86_64-linux-gnu/libz.so.1",
                                                  "/lib/x86_64-linux-gnu/libc.so.6" };
        _cleanup_fixture_ struct fixture f;
        _cleanup_free_ char *data = NULL;
        const struct tree_node *cache;
        struct error err = {};
        size_t size = 0;

        (void)state;
        if (file_read(AT_FDCWD, candidates[0], 64 << 20, &data, &size, &err) < 0 &&
            file_read(AT_FDCWD, candidates[1], 64 << 20, &data, &size, &err) < 0)
                fail_msg("%s", err.message);
        fixture_init(&f);
        assert_ok(
                tree_put_file(f.c.tree, "/usr/lib/multi/libfile.so", data, size, 0644, NULL, &err),
                &err);
        put(f.c.tree, "/usr/lib/multi/libscript.so", "GROUP ( x )", 0644);
        put(f.c.tree, "/usr/etc/ld.so.conf", "include /etc/ld.so.conf.d/*.conf\n", 0644);
        put(f.c.tree, "/usr/etc/ld.so.conf.d/x.conf", "# multi\n/lib/multi\n/usr/lib/multi\n",
            0644);
        put_link(f.c.tree, "/lib", "usr/lib");
        assert_ok(fixup_libraries(&f.c, &err), &err);
        cache = tree_lookup(f.c.tree, "/usr/etc/ld.so.cache");
        assert_non_null(cache);
        assert_memory_equal((char *)cache->inode->data + 20, "\1\0\0\0", 4);
        assert_int_equal(tree_lookup(f.c.tree, "/usr/lib/multi")->n_children, 3);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_kernel),       cmocka_unit_test(test_defaults),
                cmocka_unit_test(test_pam),          cmocka_unit_test(test_certificates),
                cmocka_unit_test(test_alternatives), cmocka_unit_test(test_remove),
                cmocka_unit_test(test_state),        cmocka_unit_test(test_release),
                cmocka_unit_test(test_ld_cache),     cmocka_unit_test(test_libraries),
        };

        return test_run(tests);
}
