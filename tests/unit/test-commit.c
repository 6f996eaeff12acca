/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* commit.c against a real repository, with the `ostree` program as the referee: what we write must
 * satisfy its fsck, and what it shows must be what we put in. */

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include "commit.h"
#include "io.h"
#include "process.h"
#include "test.h"

struct fixture {
        char *directory, *path;
        struct repo *repo;
        struct error err;
};

#define OK(expression) assert_ok(expression, &f->err)

static int setup(void **state)
{
        struct fixture *f = calloc(1, sizeof(*f));

        f->directory = test_mkdir();
        assert_true(asprintf(&f->path, "%s/repo", f->directory) > 0);
        OK(repo_open(f->path, true, &f->repo, &f->err));
        *state = f;
        return 0;
}

static int teardown(void **state)
{
        struct fixture *f = *state;

        repo_free(f->repo);
        test_rmdir(f->directory);
        free(f->path);
        free(f);
        return 0;
}

/* Output of `ostree --repo=… <arguments>`; fails the test when it fails. */
static char *ostree(struct fixture *f, const char *verb, const char *a, const char *b,
                    const char *c)
{
        _cleanup_free_ char *repo = NULL;
        const char *argv[] = { "ostree", NULL, verb, a, b, c, NULL };
        char *output = NULL;

        assert_true(asprintf(&repo, "--repo=%s", f->path) > 0);
        argv[1] = repo;
        OK(spawn(argv, NULL, &output, &f->err));
        return output;
}

static struct tree *sample_tree(struct fixture *f)
{
        struct tree *tree;
        struct tree_node *node;

        OK(tree_new(&tree, &f->err));
        OK(tree_put_file(tree, "/usr/bin/su", "root\n", 5, 04755, "test", &f->err));
        OK(tree_put_file(tree, "/usr/share/empty", "", 0, 0644, "test", &f->err));
        OK(tree_put_symlink(tree, "/usr/bin/sh", "dash", "test", &f->err));
        node = tree_lookup(tree, "/usr/bin/su");
        tree_inode_set_owner(node->inode, 0, 42);
        OK(tree_inode_set_xattr(node->inode, "security.capability", "\1\0\0\2", 4, &f->err));
        OK(tree_link(node->parent, "su2", node->inode, NULL, &f->err));
        tree_inode_set_owner(tree_lookup(tree, "/usr/share")->inode, 7, 8);
        tree_inode_set_mode(tree_lookup(tree, "/usr/share")->inode, 02775);
        return tree;
}

static void write_sample(struct fixture *f, struct tree *tree, const char *ref,
                         struct sha256 *ret_commit, struct sha256 *ret_root)
{
        const char *keys[] = { "slipway.sha256", "abc", "version", "1.2", NULL };
        struct commit_info info = { .subject = "sample", .timestamp = 1000, .keys = keys };

        OK(repo_commit_tree(f->repo, tree, ref, &info, ret_commit, ret_root, &f->err));
}

static void commit_sample(struct fixture *f, struct tree *tree, const char *ref,
                          struct sha256 *ret_commit, struct sha256 *ret_root)
{
        OK(repo_begin(f->repo, &f->err));
        write_sample(f, tree, ref, ret_commit, ret_root);
        OK(repo_end(f->repo, &f->err));
}

static void test_round_trip(void **state)
{
        struct fixture *f = *state;
        _cleanup_tree_ struct tree *tree = sample_tree(f), *loaded = NULL;
        struct content_store store = repo_contents(f->repo);
        _cleanup_free_ char *text = NULL, *value = NULL;
        struct tree_node *su, *share;
        struct sha256 commit;

        commit_sample(f, tree, "image/sample", &commit, NULL);
        OK(repo_load_tree(f->repo, "image/sample", &loaded, &f->err));
        su = tree_lookup(loaded, "/usr/bin/su");
        assert_non_null(su);
        assert_int_equal(su->inode->mode, S_IFREG | 04755);
        assert_int_equal(su->inode->gid, 42);
        assert_int_equal(su->inode->references, 2);
        assert_ptr_equal(su->inode, tree_lookup(loaded, "/usr/bin/su2")->inode);
        assert_int_equal(su->inode->n_xattrs, 1);
        assert_string_equal(su->inode->xattrs[0].name, "security.capability");
        assert_memory_equal(su->inode->xattrs[0].value, "\1\0\0\2", 4);
        assert_false(su->inode->changed);
        OK(content_load(su->inode, &store, 100, &text, NULL, &f->err));
        assert_string_equal(text, "root\n");
        share = tree_lookup(loaded, "/usr/share");
        assert_int_equal(share->inode->mode, S_IFDIR | 02775);
        assert_int_equal(share->inode->uid, 7);
        assert_int_equal(tree_lookup(loaded, "/usr/share/empty")->inode->kind, CONTENT_NONE);
        assert_string_equal(tree_lookup(loaded, "/usr/bin/sh")->inode->target, "dash");
        OK(repo_metadata(f->repo, &commit, "version", &value, &f->err));
        assert_string_equal(value, "1.2");
        assert_int_equal(repo_metadata(f->repo, &commit, "nothing", &value, &f->err), -ENODATA);
}

/* ---- records ---- */

static void assert_trees_equal(const struct tree *a, const struct tree *b)
{
        const struct tree_node *n = b->root;

        TREE_FOREACH (node, a->root) {
                assert_non_null(n);
                assert_string_equal(node->name, n->name);
                assert_int_equal(node->inode->mode, n->inode->mode);
                assert_int_equal(node->inode->uid, n->inode->uid);
                assert_int_equal(node->inode->gid, n->inode->gid);
                assert_int_equal(node->inode->size, n->inode->size);
                assert_int_equal(node->inode->kind, n->inode->kind);
                assert_int_equal(node->inode->references, n->inode->references);
                assert_int_equal(node->inode->n_xattrs, n->inode->n_xattrs);
                assert_false(n->inode->changed);
                if (node->inode->kind == CONTENT_OBJECT)
                        assert_memory_equal(&node->inode->object, &n->inode->object, SHA256_SIZE);
                if (node->inode->target)
                        assert_string_equal(node->inode->target, n->inode->target);
                for (size_t i = 0; i < node->inode->n_xattrs; i++) {
                        const struct tree_xattr *x = &node->inode->xattrs[i];

                        assert_string_equal(x->name, n->inode->xattrs[i].name);
                        assert_int_equal(x->size, n->inode->xattrs[i].size);
                        assert_memory_equal(x->value, n->inode->xattrs[i].value, x->size);
                }
                n = tree_next(b->root, n);
        }
        assert_null(n);
}

/* The record of a tree that was written, or loaded, is the tree that the commit loads. */
static void test_record(void **state)
{
        struct fixture *f = *state;
        _cleanup_tree_ struct tree *tree = sample_tree(f), *loaded = NULL, *read = NULL;
        _cleanup_buffer_ struct buffer written = {}, again = {};
        struct tree *none = NULL;

        commit_sample(f, tree, "image/sample", NULL, NULL);
        OK(repo_load_tree(f->repo, "image/sample", &loaded, &f->err));
        tree_record(tree, &written);
        tree_record(loaded, &again);
        assert_false(written.failed || again.failed);
        assert_int_equal(written.size, again.size);
        assert_memory_equal(written.data, again.data, again.size);
        OK(repo_tree_of_record(f->repo, written.data, written.size, &read, &f->err));
        assert_trees_equal(loaded, read);
        for (size_t size = 0; size < written.size; size++)
                assert_int_equal(repo_tree_of_record(f->repo, written.data, size, &none, &f->err),
                                 -EBADMSG);
        buffer_append(&written, "", 1);
        assert_int_equal(repo_tree_of_record(f->repo, written.data, written.size, &none, &f->err),
                         -EBADMSG);
        assert_string_equal(f->err.message, "tree: something behind its end");
}

static void test_record_object_gone(void **state)
{
        struct fixture *f = *state;
        _cleanup_tree_ struct tree *tree = sample_tree(f), *none = NULL;
        _cleanup_free_ char *path = NULL;
        _cleanup_buffer_ struct buffer record = {};
        char name[SHA256_HEX_SIZE];

        commit_sample(f, tree, "image/sample", NULL, NULL);
        tree_record(tree, &record);
        sha256_hex(&tree_lookup(tree, "/usr/bin/su")->inode->object, name);
        assert_true(asprintf(&path, "%s/objects/%.2s/%s.file", f->path, name, name + 2) > 0);
        assert_int_equal(unlink(path), 0);
        assert_int_equal(repo_tree_of_record(f->repo, record.data, record.size, &none, &f->err),
                         -ENOENT);
        assert_non_null(strstr(f->err.message, name));
}

static void test_record_corpus(void **state)
{
        static const struct {
                const char *name, *why; /* NULL: read */
        } files[] = {
                { "tree", NULL },
                { "root-alone", NULL },
                { "should-fail-behind-end", "something behind its end" },
                { "should-fail-below-file", "x" },
                { "should-fail-cut", "it ends early" },
                { "should-fail-depth", "a node without a parent" },
                { "should-fail-device", "neither file, directory nor symlink" },
                { "should-fail-dots", "'..' is not a file name" },
                { "should-fail-name-long", "a number is too large" },
                { "should-fail-nul", "a NUL in a string" },
                { "should-fail-number-long", "a number is too long" },
                { "should-fail-object-cut", "it ends early" },
                { "should-fail-object-gone", "object 00000000" },
                { "should-fail-root-file", "the root is no directory" },
                { "should-fail-root-name", "a number is too large" },
                { "should-fail-slash", "'a/b' is not a file name" },
                { "should-fail-target-long", "a number is too large" },
                { "should-fail-too-deep", "a number is too large" },
                { "should-fail-twice", "x" },
                { "should-fail-two-roots", "a node without a parent" },
                { "should-fail-xattr-name-long", "a number is too large" },
                { "should-fail-xattr-value-long", "a number is too large" },
                { "should-fail-xattrs", "it ends early" },
        };
        struct fixture *f = *state;

        for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
                _cleanup_free_ char *data = NULL;
                _cleanup_tree_ struct tree *tree = NULL;
                char path[256];
                size_t size;
                int r;

                snprintf(path, sizeof(path), TEST_DATA_DIR "/tree/%s", files[i].name);
                OK(file_read(AT_FDCWD, path, MIB, &data, &size, &f->err));
                r = repo_tree_of_record(f->repo, data, size, &tree, &f->err);
                if ((r < 0) != !!files[i].why || (r < 0 && !strstr(f->err.message, files[i].why)))
                        fail_msg("%s: %d: %s", files[i].name, r, f->err.message);
        }
}

/* Each byte another one: refused, or a tree that is recorded as it is read. */
static void test_record_flipped(void **state)
{
        struct fixture *f = *state;
        _cleanup_tree_ struct tree *tree = sample_tree(f);
        _cleanup_buffer_ struct buffer record = {};

        commit_sample(f, tree, "image/sample", NULL, NULL);
        tree_record(tree, &record);
        for (size_t i = 0; i < record.size; i++)
                for (unsigned bit = 1; bit < 256; bit <<= 1) {
                        _cleanup_buffer_ struct buffer again = {};
                        _cleanup_tree_ struct tree *read = NULL;

                        record.data[i] = (char)(record.data[i] ^ (int)bit);
                        if (repo_tree_of_record(f->repo, record.data, record.size, &read, NULL) >=
                            0) {
                                tree_record(read, &again);
                                assert_true(again.size <= record.size);
                        }
                        record.data[i] = (char)(record.data[i] ^ (int)bit);
                }
}

/* The tree that was committed is the tree that will be loaded, also in what shares an inode. */
static void test_equal_files(void **state)
{
        struct fixture *f = *state;
        _cleanup_tree_ struct tree *tree = sample_tree(f);

        OK(tree_put_file(tree, "/usr/a", "same", 4, 0644, "test", &f->err));
        OK(tree_put_file(tree, "/usr/b", "same", 4, 0644, "test", &f->err));
        OK(tree_put_file(tree, "/usr/c", "same", 4, 0600, "test", &f->err));
        OK(tree_put_file(tree, "/usr/empty", "", 0, 0644, "test", &f->err));
        commit_sample(f, tree, "image/sample", NULL, NULL);
        assert_ptr_equal(tree_lookup(tree, "/usr/a")->inode, tree_lookup(tree, "/usr/b")->inode);
        assert_int_equal(tree_lookup(tree, "/usr/a")->inode->references, 2);
        assert_int_equal(tree_lookup(tree, "/usr/c")->inode->references, 1);
        assert_int_equal(tree_lookup(tree, "/usr/empty")->inode->references, 1);
        assert_int_equal(tree_lookup(tree, "/usr/bin/su")->inode->references, 2);
}

static void test_ostree_agrees(void **state)
{
        struct fixture *f = *state;
        _cleanup_tree_ struct tree *tree = sample_tree(f);
        _cleanup_free_ char *fsck = NULL, *list = NULL, *out = NULL, *target = NULL, *text = NULL;

        commit_sample(f, tree, "image/sample", NULL, NULL);
        fsck = ostree(f, "fsck", NULL, NULL, NULL);
        list = ostree(f, "ls", "-RX", "image/sample", NULL);
        assert_non_null(strstr(list, "-04755 0 42      5 { [(b'security.capability'"));
        assert_non_null(strstr(list, "d02775 7 8      0"));
        assert_non_null(strstr(list, "/usr/bin/sh -> dash"));
        assert_true(asprintf(&target, "%s/checkout", f->directory) > 0);
        out = ostree(f, "checkout", "-U", "image/sample", target);
        assert_true(asprintf(&text, "%s/usr/bin/su2", target) > 0);
        assert_int_equal(access(text, R_OK), 0);
}

/* The same tree gives the same commit, whatever state its contents are in. */
static void test_same_commit(void **state)
{
        struct fixture *f = *state;
        _cleanup_tree_ struct tree *a = sample_tree(f), *b = sample_tree(f), *c = NULL;
        struct sha256 commits[3], roots[3];

        commit_sample(f, a, "a", &commits[0], &roots[0]);
        commit_sample(f, b, "b", &commits[1], &roots[1]);
        OK(repo_load_tree(f->repo, "a", &c, &f->err));
        commit_sample(f, c, "c", &commits[2], &roots[2]);
        assert_true(sha256_equal(&commits[0], &commits[1]));
        assert_true(sha256_equal(&commits[0], &commits[2]));
        assert_true(sha256_equal(&roots[0], &roots[2]));
        tree_inode_set_mode(tree_lookup(c, "/usr/share")->inode, 0700);
        commit_sample(f, c, "c", &commits[2], &roots[2]);
        assert_false(sha256_equal(&roots[0], &roots[2]));
}

/* An object whose owner changed is written again with the new one. */
static void test_changed_object(void **state)
{
        struct fixture *f = *state;
        _cleanup_tree_ struct tree *tree = sample_tree(f), *loaded = NULL, *again = NULL;
        _cleanup_free_ char *fsck = NULL;

        commit_sample(f, tree, "a", NULL, NULL);
        OK(repo_load_tree(f->repo, "a", &loaded, &f->err));
        tree_inode_set_owner(tree_lookup(loaded, "/usr/bin/su")->inode, 5, 6);
        tree_inode_set_owner(tree_lookup(loaded, "/usr/bin/sh")->inode, 5, 6);
        commit_sample(f, loaded, "a", NULL, NULL);
        OK(repo_load_tree(f->repo, "a", &again, &f->err));
        assert_int_equal(tree_lookup(again, "/usr/bin/su2")->inode->uid, 5);
        assert_int_equal(tree_lookup(again, "/usr/bin/sh")->inode->gid, 6);
        fsck = ostree(f, "fsck", NULL, NULL, NULL);
}

struct zeros {
        uint64_t left;
};

static ssize_t read_zeros(void *userdata, void *data, size_t size, struct error *err)
{
        struct zeros *zeros = userdata;
        size_t n = MIN((uint64_t)(size < 100000 ? size : 100000), zeros->left);

        (void)err;
        memset(data, 0, n);
        zeros->left -= n;
        return (ssize_t)n;
}

/* The buffered and the streaming way must give what ostree itself calls the object. */
static void test_large_content(void **state)
{
        static const uint64_t sizes[] = { 1, 4096, 3000001, 64 * MIB, 64 * MIB + 1 };
        struct fixture *f = *state;
        _cleanup_tree_ struct tree *tree = NULL;
        struct commit_info info = { .subject = "large" };
        _cleanup_free_ char *fsck = NULL;
        char name[32];

        OK(tree_new(&tree, &f->err));
        OK(repo_begin(f->repo, &f->err));
        for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
                struct tree_inode *inode = tree_inode_new(S_IFREG | 0644, 1, 2);
                struct zeros zeros = { sizes[i] };
                struct content_store store = repo_contents(f->repo);
                _cleanup_content_ struct content content = CONTENT_NULL;

                inode->size = sizes[i];
                OK(repo_write_content(f->repo, inode, read_zeros, &zeros, &f->err));
                assert_int_equal(inode->kind, CONTENT_OBJECT);
                snprintf(name, sizeof(name), "file%zu", i);
                OK(tree_link(tree->root, name, inode, NULL, &f->err));
                /* readable before the transaction ends */
                OK(content_open(inode, &store, &content, &f->err));
                OK(content_read(&content, name, 1, sizes[i] - 1, &f->err));
        }
        OK(repo_commit_tree(f->repo, tree, "large", &info, NULL, NULL, &f->err));
        OK(repo_end(f->repo, &f->err));
        fsck = ostree(f, "fsck", NULL, NULL, NULL);
}

static void test_refusals(void **state)
{
        struct fixture *f = *state;
        _cleanup_tree_ struct tree *tree = sample_tree(f), *none = NULL;
        struct tree_inode *inode = tree_inode_new(S_IFREG | 0644, 0, 0);
        struct commit_info info = { .subject = "refused" };
        struct zeros zeros = { 5 };
        struct sha256 commit;

        assert_int_equal(repo_load_tree(f->repo, "no/such/ref", &none, &f->err), -ENOENT);
        assert_int_equal(repo_resolve(f->repo, "no/such/ref", &commit, &f->err), -ENOENT);
        OK(repo_begin(f->repo, &f->err));
        assert_int_equal(repo_begin(f->repo, &f->err), -EBUSY);
        assert_int_equal(repo_commit_tree(f->repo, tree, "a..b//", &info, NULL, NULL, &f->err),
                         -EINVAL);
        inode->size = 10; /* the source has 5 */
        assert_int_equal(repo_write_content(f->repo, inode, read_zeros, &zeros, &f->err), -ENODATA);
        tree_inode_free(inode);
        inode = tree_inode_new(S_IFCHR | 0600, 0, 0);
        OK(tree_link(tree->root, "null", inode, NULL, &f->err));
        assert_int_equal(repo_commit_tree(f->repo, tree, NULL, &info, NULL, NULL, &f->err),
                         -EOPNOTSUPP);
        assert_non_null(strstr(f->err.message, "/null: "));
        repo_abort(f->repo);
        assert_int_equal(repo_open("/proc/1/none", true, &f->repo, &f->err) < 0, true);
}

/* Killed in the middle, the repository stays good and the next transaction works. */
static void test_killed(void **state)
{
        struct fixture *f = *state;
        _cleanup_tree_ struct tree *tree = sample_tree(f), *none = NULL;
        struct commit_info info = { .subject = "killed" };
        _cleanup_free_ char *fsck = NULL;
        pid_t child = fork();
        int status;

        if (child == 0) {
                struct repo *repo;

                if (repo_open(f->path, true, &repo, NULL) < 0 || repo_begin(repo, NULL) < 0 ||
                    repo_commit_tree(repo, tree, "image/sample", &info, NULL, NULL, NULL) < 0)
                        _exit(1);
                raise(SIGKILL);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(repo_load_tree(f->repo, "image/sample", &none, &f->err), -ENOENT);
        commit_sample(f, tree, "image/sample", NULL, NULL);
        fsck = ostree(f, "fsck", NULL, NULL, NULL);
}

/* Two transactions at once on one repository, as two builds would have. */
static void test_two_builds(void **state)
{
        struct fixture *f = *state;
        _cleanup_tree_ struct tree *a = sample_tree(f), *b = sample_tree(f);
        struct commit_info info = { .subject = "two" };
        _cleanup_free_ char *fsck = NULL, *refs = NULL;
        _cleanup_repo_ struct repo *other = NULL;

        OK(repo_open(f->path, true, &other, &f->err));
        OK(repo_begin(f->repo, &f->err));
        OK(repo_begin(other, &f->err));
        OK(repo_commit_tree(f->repo, a, "a", &info, NULL, NULL, &f->err));
        OK(repo_commit_tree(other, b, "b", &info, NULL, NULL, &f->err));
        OK(repo_end(other, &f->err));
        OK(repo_end(f->repo, &f->err));
        fsck = ostree(f, "fsck", NULL, NULL, NULL);
        refs = ostree(f, "refs", NULL, NULL, NULL);
        assert_true(streq(refs, "a\nb\n") || streq(refs, "b\na\n"));
}

/* ---- power cuts ---- */

static const char marker[] = "slipway-unsynced";

static char *read_marker(struct fixture *f)
{
        _cleanup_close_ int fd = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        char *text;

        OK(file_read(fd, marker, 128, &text, NULL, &f->err));
        return text;
}

/* Commits without an end, loses an object's bytes, and has the note say it was in another boot. */
static void cut_power(struct fixture *f, struct tree *tree, const char *boot)
{
        _cleanup_close_ int fd = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        char hex[SHA256_HEX_SIZE], object[128];
        struct sha256 commit, root;

        OK(repo_begin(f->repo, &f->err));
        write_sample(f, tree, "a", &commit, &root);
        repo_abort(f->repo);
        sha256_hex(&tree_lookup(tree, "/usr/bin/su")->inode->object, hex);
        snprintf(object, sizeof(object), "objects/%.2s/%s.file", hex, hex + 2);
        assert_int_equal(faccessat(fd, object, F_OK, 0), 0);
        OK(file_write(fd, object, "", 0, 0644, &f->err));
        OK(file_write(fd, marker, boot, strlen(boot), 0644, &f->err));
}

/* What the next boot's first writer finds broken is written again. */
static void test_power_cut(void **state)
{
        struct fixture *f = *state;
        _cleanup_tree_ struct tree *first = sample_tree(f), *second = sample_tree(f);
        _cleanup_free_ char *during = NULL, *after = NULL, *fsck = NULL;
        struct sha256 commit, root;

        cut_power(f, first, "00000000-0000-0000-0000-000000000000\n");
        OK(repo_begin(f->repo, &f->err));
        during = read_marker(f);
        assert_true(strlen(during) > 30 && during[0] != '0');
        write_sample(f, second, "a", &commit, &root);
        OK(repo_end_behind(f->repo, &f->err));
        OK(repo_wait(f->repo, &f->err));
        after = read_marker(f);
        assert_string_equal(after, "");
        fsck = ostree(f, "fsck", NULL, NULL, NULL);
}

/* The last writer to end says that all is on disk. */
static void test_two_writers(void **state)
{
        struct fixture *f = *state;
        _cleanup_repo_ struct repo *other = NULL;
        _cleanup_free_ char *one_left = NULL, *none_left = NULL;

        OK(repo_open(f->path, false, &other, &f->err));
        OK(repo_begin(f->repo, &f->err));
        OK(repo_begin(other, &f->err));
        OK(repo_end(f->repo, &f->err));
        one_left = read_marker(f);
        assert_string_not_equal(one_left, "");
        OK(repo_end(other, &f->err));
        none_left = read_marker(f);
        assert_string_equal(none_left, "");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_round_trip, setup, teardown),
                cmocka_unit_test_setup_teardown(test_record, setup, teardown),
                cmocka_unit_test_setup_teardown(test_record_object_gone, setup, teardown),
                cmocka_unit_test_setup_teardown(test_record_flipped, setup, teardown),
                cmocka_unit_test_setup_teardown(test_record_corpus, setup, teardown),
                cmocka_unit_test_setup_teardown(test_equal_files, setup, teardown),
                cmocka_unit_test_setup_teardown(test_ostree_agrees, setup, teardown),
                cmocka_unit_test_setup_teardown(test_same_commit, setup, teardown),
                cmocka_unit_test_setup_teardown(test_changed_object, setup, teardown),
                cmocka_unit_test_setup_teardown(test_large_content, setup, teardown),
                cmocka_unit_test_setup_teardown(test_refusals, setup, teardown),
                cmocka_unit_test_setup_teardown(test_killed, setup, teardown),
                cmocka_unit_test_setup_teardown(test_two_builds, setup, teardown),
                cmocka_unit_test_setup_teardown(test_power_cut, setup, teardown),
                cmocka_unit_test_setup_teardown(test_two_writers, setup, teardown),
        };

        return test_run(tests);
}
