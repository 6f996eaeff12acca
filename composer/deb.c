/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See deb.h. A .deb is an ar archive of "debian-binary" ("2.0\n"), control.tar.* and
 * data.tar.*, in that order; members whose name starts with '_' may stand between and are skipped.
 * The tar archives are read by a second libarchive handle that takes its input from the first one's
 * buffer, and contents go from the decompressor's window to the caller's buffer in one copy.
 *
 * What is refused: absolute paths, "..", empty and overlong names, control characters; an entry
 * below a symlink or a file; a name that stands twice (directories may repeat); a hard link to
 * anything but an earlier non-directory of the same member; device nodes, fifos and sockets; owners
 * beyond 32 bits; more entries or bytes than the limits; whatever libarchive finds wrong, including
 * its warnings, because a name it could not convert would depend on the builder's locale. */

#include <archive.h>
#include <archive_entry.h>

#include "deb.h"

enum { READ_BLOCK_SIZE = 256 * 1024, VERSION_SIZE_MAX = 64, PRINTED_PATH_MAX = 200 };

/* ---- libarchive ---- */

static void archive_free_p(struct archive **a)
{
        if (*a)
                archive_read_free(*a);
}
#define _cleanup_archive_ _cleanup_(archive_free_p)

/* libarchive's error as ours. Its own codes, and the errnos it borrows for bad input, are
 * -EBADMSG. */
static int archive_fail(struct archive *a, struct error *err)
{
        const char *message = archive_error_string(a);
        int code = archive_errno(a);

        switch (code) {
        case ENOMEM:
        case EIO:
        case ENOSPC: code = -code; break;
        default: code = -EBADMSG;
        }
        return error_set(err, code, "%s", message ?: "bad archive");
}

/* ---- entries ---- */

/* One member being read. */
struct part {
        struct archive *tar;
        struct tree *tree;
        struct tree_node *root; /* /control or /data */
        deb_store_fn store;
        void *userdata;
        uint64_t entries, bytes; /* so far, of the whole package */
        uint64_t newest;
};

/* Length of the first component of a path, which is checked; *path is moved behind it. */
static int take_component(const char **path, char *ret, struct error *err)
{
        size_t n = strcspn(*path, "/");

        if (n > TREE_NAME_MAX)
                return error_set(err, -ENAMETOOLONG, "a name is longer than %d bytes",
                                 TREE_NAME_MAX);
        memcpy(ret, *path, n);
        ret[n] = '\0';
        if (n == 0 || streq(ret, ".") || streq(ret, ".."))
                return error_set(err, -EINVAL, "the path has a component '%s'", ret);
        for (const char *c = ret; *c; c++)
                if ((unsigned char)*c < ' ' || *c == '\177')
                        return error_set(err, -EINVAL, "the path has a control character");
        *path += n;
        return 0;
}

/* Strips "./" in front and "/" behind; "" is the root. */
static int clean_path(const char *path, char *ret, struct error *err)
{
        size_t n;

        if (!path || path[0] == '\0')
                return error_set(err, -EINVAL, "entry without a path");
        if (path[0] == '/')
                return error_set(err, -EINVAL, "the path is absolute");
        if (streq(path, "."))
                path++;
        path = startswith(path, "./") ?: path;
        n = strlen(path);
        if (n > 0 && path[n - 1] == '/')
                n--;
        if (n >= TREE_PATH_MAX)
                return error_set(err, -ENAMETOOLONG, "the path is longer than %d bytes",
                                 TREE_PATH_MAX - 1);
        memcpy(ret, path, n);
        ret[n] = '\0';
        return 0;
}

/* The directory an entry belongs to and the entry's name (TREE_NAME_MAX + 1 bytes). Missing parents
 * are made; nothing is followed. */
static int locate(struct part *part, const char *path, struct tree_node **ret, char *name,
                  struct error *err)
{
        struct tree_node *directory = part->root, *child;
        int r;

        for (;;) {
                r = take_component(&path, name, err);
                if (r < 0)
                        return r;
                if (*path == '\0')
                        break;
                path++;
                child = tree_child(directory, name);
                if (!child) {
                        r = tree_make_dir(directory, name, &child, err);
                        if (r < 0)
                                return r;
                }
                if (!S_ISDIR(child->inode->mode))
                        return error_set(err, -ENOTDIR, "'%s' above it is not a directory", name);
                directory = child;
        }
        *ret = directory;
        return 0;
}

static int read_xattrs(struct archive_entry *entry, struct tree_inode *inode, struct error *err)
{
        const char *name;
        const void *value;
        size_t size;
        int r;

        archive_entry_xattr_reset(entry);
        while (archive_entry_xattr_next(entry, &name, &value, &size) == ARCHIVE_OK) {
                if (!name || !value)
                        return error_set(err, -EINVAL, "bad xattr");
                r = tree_inode_set_xattr(inode, name, value, size, err);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int check_owner(int64_t uid, int64_t gid, struct error *err)
{
        if (uid < 0 || uid >= UINT32_MAX || gid < 0 || gid >= UINT32_MAX)
                return error_set(err, -ERANGE, "owner %lld:%lld is out of range", (long long)uid,
                                 (long long)gid);
        return 0;
}

/* An inode with the entry's owner, mode and xattrs. */
static int make_inode(struct archive_entry *entry, struct tree_inode **ret, struct error *err)
{
        _cleanup_(tree_inode_free_p) struct tree_inode *inode = NULL;
        int64_t uid = archive_entry_uid(entry), gid = archive_entry_gid(entry);
        int r;

        r = check_owner(uid, gid, err);
        if (r < 0)
                return r;
        inode = tree_inode_new(archive_entry_mode(entry), (uint32_t)uid, (uint32_t)gid);
        if (!inode)
                return error_oom(err);
        r = read_xattrs(entry, inode, err);
        if (r < 0)
                return r;
        inode->changed = false;
        *ret = TAKE_PTR(inode);
        return 0;
}

/* ---- kinds of entries ---- */

static ssize_t read_data(void *reader, void *data, size_t size, struct error *err)
{
        struct archive *tar = reader;
        ssize_t n = archive_read_data(tar, data, size);

        return n < 0 ? archive_fail(tar, err) : n;
}

static int fill_regular(struct part *part, struct archive_entry *entry, struct tree_inode *inode,
                        struct error *err)
{
        int64_t size = archive_entry_size(entry);

        if (size < 0 || (uint64_t)size > DEB_SIZE_MAX - part->bytes)
                return error_set(err, -EFBIG, "the package unpacks to more than %llu GiB",
                                 DEB_SIZE_MAX / GIB);
        part->bytes += (uint64_t)size;
        inode->size = (uint64_t)size;
        if (size == 0)
                return 0;
        return part->store(part->userdata, inode, read_data, part->tar, err);
}

static int fill_symlink(struct part *part, struct archive_entry *entry, struct tree_inode *inode,
                        struct error *err)
{
        const char *target = archive_entry_symlink(entry);

        (void)part;
        if (!target || target[0] == '\0' || strlen(target) >= TREE_PATH_MAX)
                return error_set(err, -EINVAL, "symlink with a bad target");
        inode->mode = S_IFLNK | 0777;
        inode->size = strlen(target);
        inode->target = strdup(target);
        return inode->target ? 0 : error_oom(err);
}

static int fill_directory(struct part *part, struct archive_entry *entry, struct tree_inode *inode,
                          struct error *err)
{
        (void)part;
        (void)entry;
        (void)inode;
        (void)err;
        return 0;
}

static const struct {
        mode_t type;
        int (*fill)(struct part *part, struct archive_entry *entry, struct tree_inode *inode,
                    struct error *err);
} kinds[] = {
        { S_IFREG, fill_regular },
        { S_IFLNK, fill_symlink },
        { S_IFDIR, fill_directory },
};

static int fill_inode(struct part *part, struct archive_entry *entry, struct tree_inode *inode,
                      struct error *err)
{
        for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
                if ((inode->mode & S_IFMT) == kinds[i].type)
                        return kinds[i].fill(part, entry, inode, err);
        return error_set(err, -EOPNOTSUPP, "device nodes, fifos and sockets are not allowed");
}

/* A directory that is there already (repeated, or made as a parent) takes the entry's metadata. */
static void update_directory(struct tree_node *node, struct tree_inode *from)
{
        struct tree_inode *inode = node->inode;
        struct tree_inode old = *inode;

        inode->mode = from->mode;
        inode->uid = from->uid;
        inode->gid = from->gid;
        inode->xattrs = from->xattrs;
        inode->n_xattrs = from->n_xattrs;
        from->xattrs = old.xattrs;
        from->n_xattrs = old.n_xattrs;
}

static int add_inode(struct part *part, const char *path, struct archive_entry *entry,
                     struct error *err)
{
        _cleanup_(tree_inode_free_p) struct tree_inode *inode = NULL;
        struct tree_node *directory = NULL, *known = part->root;
        char name[TREE_NAME_MAX + 1];
        int r;

        r = make_inode(entry, &inode, err);
        if (r < 0)
                return r;
        if (path[0] != '\0') {
                r = locate(part, path, &directory, name, err);
                if (r < 0)
                        return r;
                known = tree_child(directory, name);
        }
        if (known && (!S_ISDIR(known->inode->mode) || !S_ISDIR(inode->mode)))
                return error_set(err, -EEXIST, "the path stands twice in the archive");
        r = fill_inode(part, entry, inode, err);
        if (r < 0)
                return r;
        if (known) {
                update_directory(known, inode);
                return 0;
        }
        r = tree_link(directory, name, inode, NULL, err);
        if (r == 0)
                TAKE_PTR(inode);
        return r;
}

/* The node a hard link names; NULL when there is none. Nothing is followed. */
static struct tree_node *find(struct part *part, const char *path)
{
        struct tree_node *node = part->root;
        char name[TREE_NAME_MAX + 1];

        while (node && *path != '\0') {
                if (take_component(&path, name, NULL) < 0)
                        return NULL;
                node = tree_child(node, name);
                path += *path == '/';
        }
        return node;
}

static int add_hardlink(struct part *part, const char *path, struct archive_entry *entry,
                        struct error *err)
{
        const char *link = archive_entry_hardlink(entry);
        char target[TREE_PATH_MAX], name[TREE_NAME_MAX + 1];
        struct tree_node *directory, *node;
        int r;

        r = clean_path(link, target, err);
        if (r < 0)
                return error_prefix(err, r, "hard link");
        node = find(part, target);
        if (!node || S_ISDIR(node->inode->mode))
                return error_set(err, -EINVAL, "hard link to '%s', which is no earlier file",
                                 target);
        r = locate(part, path, &directory, name, err);
        if (r < 0)
                return r;
        if (tree_child(directory, name))
                return error_set(err, -EEXIST, "the path stands twice in the archive");
        return tree_link(directory, name, node->inode, NULL, err);
}

/* A path for a message: cut, and with '?' for what a terminal might obey. */
static const char *printable(const char *path, char *ret)
{
        snprintf(ret, PRINTED_PATH_MAX, "%s", path ?: "?");
        for (char *c = ret; *c; c++)
                if ((unsigned char)*c < ' ' || *c == '\177')
                        *c = '?';
        return ret;
}

static int add_entry(struct part *part, struct archive_entry *entry, struct error *err)
{
        const char *given = archive_entry_pathname(entry);
        char path[TREE_PATH_MAX];
        int r;

        if (++part->entries > DEB_ENTRIES_MAX)
                return error_set(err, -E2BIG, "more than %d entries", DEB_ENTRIES_MAX);
        r = clean_path(given, path, err);
        if (r == 0 && archive_entry_hardlink(entry))
                r = add_hardlink(part, path, entry, err);
        else if (r == 0)
                r = add_inode(part, path, entry, err);
        if (r < 0)
                return error_prefix(err, r, "%s", printable(given, path));
        if (archive_entry_mtime(entry) > 0)
                part->newest = MAX(part->newest, (uint64_t)archive_entry_mtime(entry));
        return 0;
}

static int read_entries(struct part *part, struct error *err)
{
        struct archive_entry *entry;
        int r;

        for (;;) {
                r = archive_read_next_header(part->tar, &entry);
                if (r == ARCHIVE_EOF)
                        return 0;
                if (r != ARCHIVE_OK)
                        return archive_fail(part->tar, err);
                r = add_entry(part, entry, err);
                if (r < 0)
                        return r;
        }
}

/* ---- members ---- */

/* Hands the outer archive's buffer to the inner one. */
static la_ssize_t read_member(struct archive *tar, void *userdata, const void **ret)
{
        struct archive *ar = userdata;
        la_int64_t offset;
        size_t size;
        int r;

        r = archive_read_data_block(ar, ret, &size, &offset);
        if (r == ARCHIVE_EOF)
                return 0;
        if (r != ARCHIVE_OK) {
                archive_set_error(tar, archive_errno(ar), "%s",
                                  archive_error_string(ar) ?: "bad ar archive");
                return -1;
        }
        return (la_ssize_t)size;
}

static const struct {
        const char *suffix;
        int (*enable)(struct archive *a);
} filters[] = {
        { ".tar", archive_read_support_filter_none },
        { ".tar.gz", archive_read_support_filter_gzip },
        { ".tar.xz", archive_read_support_filter_xz },
        { ".tar.zst", archive_read_support_filter_zstd },
};

/* A tar reader for the one compression that the suffix states; not open yet. */
static int new_tar(const char *suffix, struct archive **ret, struct error *err)
{
        _cleanup_archive_ struct archive *tar = archive_read_new();
        size_t i = 0;

        if (!tar)
                return error_oom(err);
        while (i < ARRAY_SIZE(filters) && !streq(filters[i].suffix, suffix))
                i++;
        if (i == ARRAY_SIZE(filters))
                return error_set(err, -EOPNOTSUPP, "unknown compression");
        if (archive_read_support_format_tar(tar) != ARCHIVE_OK ||
            filters[i].enable(tar) != ARCHIVE_OK)
                return archive_fail(tar, err);
        *ret = TAKE_PTR(tar);
        return 0;
}

static int open_tar(struct archive *ar, const char *suffix, struct archive **ret, struct error *err)
{
        _cleanup_archive_ struct archive *tar = NULL;
        int r = new_tar(suffix, &tar, err);

        if (r < 0)
                return r;
        if (archive_read_open2(tar, ar, NULL, read_member, NULL, NULL) != ARCHIVE_OK)
                return archive_fail(tar, err);
        *ret = TAKE_PTR(tar);
        return 0;
}

/* Reads "<stem>.tar*" into the directory "/<stem>" of the tree. */
static int read_tar(struct archive *ar, const char *member, const char *stem, struct part *part,
                    struct error *err)
{
        _cleanup_archive_ struct archive *tar = NULL;
        char path[16];
        int r;

        snprintf(path, sizeof(path), "/%s", stem);
        r = tree_make_dirs(part->tree, path, &part->root, err);
        if (r == 0)
                r = open_tar(ar, member + strlen(stem), &tar, err);
        if (r == 0) {
                part->tar = tar;
                r = read_entries(part, err);
        }
        return error_prefix(err, r, "%s", member);
}

static int check_version(struct archive *ar, struct error *err)
{
        char text[VERSION_SIZE_MAX] = {};
        la_ssize_t n = archive_read_data(ar, text, sizeof(text) - 1);

        if (n < 0)
                return archive_fail(ar, err);
        if (!startswith(text, "2."))
                return error_set(err, -EBADMSG, "debian-binary: not format version 2");
        return 0;
}

/* Moves to the next member that counts; *ret is its name, borrowed. */
static int next_member(struct archive *ar, const char **ret, struct error *err)
{
        struct archive_entry *entry;
        const char *name;
        int r;

        do {
                r = archive_read_next_header(ar, &entry);
                if (r == ARCHIVE_EOF)
                        return error_set(err, -EBADMSG, "a member of the package is missing");
                if (r != ARCHIVE_OK)
                        return archive_fail(ar, err);
                name = archive_entry_pathname(entry);
        } while (name && name[0] == '_');
        *ret = name ?: "";
        return 0;
}

/* Moves to the member "<stem>…" and copies its name. */
static int expect_member(struct archive *ar, const char *stem, char ret[static 32],
                         struct error *err)
{
        const char *name = NULL, *rest;
        int r;

        r = next_member(ar, &name, err);
        if (r < 0)
                return r;
        rest = startswith(name, stem);
        if (!rest || (*rest != '\0' && *rest != '.'))
                return error_set(err, -EBADMSG, "member '%.32s' where %s was expected", name, stem);
        snprintf(ret, 32, "%s", name);
        return 0;
}

static int read_members(struct archive *ar, struct part *part, struct error *err)
{
        char name[32];
        int r;

        r = expect_member(ar, "debian-binary", name, err);
        if (r == 0)
                r = check_version(ar, err);
        if (r == 0)
                r = expect_member(ar, "control.tar", name, err);
        if (r == 0)
                r = read_tar(ar, name, "control", part, err);
        if (r == 0)
                r = expect_member(ar, "data.tar", name, err);
        part->newest = 0; /* of data.tar alone */
        if (r == 0)
                r = read_tar(ar, name, "data", part, err);
        return r;
}

int deb_read(int fd, deb_store_fn store, void *userdata, struct tree **ret, uint64_t *ret_newest,
             struct error *err)
{
        _cleanup_archive_ struct archive *ar = archive_read_new();
        _cleanup_tree_ struct tree *tree = NULL;
        struct part part = { .store = store, .userdata = userdata };
        int r;

        if (!ar)
                return error_oom(err);
        r = tree_new(&tree, err);
        if (r < 0)
                return r;
        if (archive_read_support_format_ar(ar) != ARCHIVE_OK ||
            archive_read_support_filter_none(ar) != ARCHIVE_OK ||
            archive_read_open_fd(ar, fd, READ_BLOCK_SIZE) != ARCHIVE_OK)
                return archive_fail(ar, err);
        part.tree = tree;
        r = read_members(ar, &part, err);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(tree);
        if (ret_newest)
                *ret_newest = part.newest;
        return 0;
}

/* ---- archives without a package around them ---- */

int tar_read(int fd, const char *name, deb_store_fn store, void *userdata, struct tree **ret,
             struct error *err)
{
        _cleanup_archive_ struct archive *tar = NULL;
        _cleanup_tree_ struct tree *tree = NULL;
        struct part part = { .store = store, .userdata = userdata };
        int r = tree_new(&tree, err);

        if (r >= 0)
                r = new_tar(strstr(name, ".tar") ?: "", &tar, err);
        if (r < 0)
                return r;
        if (archive_read_open_fd(tar, fd, READ_BLOCK_SIZE) != ARCHIVE_OK)
                return archive_fail(tar, err);
        part.tar = tar;
        part.tree = tree;
        part.root = tree->root;
        r = read_entries(&part, err);
        if (r >= 0)
                *ret = TAKE_PTR(tree);
        return r;
}
