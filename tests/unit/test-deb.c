/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* deb.c against the small packages in tests/data/deb (see make.py there): the good ones give one
 * and the same tree whatever their compression, each bad one is refused for its own reason. */

#include "deb.h"
#include "test.h"

enum { NEWEST = 1700000005 };

/* Keeps the content in memory. */
static int store_memory(void *userdata, struct tree_inode *inode, deb_read_fn read_some,
                        void *reader, struct error *err)
{
        char data[128 * 1024]; /* more than any content in the folder claims */
        uint64_t size = inode->size, got = 0;

        (void)userdata;
        while (got < size) {
                ssize_t n = read_some(reader, data + got, sizeof(data) - got, err);

                if (n < 0)
                        return (int)n;
                if (n == 0)
                        return error_set(err, -ENODATA, "content ends early");
                got += (uint64_t)n;
        }
        return tree_inode_set_data(inode, data, (size_t)size, err);
}

static int read_sample(const char *name, struct tree **ret, uint64_t *ret_newest, struct error *err)
{
        _cleanup_free_ char *path = NULL;
        _cleanup_close_ int fd = -1;

        assert_true(asprintf(&path, TEST_DATA_DIR "/deb/%s.deb", name) > 0);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        assert_true(fd >= 0);
        return deb_read(fd, store_memory, NULL, ret, ret_newest, err);
}

static void check_good(const char *name)
{
        _cleanup_tree_ struct tree *tree = NULL;
        _cleanup_free_ char *text = NULL;
        struct tree_node *su, *share;
        struct error err = {};
        uint64_t newest;

        assert_ok(read_sample(name, &tree, &newest, &err), &err);
        assert_int_equal(newest, NEWEST);
        assert_int_equal(tree->root->n_children, 2);
        assert_int_equal(tree_lookup(tree, "/control/postinst")->inode->mode, S_IFREG | 0755);
        su = tree_lookup(tree, "/data/usr/bin/su");
        assert_int_equal(su->inode->mode, S_IFREG | 04755);
        assert_int_equal(su->inode->gid, 42);
        assert_int_equal(su->inode->references, 2);
        assert_ptr_equal(su->inode, tree_lookup(tree, "/data/usr/bin/su2")->inode);
        assert_ok(content_load(su->inode, NULL, 10, &text, NULL, &err), &err);
        assert_string_equal(text, "root\n");
        assert_string_equal(tree_lookup(tree, "/data/usr/bin/sh")->inode->target, "/bin/dash");
        share = tree_lookup(tree, "/data/usr/share/sample");
        assert_int_equal(share->inode->mode, S_IFDIR | 02775);
        assert_int_equal(share->inode->uid, 7);
        assert_int_equal(share->parent->inode->mode, S_IFDIR | 0755); /* made, not in the archive */
        assert_non_null(tree_child(share, "F\xc5\x91tan\xc3\xbas\xc3\xadtv\xc3\xa1ny"));
        assert_int_equal(tree_child(share, "empty")->inode->kind, CONTENT_NONE);
}

static void test_good(void **state)
{
        (void)state;
        check_good("good-none");
        check_good("good-gz");
        check_good("good-xz");
        check_good("good-zst");
}

static void test_xattr(void **state)
{
        _cleanup_tree_ struct tree *tree = NULL;
        struct error err = {};
        struct tree_inode *ping;

        (void)state;
        assert_ok(read_sample("good-xattr", &tree, NULL, &err), &err);
        ping = tree_lookup(tree, "/data/usr/ping")->inode;
        assert_int_equal(ping->n_xattrs, 1);
        assert_string_equal(ping->xattrs[0].name, "security.capability");
        assert_int_equal(ping->xattrs[0].size, 7);
        assert_memory_equal(ping->xattrs[0].value, "\1\0\0\2abc", 7);
}

static const struct {
        const char *name; /* without "should-fail-" */
        int code;
        const char *message; /* part of it; NULL: libarchive's own words, after the member */
} bad[] = {
        { "absolute", -EINVAL, "data.tar.gz: /etc/passwd: the path is absolute" },
        { "ar-cut", -EBADMSG, "control.tar.gz: " },
        { "ar-size", -EBADMSG, NULL },
        { "below-file", -ENOTDIR, "./usr/lib/x: 'lib' above it is not a directory" },
        { "below-symlink", -ENOTDIR, "./usr/lib/x: 'lib' above it is not a directory" },
        { "content-cut", -EBADMSG, "data.tar.gz: ./usr/x: " },
        { "control-character", -EINVAL, "./usr/a?b: the path has a control character" },
        { "device", -EOPNOTSUPP, "./usr/null: device nodes" },
        { "dot-inside", -EINVAL, "./usr/./x: the path has a component '.'" },
        { "dotdot", -EINVAL, "./usr/../../etc/passwd: the path has a component '..'" },
        { "dotdot-end", -EINVAL, "component '..'" },
        { "empty-component", -EINVAL, "./usr//x: the path has a component ''" },
        { "empty-target", -EINVAL, "./usr/x: symlink with a bad target" },
        { "fifo", -EOPNOTSUPP, "./usr/pipe: device nodes" },
        { "file-over-directory", -EEXIST, "./usr/d: the path stands twice" },
        { "gz-cut", -EBADMSG, "data.tar.gz: " },
        { "huge", -EFBIG, "./usr/x: the package unpacks to more than 16 GiB" },
        { "link-absolute", -EINVAL, "./usr/x: hard link: the path is absolute" },
        { "link-below-symlink", -ENOTDIR, "./usr/lib/x: 'lib' above it is not a directory" },
        { "link-directory", -EINVAL, "hard link to 'usr', which is no earlier file" },
        { "link-dotdot", -EINVAL, "hard link to '../etc/shadow', which is no earlier file" },
        { "link-missing", -EINVAL, "hard link to 'usr/none', which is no earlier file" },
        { "link-through-symlink", -EINVAL, "hard link to 'usr/s/f', which is no earlier file" },
        { "long-name", -ENAMETOOLONG, "a name is longer than 255 bytes" },
        { "long-path", -ENAMETOOLONG, "the path is longer than 4095 bytes" },
        { "no-control", -EBADMSG, "member 'data.tar.gz' where control.tar was expected" },
        { "no-data", -EBADMSG, "a member of the package is missing" },
        { "not-ar", -EBADMSG, NULL },
        { "not-tar", -EBADMSG, "data.tar.gz: " },
        { "owner", -ERANGE, "./usr/x: owner 1099511627776:0 is out of range" },
        { "root-is-file", -EEXIST, "./: the path stands twice" },
        { "tar-checksum", -EBADMSG, "data.tar: " },
        { "tar-cut", -EBADMSG, "data.tar: " },
        { "twice", -EEXIST, "./usr/x: the path stands twice" },
        { "unknown-compression", -EOPNOTSUPP, "data.tar.lz: unknown compression" },
        { "version", -EBADMSG, "debian-binary: not format version 2" },
        { "wrong-compression", -EBADMSG, "data.tar.xz: " },
        { "xz-cut", -EBADMSG, "data.tar.xz: " },
        { "xz-flipped", -EBADMSG, "data.tar.xz: " },
        { "zst-cut", -EBADMSG, "data.tar.zst: " },
};

static void test_bad(void **state)
{
        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
                _cleanup_tree_ struct tree *tree = NULL;
                struct error err = {};
                char name[64];
                int r;

                snprintf(name, sizeof(name), "should-fail-%s", bad[i].name);
                r = read_sample(name, &tree, NULL, &err);
                if (r != bad[i].code || (bad[i].message && !strstr(err.message, bad[i].message)))
                        fail_msg("%s: %d '%s'", name, r, err.message);
                assert_null(tree);
        }
}

/* Every bad package in the folder has its row. */
static void test_all_listed(void **state)
{
        _cleanup_closedir_ DIR *dir = opendir(TEST_DATA_DIR "/deb");
        struct dirent *entry;
        size_t n = 0;

        (void)state;
        assert_non_null(dir);
        while ((entry = readdir(dir)))
                n += startswith(entry->d_name, "should-fail-") != NULL;
        assert_int_equal(n, ARRAY_SIZE(bad));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_good),
                cmocka_unit_test(test_xattr),
                cmocka_unit_test(test_bad),
                cmocka_unit_test(test_all_listed),
        };

        return test_run(tests);
}
