/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* passwd, group, shadow and gshadow: what base-passwd's postinst, systemd-sysusers and the adduser
 * calls of other packages' scripts would have made. */

#include "fixup.h"
#include "strv.h"
#include "sysusers.h"

/* Packages that call adduser or addgroup instead of shipping sysusers.d. */
static const struct {
        const char *package, *line;
} scripted[] = {
        { "openssh-client", "g _ssh -" },
        { "tcpdump", "u tcpdump - - - /usr/sbin/nologin" },
        { "chrony", "u _chrony - \"Chrony daemon\" /var/lib/chrony /usr/sbin/nologin" },
        { "uuid-runtime", "u uuidd - - /run/uuidd /usr/sbin/nologin" },
};

static int read_master(struct fixup_context *c, struct error *err)
{
        _cleanup_free_ char *passwd = NULL, *group = NULL;
        int r = fixup_read(c, "/usr/share/base-passwd/passwd.master", &passwd, err);

        if (r == 0)
                r = fixup_read(c, "/usr/share/base-passwd/group.master", &group, err);
        if (r == 0 && group)
                r = accounts_read_group(&c->accounts, group, err);
        if (r == 0 && passwd)
                r = accounts_read_passwd(&c->accounts, passwd, err);
        return r;
}

static int read_sysusers(struct fixup_context *c, struct sysusers *s, struct error *err)
{
        static const char *const directories[] = { "/usr/etc/sysusers.d", "/usr/lib/sysusers.d",
                                                   NULL };
        _cleanup_strv_ char **paths = NULL;
        int r = fixup_config_files(c, directories, ".conf", &paths, err);

        STRV_FOREACH (path, paths) {
                _cleanup_free_ char *text = NULL;

                r = fixup_read(c, *path, &text, err);
                if (r == 0 && text)
                        r = sysusers_parse(s, *path, text, err);
                if (r < 0)
                        return r;
        }
        return r;
}

static int read_layers(const struct fixup_context *c, struct sysusers *s, struct error *err)
{
        for (size_t i = 0; i < c->m->n_layers; i++)
                STRV_FOREACH (line, c->m->layers[i].sysusers) {
                        int r = sysusers_parse(s, "sysusers", *line, err);

                        if (r < 0)
                                return error_prefix(err, r, "layer '%s'", c->m->layers[i].name);
                }
        return 0;
}

static int read_scripted(const struct fixup_context *c, struct sysusers *s, struct error *err)
{
        int r = 0;

        for (size_t i = 0; r == 0 && i < ARRAY_SIZE(scripted); i++)
                if (fixup_has_package(c, scripted[i].package))
                        r = sysusers_parse(s, scripted[i].package, scripted[i].line, err);
        return r;
}

static int write_file(struct fixup_context *c, enum accounts_file file, const char *path,
                      mode_t mode, uint32_t gid, struct error *err)
{
        _cleanup_free_ char *text = NULL;
        int r = accounts_text(&c->accounts, file, &text, err);

        if (r == 0)
                r = fixup_put(c, path, text, strlen(text), mode, err);
        if (r == 0)
                tree_inode_set_owner(tree_lookup(c->tree, path)->inode, 0, gid);
        return r;
}

static int write_files(struct fixup_context *c, struct error *err)
{
        const struct group *shadow = accounts_group(&c->accounts, "shadow");
        uint32_t gid = shadow ? shadow->gid : 0;
        int r = write_file(c, ACCOUNTS_PASSWD, "/usr/etc/passwd", 0644, 0, err);

        if (r == 0)
                r = write_file(c, ACCOUNTS_GROUP, "/usr/etc/group", 0644, 0, err);
        if (r == 0)
                r = write_file(c, ACCOUNTS_SHADOW, "/usr/etc/shadow", 0640, gid, err);
        if (r == 0)
                r = write_file(c, ACCOUNTS_GSHADOW, "/usr/etc/gshadow", 0640, gid, err);
        if (r == 0)
                r = fixup_put_missing(c, "/usr/etc/subuid", "", 0644, err);
        if (r == 0)
                r = fixup_put_missing(c, "/usr/etc/subgid", "", 0644, err);
        return r;
}

int fixup_users(struct fixup_context *c, struct error *err)
{
        _cleanup_sysusers_ struct sysusers s = {};
        int r = read_master(c, err);

        if (r == 0)
                r = read_layers(c, &s, err);
        if (r == 0)
                r = read_sysusers(c, &s, err);
        if (r == 0)
                r = read_scripted(c, &s, err);
        if (r == 0)
                r = sysusers_apply(&s, c->tree, c->lock, &c->accounts, c->result, err);
        return r < 0 ? r : write_files(c, err);
}
