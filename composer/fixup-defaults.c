/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Files that maintainer scripts create when they are not there: copies of templates, short texts,
 * symlinks. A layer's file of the same path always stays. */

#include "fixup.h"
#include "strv.h"
#include "text.h"

static const struct {
        const char *from, *to;
        mode_t mode;
} copies[] = {
        { "/usr/share/base-files/profile", "/usr/etc/profile", 0644 },
        { "/usr/share/base-files/motd", "/usr/etc/motd", 0644 },
        { "/usr/share/base-files/dot.profile", "/root/.profile", 0644 },
        { "/usr/share/base-files/dot.bashrc", "/root/.bashrc", 0644 },
        { "/usr/share/libc-bin/nsswitch.conf", "/usr/etc/nsswitch.conf", 0644 },
        { "/usr/share/nfs-common/conffiles/idmapd.conf", "/usr/etc/idmapd.conf", 0644 },
        { "/usr/share/nfs-common/conffiles/nfs.conf", "/usr/etc/nfs.conf", 0644 },
        { "/usr/share/openssh/sshd_config", "/usr/etc/ssh/sshd_config", 0644 },
};

/* When `needs` is there. */
static const struct {
        const char *needs, *path, *text;
        mode_t mode;
} texts[] = {
        { "/usr/etc/protocols", "/usr/etc/hosts",
          "127.0.0.1\tlocalhost\n"
          "::1\t\tlocalhost ip6-localhost ip6-loopback\n"
          "ff02::1\t\tip6-allnodes\n"
          "ff02::2\t\tip6-allrouters\n",
          0644 },
        { "/usr/etc/protocols", "/usr/etc/networks",
          "default\t\t0.0.0.0\nloopback\t127.0.0.0\nlink-local\t169.254.0.0\n", 0644 },
        { "/usr/etc/security", "/usr/etc/security/opasswd", "", 0600 },
};

static const struct {
        const char *needs, *path, *target;
} links[] = {
        { "/usr/bin/dash", "/usr/bin/sh", "dash" },
        { "/usr/bin/bash", "/usr/bin/sh", "bash" },
        { "/usr/share/zoneinfo/Etc/UTC", "/usr/etc/localtime", "../usr/share/zoneinfo/Etc/UTC" },
        { "/usr/lib/systemd/systemd-resolved", "/usr/etc/resolv.conf",
          "../run/systemd/resolve/stub-resolv.conf" },
        { "/usr/etc/dpkg/origins/debian", "/usr/etc/dpkg/origins/default", "debian" },
};

static int add_copies(struct fixup_context *c, struct error *err)
{
        int r = 0;

        for (size_t i = 0; r == 0 && i < ARRAY_SIZE(copies); i++) {
                const struct tree_node *from = tree_lookup(c->tree, copies[i].from);

                if (from && !tree_lookup(c->tree, copies[i].to))
                        r = fixup_copy(c, from, copies[i].to, copies[i].mode, err);
        }
        return r;
}

static int add_texts(struct fixup_context *c, struct error *err)
{
        int r = 0;

        for (size_t i = 0; r == 0 && i < ARRAY_SIZE(texts); i++)
                if (tree_resolve(c->tree, texts[i].needs))
                        r = fixup_put_missing(c, texts[i].path, texts[i].text, texts[i].mode, err);
        return r;
}

static int add_links(struct fixup_context *c, struct error *err)
{
        int r = 0;

        for (size_t i = 0; r == 0 && i < ARRAY_SIZE(links); i++)
                if (tree_resolve(c->tree, links[i].needs))
                        r = fixup_link_missing(c, links[i].path, links[i].target, err);
        return r;
}

/* A shell is listed by both its names, before and after usr-merge, once. */
static int add_shell(char ***shells, const char *path, struct error *err)
{
        const char *name = startswith(path, "/usr") ?: path;
        char merged[TREE_PATH_MAX];

        snprintf(merged, sizeof(merged), "/usr%s", name);
        if (strv_contains(*shells, name))
                return 0;
        if (strv_extend(shells, name) < 0 || strv_extend(shells, merged) < 0)
                return error_oom(err);
        return 0;
}

static int read_shells(struct fixup_context *c, char ***shells, struct error *err)
{
        const struct tree_node *directory = tree_lookup(c->tree, "/usr/share/debianutils/shells.d");
        int r = tree_lookup(c->tree, "/usr/bin/sh") ? add_shell(shells, "/bin/sh", err) : 0;

        for (size_t i = 0; r == 0 && directory && i < directory->n_children; i++) {
                _cleanup_free_ char *text = NULL;
                _cleanup_strv_ char **lines = NULL;
                char path[TREE_PATH_MAX];

                r = fixup_read(c, tree_path(directory->children[i], path), &text, err);
                if (r == 0)
                        r = text_lines(text ?: "", "#", &lines, err);
                for (size_t k = 0; r == 0 && lines[k]; k++)
                        r = add_shell(shells, lines[k], err);
        }
        return r;
}

/* /etc/shells: sh, and what packages list in shells.d, as update-shells does. */
static int add_shells(struct fixup_context *c, struct error *err)
{
        _cleanup_strv_ char **shells = NULL;
        _cleanup_buffer_ struct buffer b = {};
        int r = read_shells(c, &shells, err);

        if (r < 0)
                return r;
        buffer_puts(&b, "# /etc/shells: valid login shells\n");
        STRV_FOREACH (shell, shells)
                buffer_printf(&b, "%s\n", *shell);
        return b.failed ? error_oom(err)
                        : fixup_put_missing(c, "/usr/etc/shells", b.data, 0644, err);
}

int fixup_defaults(struct fixup_context *c, struct error *err)
{
        int r = add_copies(c, err);

        if (r == 0)
                r = add_texts(c, err);
        if (r == 0)
                r = add_links(c, err);
        if (r == 0)
                r = add_shells(c, err);
        return r;
}
