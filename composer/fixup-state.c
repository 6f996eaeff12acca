/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The image is /usr; everything else is made on the machine. What packages and layers put outside
 * becomes lines of /usr/lib/tmpfiles.d/slipway-state.conf: "d" for directories, "L" for symlinks,
 * "C" for files, whose pristine copies go to /usr/share/factory. Paths that other tmpfiles.d files
 * declare are left to them. /usr/local goes as well: nothing may be installed there. */

#include "fixup.h"
#include "strv.h"
#include "text.h"

/* Not state: mounted or made by systemd, or of no use without the tools it belongs to. */
static const char *const dropped[] = {
        "/boot", "/proc", "/sys", "/dev", "/tmp", "/usr/local", "/var/lib/dpkg", "/var/lib/apt",
};

/* A sorted list of the paths that tmpfiles.d declares. */
static int declared_paths(const struct fixup_context *c, char ***ret, struct error *err)
{
        static const char *const directories[] = { "/usr/etc/tmpfiles.d", "/usr/lib/tmpfiles.d",
                                                   NULL };
        _cleanup_strv_ char **files = NULL, **declared = NULL;
        int r = fixup_config_files(c, directories, ".conf", &files, err);

        STRV_FOREACH (file, files) {
                _cleanup_free_ char *text = NULL;
                _cleanup_strv_ char **lines = NULL;

                r = fixup_read(c, *file, &text, err);
                if (r == 0)
                        r = text_lines(text ?: "", "#", &lines, err);
                if (r < 0)
                        return r;
                STRV_FOREACH (line, lines) {
                        _cleanup_strv_ char **words = NULL;

                        if (text_words(*line, &words, NULL) == 0 && words[0] && words[1] &&
                            strv_extend(&declared, words[1]) < 0)
                                return error_oom(err);
                }
        }
        *ret = TAKE_PTR(declared);
        return r;
}

/* A path or target as tmpfiles.d wants it: specifiers and blanks escaped. */
static void print_escaped(struct buffer *b, const char *s)
{
        for (; *s != '\0'; s++) {
                if (*s == '%')
                        buffer_puts(b, "%");
                if (strchr(" \t\\\"'", *s))
                        buffer_printf(b, "\\x%02x", (unsigned char)*s);
                else
                        buffer_append(b, s, 1);
        }
}

static void print_owner(struct buffer *b, const char *name, uint32_t id)
{
        if (name)
                buffer_printf(b, " %s", name);
        else
                buffer_printf(b, " %u", id);
}

static void print_line(const struct fixup_context *c, struct buffer *b, const char *path,
                       const struct tree_inode *inode)
{
        if (S_ISLNK(inode->mode)) {
                buffer_puts(b, "L ");
                print_escaped(b, path);
                buffer_puts(b, " - - - - ");
                print_escaped(b, inode->target);
                buffer_puts(b, "\n");
                return;
        }
        buffer_puts(b, S_ISDIR(inode->mode) ? "d " : "C ");
        print_escaped(b, path);
        buffer_printf(b, " %04o", (unsigned)(inode->mode & 07777));
        print_owner(b, accounts_user_name(&c->accounts, inode->uid), inode->uid);
        print_owner(b, accounts_group_name(&c->accounts, inode->gid), inode->gid);
        buffer_puts(b, " -\n");
}

/* Keeps a file's content where "C" looks for it. */
static int put_factory(struct fixup_context *c, const char *path, struct tree_inode *inode,
                       struct error *err)
{
        char factory[TREE_PATH_MAX];
        struct tree_node *directory;
        char *slash;
        int r;

        if (snprintf(factory, sizeof(factory), "/usr/share/factory%s", path) >= TREE_PATH_MAX)
                return error_set(err, -ENAMETOOLONG, "%s", path);
        slash = strrchr(factory, '/');
        *slash = '\0';
        r = tree_make_dirs(c->tree, factory, &directory, err);
        if (r < 0 || tree_child(directory, slash + 1))
                return r;
        return tree_link(directory, slash + 1, inode, NULL, err);
}

/* Lines for everything below (and with) one top-level directory. */
static int convert(struct fixup_context *c, struct tree_node *top, char *const *declared,
                   struct buffer *b, struct error *err)
{
        TREE_FOREACH (node, top) {
                char path[TREE_PATH_MAX];
                int r;

                tree_path(node, path);
                if (streq(path, "/run") || strv_contains(declared, path))
                        continue;
                print_line(c, b, path, node->inode);
                if (!S_ISREG(node->inode->mode))
                        continue;
                r = put_factory(c, path, node->inode, err);
                if (r < 0)
                        return r;
        }
        return 0;
}

int fixup_state(struct fixup_context *c, struct error *err)
{
        static const char head[] = "# What packages and layers have outside /usr.\n";
        _cleanup_strv_ char **declared = NULL;
        _cleanup_buffer_ struct buffer b = {};
        int r = declared_paths(c, &declared, err);

        buffer_puts(&b, head);
        for (size_t i = 0; i < ARRAY_SIZE(dropped); i++) {
                struct tree_node *node = tree_lookup(c->tree, dropped[i]);

                if (node)
                        tree_remove(node);
        }
        for (size_t i = 0; r == 0 && i < c->tree->root->n_children;) {
                struct tree_node *top = c->tree->root->children[i];

                if (streq(top->name, "usr")) {
                        i++;
                        continue;
                }
                r = convert(c, top, declared, &b, err);
                tree_remove(top);
        }
        if (r < 0)
                return r;
        if (b.failed)
                return error_oom(err);
        return b.size < sizeof(head) ? 0
                                     : fixup_put(c, "/usr/lib/tmpfiles.d/slipway-state.conf",
                                                 b.data, b.size, 0644, err);
}
