/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See commit.h. The repository, its transactions, and writing a tree as a commit. Directory and
 * commit objects are built here as the GVariants libostree defines ("(a(say)a(sayay))",
 * "(uuua(ayay))", "(a{sv}aya(say)sstayay)"): the tree is already what a mutable tree would be, so
 * nothing is converted twice.
 *
 * Durability. libostree's own syncing (each directory and each ref) is off, and objects get their
 * final places at once. The file system is synced now and then while they are written, so that the
 * disk is not idle; repo_end() syncs it once before the refs are written, and once after. So a ref
 * that survives a power cut never names an object that did not; what can happen between the two
 * syncs is an empty ref, which repo_resolve() refuses and importing replaces. What a power cut
 * leaves of objects before that is found by commit-unsynced.c; after a mere kill they are whole. */

#include <assert.h>
#include <fcntl.h>

#include "commit-internal.h"
#include "io.h"

enum { BEGIN_TRIES = 100 };

static const char repo_config[] = "[core]\n"
                                  "repo_version=1\n"
                                  "mode=bare-user\n"
                                  "min-free-space-percent=0\n";

/* ---- repository ---- */

/* A config of our own is put first, because libostree's default keeps 3 % of the disk free and so
 * calls a disk full that is not. */
static int create_at(const char *path, struct error *err)
{
        _cleanup_close_ int fd = path_open_dir(AT_FDCWD, path, 0755, err);
        g_autoptr(OstreeRepo) created = NULL;
        g_autoptr(GError) error = NULL;
        int r;

        if (fd < 0)
                return fd;
        if (faccessat(fd, "objects", F_OK, 0) == 0)
                return 0;
        r = file_write(fd, "config", repo_config, strlen(repo_config), 0644, err);
        if (r < 0)
                return r;
        created = ostree_repo_create_at(fd, ".", OSTREE_REPO_MODE_BARE_USER, NULL, NULL, &error);
        if (!created)
                return gerror_set(err, error);
        return 0;
}

static int open_at(const char *path, struct repo *repo, struct error *err)
{
        g_autoptr(GError) error = NULL;

        repo->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (repo->fd < 0)
                return error_errno(err, "open");
        repo->ostree = ostree_repo_open_at(repo->fd, ".", NULL, &error);
        if (!repo->ostree)
                return gerror_set(err, error);
        if (ostree_repo_get_mode(repo->ostree) != OSTREE_REPO_MODE_BARE_USER)
                return error_set(err, -EINVAL, "its mode is not bare-user");
        ostree_repo_set_disable_fsync(repo->ostree, TRUE);
        return 0;
}

int repo_open(const char *path, bool create, struct repo **ret, struct error *err)
{
        _cleanup_repo_ struct repo *repo = calloc(1, sizeof(*repo));
        int r = 0;

        if (!repo)
                return error_oom(err);
        repo->fd = repo->unsynced_fd = -1;
        pthread_mutex_init(&repo->refs_lock, NULL);
        if (create)
                r = create_at(path, err);
        if (r == 0)
                r = open_at(path, repo, err);
        if (r < 0)
                return error_prefix(err, r, "repository '%s'", path);
        *ret = TAKE_PTR(repo);
        return 0;
}

void repo_free(struct repo *repo)
{
        if (!repo)
                return;
        background_free(repo->behind); /* waits for what is under way */
        background_free(repo->ahead);
        repo_abort(repo);
        g_clear_object(&repo->ostree);
        close_p(&repo->fd);
        pthread_mutex_destroy(&repo->refs_lock);
        free(repo);
}

/* ---- transactions ---- */

/* libostree looks into each staging directory, which another build may remove meanwhile: then it is
 * asked again. */
static int prepare(struct repo *repo, struct error *err)
{
        g_autoptr(GError) error = NULL;

        for (unsigned i = 0; i < BEGIN_TRIES; i++) {
                g_clear_error(&error);
                if (ostree_repo_prepare_transaction(repo->ostree, NULL, NULL, &error))
                        return 0;
                ostree_repo_abort_transaction(repo->ostree, NULL, NULL);
                if (!g_error_matches(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND))
                        break;
        }
        return gerror_set(err, error);
}

int repo_begin(struct repo *repo, struct error *err)
{
        int r = repo_wait(repo, err);

        if (r < 0)
                return r;
        if (repo->in_transaction)
                return error_set(err, -EBUSY, "repository: a transaction is open already");
        r = unsynced_begin(repo, err);
        if (r == 0)
                r = prepare(repo, err);
        if (r < 0) {
                unsynced_end(repo, false);
                return error_prefix(err, r, "repository: begin");
        }
        repo->in_transaction = true;
        return 0;
}

int repo_end(struct repo *repo, struct error *err)
{
        g_autoptr(GError) error = NULL;
        int r = unsynced_wait(repo, err);

        if (r < 0)
                return r;
        if (syncfs(repo->fd) < 0)
                return error_errno(err, "repository: sync");
        if (!ostree_repo_commit_transaction(repo->ostree, NULL, NULL, &error))
                return error_prefix(err, gerror_set(err, error), "repository: end");
        repo->in_transaction = false;
        if (syncfs(repo->fd) < 0)
                return error_errno(err, "repository: sync");
        unsynced_end(repo, true);
        return 0;
}

static int end_job(void *job, struct error *err)
{
        return repo_end(job, err);
}

int repo_end_behind(struct repo *repo, struct error *err)
{
        int r = repo->behind ? 0 : background_new(&repo->behind, err);

        return r < 0 ? r : background_start(repo->behind, end_job, repo, err);
}

int repo_wait(struct repo *repo, struct error *err)
{
        return repo->behind ? background_wait(repo->behind, err) : 0;
}

void repo_abort(struct repo *repo)
{
        if (repo->in_transaction)
                ostree_repo_abort_transaction(repo->ostree, NULL, NULL);
        repo->in_transaction = false;
        unsynced_end(repo, false);
}

/* ---- writing a commit ---- */

struct source {
        const struct content *content;
        uint64_t offset;
};

static ssize_t read_source(void *userdata, void *data, size_t size, struct error *err)
{
        struct source *source = userdata;
        size_t n = (size_t)MIN((uint64_t)size, source->content->size - source->offset);
        int r = content_read(source->content, data, n, source->offset, err);

        if (r < 0)
                return r;
        source->offset += n;
        return (ssize_t)n;
}

/* Copies the content from wherever it is into an object. */
static int write_content_of(struct repo *repo, struct tree_inode *inode, struct error *err)
{
        struct content_store store = repo_contents(repo);
        _cleanup_content_ struct content content = CONTENT_NULL;
        struct source source = { .content = &content };
        int r;

        r = content_open(inode, &store, &content, err);
        if (r < 0)
                return r;
        return repo_write_content(repo, inode, read_source, &source, err);
}

static int write_file(struct repo *repo, struct tree_inode *inode, struct sha256 *ret,
                      struct error *err)
{
        const void *bytes = inode->target ? "" : inode->data;
        bool in_memory = inode->kind == CONTENT_MEMORY || inode->kind == CONTENT_NONE;
        struct sha256 object;
        int r;

        if (!S_ISREG(inode->mode) && !S_ISLNK(inode->mode))
                return error_set(err, -EOPNOTSUPP,
                                 "OSTree holds no device nodes, sockets or fifos");
        if (inode->kind == CONTENT_OBJECT && !inode->changed) {
                *ret = inode->object;
                return 0;
        }
        if (!in_memory) {
                r = write_content_of(repo, inode, err);
                if (r == 0)
                        *ret = inode->object;
                return r;
        }
        r = object_write(repo, inode, bytes ?: "", inode->target ? 0 : (size_t)inode->size, &object,
                         err);
        if (r < 0)
                return r;
        if (!inode->target)
                object_become(inode, &object);
        inode->changed = false;
        *ret = object;
        return 0;
}

static int write_dirmeta(struct repo *repo, struct tree_inode *inode, struct sha256 *ret,
                         struct error *err)
{
        g_autoptr(GVariant) xattrs = xattrs_variant(inode);
        int r;

        r = object_write_metadata(repo, OSTREE_OBJECT_TYPE_DIR_META,
                                  g_variant_new("(uuu@a(ayay))", GUINT32_TO_BE(inode->uid),
                                                GUINT32_TO_BE(inode->gid),
                                                GUINT32_TO_BE(inode->mode), xattrs),
                                  ret, err);
        if (r == 0)
                inode->changed = false;
        return r;
}

static int write_directory(struct repo *repo, const struct tree_node *node, unsigned depth,
                           struct directory *ret, struct error *err);

static int add_child(struct repo *repo, const struct tree_node *child, unsigned depth,
                     GVariantBuilder *files, GVariantBuilder *directories, struct error *err)
{
        struct directory directory;
        struct sha256 object;
        int r;

        if (!g_utf8_validate(child->name, -1, NULL))
                return error_set(err, -EILSEQ, "the name is not UTF-8, which OSTree requires");
        if (S_ISDIR(child->inode->mode)) {
                r = write_directory(repo, child, depth + 1, &directory, err);
                if (r == 0)
                        g_variant_builder_add(directories, "(s@ay@ay)", child->name,
                                              bytes_variant(&directory.tree, SHA256_SIZE),
                                              bytes_variant(&directory.meta, SHA256_SIZE));
                return r;
        }
        r = write_file(repo, child->inode, &object, err);
        if (r == 0)
                g_variant_builder_add(files, "(s@ay)", child->name,
                                      bytes_variant(&object, SHA256_SIZE));
        return r;
}

static int write_children(struct repo *repo, const struct tree_node *node, unsigned depth,
                          GVariantBuilder *files, GVariantBuilder *directories, struct error *err)
{
        char path[TREE_PATH_MAX];
        int r;

        for (size_t i = 0; i < node->n_children; i++) {
                const struct tree_node *child = node->children[i];

                r = add_child(repo, child, depth, files, directories, err);
                if (r < 0 && S_ISDIR(child->inode->mode))
                        return r; /* names its place already */
                if (r < 0)
                        return error_prefix(err, r, "%s", tree_path(child, path));
        }
        return 0;
}

static int write_directory(struct repo *repo, const struct tree_node *node, unsigned depth,
                           struct directory *ret, struct error *err)
{
        g_autoptr(GVariantBuilder) files = g_variant_builder_new(G_VARIANT_TYPE("a(say)"));
        g_autoptr(GVariantBuilder) directories = g_variant_builder_new(G_VARIANT_TYPE("a(sayay)"));
        int r;

        if (depth > COMMIT_DEPTH_MAX)
                return error_set(err, -ENAMETOOLONG, "directories nested deeper than %d",
                                 COMMIT_DEPTH_MAX);
        r = write_children(repo, node, depth, files, directories, err);
        if (r < 0)
                return r;
        r = object_write_metadata(repo, OSTREE_OBJECT_TYPE_DIR_TREE,
                                  g_variant_new("(a(say)a(sayay))", files, directories), &ret->tree,
                                  err);
        if (r < 0)
                return r;
        return write_dirmeta(repo, node->inode, &ret->meta, err);
}

static GVariant *commit_variant(const struct commit_info *info, const struct directory *root)
{
        GVariantBuilder metadata;

        g_variant_builder_init(&metadata, G_VARIANT_TYPE_VARDICT);
        for (const char *const *key = info->keys; key && key[0]; key += 2)
                g_variant_builder_add(&metadata, "{sv}", key[0], g_variant_new_string(key[1]));
        if (info->bytes_key)
                g_variant_builder_add(&metadata, "{sv}", info->bytes_key,
                                      bytes_variant(info->bytes, info->bytes_size));
        return g_variant_new("(a{sv}@ay@a(say)sst@ay@ay)", &metadata, bytes_variant("", 0),
                             g_variant_new_array(G_VARIANT_TYPE("(say)"), NULL, 0), info->subject,
                             "", GUINT64_TO_BE(info->timestamp),
                             bytes_variant(&root->tree, SHA256_SIZE),
                             bytes_variant(&root->meta, SHA256_SIZE));
}

static void set_ref(struct repo *repo, const char *ref, const struct sha256 *commit)
{
        char name[SHA256_HEX_SIZE];

        pthread_mutex_lock(&repo->refs_lock);
        ostree_repo_transaction_set_ref(repo->ostree, NULL, ref, sha256_hex(commit, name));
        pthread_mutex_unlock(&repo->refs_lock);
}

int repo_commit_tree(struct repo *repo, struct tree *tree, const char *ref,
                     const struct commit_info *info, struct sha256 *ret_commit,
                     struct sha256 *ret_root, struct error *err)
{
        struct directory root;
        struct sha256 commit;
        int r;

        static_assert(sizeof(root) == 2 * SHA256_SIZE, "hashed as one run of bytes");
        if (ref && !ostree_validate_rev(ref, NULL))
                return error_set(err, -EINVAL, "'%s' is not a valid ref", ref);
        r = write_directory(repo, tree->root, 0, &root, err);
        if (r < 0)
                return r;
        commit_share_inodes(tree);
        r = object_write_metadata(repo, OSTREE_OBJECT_TYPE_COMMIT, commit_variant(info, &root),
                                  &commit, err);
        if (r < 0)
                return r;
        if (ref)
                set_ref(repo, ref, &commit);
        if (ret_commit)
                *ret_commit = commit;
        if (ret_root)
                sha256_of(&root, sizeof(root), ret_root);
        return 0;
}

int repo_seal(struct repo *repo, const struct sha256 *commit, const char *ref,
              const struct commit_info *info, struct sha256 *ret, struct error *err)
{
        struct directory root;
        int r;

        if (!ostree_validate_rev(ref, NULL))
                return error_set(err, -EINVAL, "'%s' is not a valid ref", ref);
        r = commit_root(repo, commit, &root, err);
        if (r < 0)
                return r;
        r = object_write_metadata(repo, OSTREE_OBJECT_TYPE_COMMIT, commit_variant(info, &root), ret,
                                  err);
        if (r < 0)
                return r;
        set_ref(repo, ref, ret);
        return 0;
}
