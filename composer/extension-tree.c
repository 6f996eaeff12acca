/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See extension.h. Merging lays the extension's /usr and /opt over the host's: whatever is not a
 * directory hides what the host has at its place, with all that is below. So what would hide one of
 * the host's own directories is refused, as is an os-release, by which the host would become
 * another one, and everything outside of the two, which nobody would ever see.
 *
 * The extension-release file has the xattr user.extension-release.strict=0, with which the image's
 * file may have any name: that says the version, so that those for two releases lie side by side.
 */

#include <fcntl.h>

#include "deb.h"
#include "extension.h"
#include "io.h"
#include "strv.h"
#include "union.h"

#define RELEASES "/usr/lib/extension-release.d"
#define STRICT   "user.extension-release.strict"

/* ---- the source ---- */

/* Of an archive, the contents are kept in memory. */
static int keep_content(void *userdata, struct tree_inode *inode, deb_read_fn read, void *reader,
                        struct error *err)
{
        uint64_t *room = userdata;
        _cleanup_free_ char *data = NULL;
        size_t done = 0;

        if (inode->size > *room)
                return error_set(err, -EFBIG, "the archive unpacks to more than %d MiB",
                                 (int)(EXTENSION_SIZE_MAX / MIB));
        *room -= inode->size;
        data = malloc(inode->size);
        if (!data)
                return error_oom(err);
        while (done < inode->size) {
                ssize_t n = read(reader, data + done, inode->size - done, err);

                if (n <= 0)
                        return n < 0 ? (int)n : error_set(err, -EBADMSG, "the file ends early");
                done += (size_t)n;
        }
        inode->data = TAKE_PTR(data);
        inode->kind = CONTENT_MEMORY;
        return 0;
}

static int read_archive(const char *path, struct tree **ret, struct error *err)
{
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
        uint64_t room = EXTENSION_SIZE_MAX;

        return fd < 0 ? error_errno(err, "open")
                      : tar_read(fd, strrchr(path, '/') + 1, keep_content, &room, ret, err);
}

/* Before image_path() makes /usr/bin of a /bin that is none of an extension's. */
static int check_names(const char *path, struct error *err)
{
        _cleanup_closedir_ DIR *dir = opendir(path);
        const struct dirent *entry;

        if (!dir)
                return error_errno(err, "open");
        while ((entry = readdir(dir)))
                if (!streq(entry->d_name, ".") && !streq(entry->d_name, "..") &&
                    !streq(entry->d_name, "usr") && !streq(entry->d_name, "opt"))
                        return error_set(err, -EINVAL,
                                         "'%s': an extension has usr and opt, nothing else",
                                         entry->d_name);
        return 0;
}

static int read_directory(const char *path, struct tree **ret, struct error *err)
{
        _cleanup_tree_ struct tree *tree = NULL;
        int r = check_names(path, err);

        if (r >= 0)
                r = tree_new(&tree, err);
        if (r >= 0)
                r = directory_files(path, "", NULL, tree, err);
        if (r >= 0)
                *ret = TAKE_PTR(tree);
        return r;
}

static char *source_path(const struct extension *e)
{
        return *e->source == '/'
                       ? strdup(e->source)
                       : string_format("%.*s%s", (int)(strrchr(e->path, '/') - e->path) + 1,
                                       e->path, e->source);
}

static int read_source(const struct extension *e, struct tree **ret, struct error *err)
{
        _cleanup_free_ char *path = source_path(e);
        struct stat st;
        int r;

        if (!path)
                return error_oom(err);
        if (stat(path, &st) < 0)
                r = error_errno(err, "stat");
        else
                r = S_ISDIR(st.st_mode) ? read_directory(path, ret, err)
                                        : read_archive(path, ret, err);
        return error_prefix(err, r, "source %s", path);
}

/* ---- what it may hold ---- */

/* Whatever the builder's users are called; of xattrs, capabilities mean something on the host. */
static int normalize(struct tree_inode *inode, struct error *err)
{
        int r = 0;

        tree_inode_set_owner(inode, 0, 0);
        for (size_t i = inode->n_xattrs; r >= 0 && i-- > 0;)
                if (!streq(inode->xattrs[i].name, "security.capability"))
                        r = tree_inode_set_xattr(inode, inode->xattrs[i].name, NULL, 0, err);
        return r;
}

static int check_place(const struct tree_node *node, struct error *err)
{
        const struct tree_node *top = node->parent;
        char path[TREE_PATH_MAX];

        if (!top)
                return 0;
        tree_path(node, path);
        if (!top->parent && !streq(path, "/usr") && !streq(path, "/opt"))
                return error_set(err, -EINVAL, "%s: an extension has usr and opt, nothing else",
                                 path);
        if ((!top->parent || streq(tree_path(top, (char[TREE_PATH_MAX]){}), "/usr")) &&
            !S_ISDIR(node->inode->mode))
                return error_set(err, -EINVAL,
                                 "%s is no directory: it would hide the host's, and all in it",
                                 path);
        if (streq(path, "/usr/lib/os-release"))
                return error_set(err, -EINVAL, "%s would hide the host's: leave it out", path);
        if (streq(path, RELEASES))
                return error_set(err, -EINVAL, "%s is made from the description: leave it out",
                                 path);
        return 0;
}

static int check_tree(const struct tree *tree, struct error *err)
{
        size_t files = 0;
        int r = 0;

        TREE_FOREACH (node, tree->root) {
                r = check_place(node, err);
                if (r >= 0)
                        r = normalize(node->inode, err);
                if (r < 0)
                        return r;
                files += !S_ISDIR(node->inode->mode);
        }
        return files > 0 ? 0 : error_set(err, -EINVAL, "there is no file in it");
}

static int put_release(const struct extension *e, struct tree *tree, struct error *err)
{
        char path[TREE_PATH_MAX];
        _cleanup_free_ char *text = NULL;
        int r = extension_release_text(e, &text, err);

        snprintf(path, sizeof(path), RELEASES "/extension-release.%s", e->name);
        if (r >= 0)
                r = tree_put_file(tree, path, text, strlen(text), 0644, NULL, err);
        return r < 0 ? r
                     : tree_inode_set_xattr(tree_lookup(tree, path)->inode, STRICT, "0", 1, err);
}

int extension_tree(const struct extension *e, struct tree **ret, struct error *err)
{
        _cleanup_tree_ struct tree *tree = NULL;
        int r = read_source(e, &tree, err);

        if (r < 0)
                return r;
        r = check_tree(tree, err);
        if (r < 0)
                return error_prefix(err, r, "source %s", e->source);
        r = put_release(e, tree, err);
        if (r >= 0)
                *ret = TAKE_PTR(tree);
        return r;
}
