/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Reading commits: refs, metadata, and the tree with its hard links. Nothing in an object is
 * trusted: libostree checks the types, sizes and depth are checked here, names by tree_link(). */

#include "commit-internal.h"

int repo_resolve(struct repo *repo, const char *ref_or_checksum, struct sha256 *ret,
                 struct error *err)
{
        g_autoptr(GVariant) commit = NULL;
        g_autoptr(GError) error = NULL;
        g_autofree char *name = NULL;

        if (!ostree_repo_resolve_rev(repo->ostree, ref_or_checksum, FALSE, &name, &error) ||
            !ostree_repo_load_commit(repo->ostree, name, &commit, NULL, &error))
                return error_prefix(err, gerror_set(err, error), "commit '%s'", ref_or_checksum);
        if (hex_decode(name, ret->bytes, SHA256_SIZE) < 0)
                return error_set(err, -EBADMSG, "commit '%s': bad checksum", ref_or_checksum);
        return 0;
}

static int load_metadata(struct repo *repo, const struct sha256 *commit, GVariant **ret,
                         struct error *err)
{
        g_autoptr(GVariant) variant = NULL;
        int r = object_load(repo, OSTREE_OBJECT_TYPE_COMMIT, commit, &variant, err);

        if (r >= 0)
                *ret = g_variant_get_child_value(variant, 0);
        return r;
}

int repo_metadata(struct repo *repo, const struct sha256 *commit, const char *key, char **ret,
                  struct error *err)
{
        g_autoptr(GVariant) metadata = NULL;
        const char *value;
        char *copy;
        int r;

        r = load_metadata(repo, commit, &metadata, err);
        if (r < 0)
                return r;
        if (!g_variant_lookup(metadata, key, "&s", &value))
                return error_set(err, -ENODATA, "commit has no metadata '%s'", key);
        copy = strdup(value);
        if (!copy)
                return error_oom(err);
        *ret = copy;
        return 0;
}

int repo_metadata_bytes(struct repo *repo, const struct sha256 *commit, const char *key, char **ret,
                        size_t *ret_size, struct error *err)
{
        g_autoptr(GVariant) metadata = NULL, value = NULL;
        gconstpointer data;
        gsize size;
        int r;

        r = load_metadata(repo, commit, &metadata, err);
        if (r < 0)
                return r;
        value = g_variant_lookup_value(metadata, key, G_VARIANT_TYPE_BYTESTRING);
        if (!value)
                return error_set(err, -ENODATA, "commit has no metadata '%s'", key);
        data = g_variant_get_fixed_array(value, &size, 1);
        *ret = malloc(size + 1);
        if (!*ret)
                return error_oom(err);
        if (size > 0)
                memcpy(*ret, data, size);
        *ret_size = size;
        return 0;
}

struct loader {
        struct repo *repo;
        GHashTable *inodes; /* struct sha256 (inside the inode) → struct tree_inode */
};

static guint object_hash(gconstpointer key)
{
        guint hash;

        memcpy(&hash, key, sizeof(hash));
        return hash;
}

static gboolean object_equal(gconstpointer a, gconstpointer b)
{
        return sha256_equal(a, b);
}

void commit_share_inodes(struct tree *tree)
{
        g_autoptr(GHashTable) inodes = g_hash_table_new(object_hash, object_equal);

        TREE_FOREACH (node, tree->root) {
                struct tree_inode *own = node->inode, *first;

                if (own->kind != CONTENT_OBJECT)
                        continue;
                first = g_hash_table_lookup(inodes, &own->object);
                if (!first)
                        g_hash_table_insert(inodes, &own->object, own);
                if (!first || first == own)
                        continue;
                first->references++;
                node->inode = first;
                tree_inode_unref(own);
        }
}

static int checksum_of(GVariant *bytes, struct sha256 *ret, struct error *err)
{
        gsize size;
        const void *data = g_variant_get_fixed_array(bytes, &size, 1);

        if (size != SHA256_SIZE)
                return error_set(err, -EBADMSG, "checksum of %zu bytes", size);
        memcpy(ret->bytes, data, SHA256_SIZE);
        return 0;
}

static int set_xattrs(struct tree_inode *inode, GVariant *xattrs, struct error *err)
{
        GVariantIter iter;
        GVariant *name, *value;
        int r = 0;

        g_variant_iter_init(&iter, xattrs);
        while (r == 0 && g_variant_iter_next(&iter, "(@ay@ay)", &name, &value)) {
                gsize size;
                const void *data = g_variant_get_fixed_array(value, &size, 1);

                r = tree_inode_set_xattr(inode, g_variant_get_bytestring(name), data ?: "", size,
                                         err);
                g_variant_unref(name);
                g_variant_unref(value);
        }
        inode->changed = false;
        return r;
}

static int load_dirmeta(struct loader *l, const struct sha256 *object, struct tree_inode *inode,
                        struct error *err)
{
        g_autoptr(GVariant) meta = NULL, xattrs = NULL;
        uint32_t uid, gid, mode;
        int r;

        r = object_load(l->repo, OSTREE_OBJECT_TYPE_DIR_META, object, &meta, err);
        if (r < 0)
                return r;
        g_variant_get(meta, "(uuu@a(ayay))", &uid, &gid, &mode, &xattrs);
        inode->uid = GUINT32_FROM_BE(uid);
        inode->gid = GUINT32_FROM_BE(gid);
        inode->mode = GUINT32_FROM_BE(mode);
        if (!S_ISDIR(inode->mode))
                return error_set(err, -EBADMSG, "directory with mode %o", inode->mode);
        return set_xattrs(inode, xattrs, err);
}

static int fill_file(struct tree_inode *inode, GFileInfo *info, const struct sha256 *object,
                     struct error *err)
{
        const char *target = g_file_info_get_symlink_target(info);

        if (S_ISLNK(inode->mode)) {
                inode->target = strdup(target ?: "");
                if (!inode->target)
                        return error_oom(err);
                inode->size = strlen(inode->target);
        } else if (S_ISREG(inode->mode)) {
                inode->size = (uint64_t)g_file_info_get_size(info);
                inode->kind = inode->size > 0 ? CONTENT_OBJECT : CONTENT_NONE;
                inode->object = *object;
        } else {
                return error_set(err, -EBADMSG, "file with mode %o", inode->mode);
        }
        return 0;
}

static int load_file(struct loader *l, const struct sha256 *object, struct tree_inode **ret,
                     struct error *err)
{
        _cleanup_(tree_inode_free_p) struct tree_inode *inode = NULL;
        g_autoptr(GFileInfo) info = NULL;
        g_autoptr(GVariant) xattrs = NULL;
        g_autoptr(GError) error = NULL;
        char name[SHA256_HEX_SIZE];
        int r;

        if (!ostree_repo_load_file(l->repo->ostree, sha256_hex(object, name), NULL, &info, &xattrs,
                                   NULL, &error))
                return error_prefix(err, gerror_set(err, error), "object %s", name);
        inode = tree_inode_new(g_file_info_get_attribute_uint32(info, "unix::mode"),
                               g_file_info_get_attribute_uint32(info, "unix::uid"),
                               g_file_info_get_attribute_uint32(info, "unix::gid"));
        if (!inode)
                return error_oom(err);
        r = fill_file(inode, info, object, err);
        if (r < 0)
                return r;
        r = set_xattrs(inode, xattrs, err);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(inode);
        return 0;
}

/* Links a file; a content that came before is the same inode again. */
static int link_file(struct loader *l, struct tree_node *directory, const char *name,
                     const struct sha256 *object, struct error *err)
{
        _cleanup_(tree_inode_free_p) struct tree_inode *fresh = NULL;
        struct tree_inode *inode = g_hash_table_lookup(l->inodes, object);
        int r;

        if (inode)
                return tree_link(directory, name, inode, NULL, err);
        r = load_file(l, object, &fresh, err);
        if (r < 0)
                return r;
        r = tree_link(directory, name, fresh, NULL, err);
        if (r < 0)
                return r;
        inode = TAKE_PTR(fresh);
        if (inode->kind == CONTENT_OBJECT)
                g_hash_table_insert(l->inodes, &inode->object, inode);
        return 0;
}

static int load_files(struct loader *l, struct tree_node *directory, GVariant *files,
                      struct error *err)
{
        size_t n = g_variant_n_children(files);
        int r;

        for (size_t i = 0; i < n; i++) {
                g_autoptr(GVariant) checksum = NULL, file = g_variant_get_child_value(files, i);
                struct sha256 object;
                const char *name;

                g_variant_get(file, "(&s@ay)", &name, &checksum);
                r = checksum_of(checksum, &object, err);
                if (r == 0)
                        r = link_file(l, directory, name, &object, err);
                if (r < 0)
                        return error_prefix(err, r, "%s", name);
        }
        return 0;
}

static int load_directory(struct loader *l, struct tree_node *node, const struct directory *objects,
                          unsigned depth, struct error *err);

static int link_directory(struct loader *l, struct tree_node *parent, GVariant *entry,
                          unsigned depth, struct error *err)
{
        _cleanup_(tree_inode_free_p) struct tree_inode *inode = tree_inode_new(S_IFDIR, 0, 0);
        g_autoptr(GVariant) tree = NULL, meta = NULL;
        struct directory objects;
        struct tree_node *node;
        const char *name;
        int r;

        if (!inode)
                return error_oom(err);
        g_variant_get(entry, "(&s@ay@ay)", &name, &tree, &meta);
        r = checksum_of(tree, &objects.tree, err);
        if (r == 0)
                r = checksum_of(meta, &objects.meta, err);
        if (r == 0)
                r = tree_link(parent, name, inode, &node, err);
        if (r == 0) {
                TAKE_PTR(inode);
                r = load_directory(l, node, &objects, depth, err);
        }
        return error_prefix(err, r, "%s", name);
}

static int load_directory(struct loader *l, struct tree_node *node, const struct directory *objects,
                          unsigned depth, struct error *err)
{
        g_autoptr(GVariant) variant = NULL, files = NULL, directories = NULL;
        size_t n;
        int r;

        if (depth > COMMIT_DEPTH_MAX)
                return error_set(err, -EBADMSG, "directories nested deeper than %d",
                                 COMMIT_DEPTH_MAX);
        r = load_dirmeta(l, &objects->meta, node->inode, err);
        if (r < 0)
                return r;
        r = object_load(l->repo, OSTREE_OBJECT_TYPE_DIR_TREE, &objects->tree, &variant, err);
        if (r < 0)
                return r;
        g_variant_get(variant, "(@a(say)@a(sayay))", &files, &directories);
        r = load_files(l, node, files, err);
        n = g_variant_n_children(directories);
        for (size_t i = 0; r == 0 && i < n; i++) {
                g_autoptr(GVariant) entry = g_variant_get_child_value(directories, i);

                r = link_directory(l, node, entry, depth + 1, err);
        }
        return r;
}

int commit_root(struct repo *repo, const struct sha256 *commit, struct directory *ret,
                struct error *err)
{
        g_autoptr(GVariant) variant = NULL, tree = NULL, meta = NULL;
        int r;

        r = object_load(repo, OSTREE_OBJECT_TYPE_COMMIT, commit, &variant, err);
        if (r < 0)
                return r;
        tree = g_variant_get_child_value(variant, 6);
        meta = g_variant_get_child_value(variant, 7);
        r = checksum_of(tree, &ret->tree, err);
        return r < 0 ? r : checksum_of(meta, &ret->meta, err);
}

int repo_load_tree(struct repo *repo, const char *ref_or_checksum, struct tree **ret,
                   struct error *err)
{
        _cleanup_tree_ struct tree *tree = NULL;
        g_autoptr(GHashTable) inodes = g_hash_table_new(object_hash, object_equal);
        struct loader loader = { .repo = repo, .inodes = inodes };
        struct directory root;
        struct sha256 commit;
        int r;

        r = repo_resolve(repo, ref_or_checksum, &commit, err);
        if (r < 0)
                return r;
        r = tree_new(&tree, err);
        if (r == 0)
                r = commit_root(repo, &commit, &root, err);
        if (r == 0)
                r = load_directory(&loader, tree->root, &root, 0, err);
        if (r < 0)
                return error_prefix(err, r, "commit '%s'", ref_or_checksum);
        *ret = TAKE_PTR(tree);
        return 0;
}

int repo_root(struct repo *repo, const struct sha256 *commit, struct sha256 *ret, struct error *err)
{
        struct directory root;
        int r;

        r = commit_root(repo, commit, &root, err);
        if (r < 0)
                return r;
        sha256_of(&root, sizeof(root), ret);
        return 0;
}
