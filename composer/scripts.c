/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The report on maintainer scripts: what a package's preinst and postinst would do that no fix-up
 * does is a finding, never silence. Three tables decide:
 *
 * - debhelper's generated snippets, by the tool that made them;
 * - commands that only look, print or talk to debconf, and commands whose effect a fix-up has for
 *   every package;
 * - packages whose scripts were read by a person, with the reason why nothing is missing.
 *
 * What is left of a script is named in the finding. */

#include "fixup.h"
#include "script.h"
#include "strv.h"
#include "text.h"

enum { NAMED_MAX = 12 };

/* Sorted. Covered by what stands behind it. */
static const char *const generated[] = {
        "dh_apparmor",            /* profiles are loaded at boot */
        "dh_installalternatives", /* fix-up alternatives */
        "dh_installdeb",          /* conffile moves of upgrades */
        "dh_installdebconf",      /* questions */
        "dh_installinfo",         /* documentation */
        "dh_installinit",         /* systemd is the init */
        "dh_installmenu",         /* desktop menus */
        "dh_installsystemd",      /* fix-up presets */
        "dh_installsystemduser",  /* fix-up presets */
        "dh_installsysusers",     /* fix-up users */
        "dh_installtmpfiles",     /* at boot */
        "dh_installudev",         /* at boot */
        "dh_makeshlibs",          /* fix-up libraries */
        "dh_runit",               /* systemd is the init */
        "dh_systemd_enable",      /* fix-up presets */
        "dh_systemd_start",       /* at boot */
        "dh_ucf",                 /* configuration is in /usr/etc */
};

/* Commands that change nothing, or nothing in a tree that is built once and never upgraded, or what
 * a fix-up does from the same text. */
static const char *const harmless[] = {
        /* shell */
        ".",
        ":",
        "[",
        "[[",
        "break",
        "cd",
        "command",
        "continue",
        "echo",
        "exit",
        "export",
        "false",
        "getopts",
        "local",
        "printf",
        "read",
        "return",
        "set",
        "shift",
        "test",
        "trap",
        "true",
        "type",
        "umask",
        "unset",
        "wait",
        /* looking */
        "awk",
        "basename",
        "cat",
        "cmp",
        "cut",
        "date",
        "diff",
        "dirname",
        "dpkg",
        "dpkg-query",
        "egrep",
        "fgrep",
        "find",
        "getcap",
        "getent",
        "grep",
        "head",
        "id",
        "ischroot",
        "ls",
        "md5sum",
        "pidof",
        "pathfind",
        "readlink",
        "realpath",
        "runlevel",
        "sed",
        "sha256sum",
        "sleep",
        "sort",
        "stat",
        "tail",
        "tempfile",
        "mktemp",
        "tr",
        "uname",
        "uniq",
        "wc",
        "which",
        "who",
        /* debconf, dpkg, services: there is no running system to talk to */
        "db_capb",
        "db_fset",
        "db_get",
        "db_go",
        "db_input",
        "db_metaget",
        "db_reset",
        "db_set",
        "db_stop",
        "db_subst",
        "db_version",
        "deb-systemd-helper",
        "deb-systemd-invoke",
        "dpkg-maintscript-helper",
        "dpkg-trigger",
        "invoke-rc.d",
        "service",
        "systemctl",
        "update-initramfs",
        "update-rc.d",
        "udevadm",
        "nscd",
        /* fix-ups */
        "depmod",
        "dpkg-divert",
        "ldconfig",
        "pam-auth-update",
        "systemd-sysusers",
        "systemd-tmpfiles",
        "update-alternatives",
        "update-ca-certificates",
        "update-shells",
};

/* Read by a person. What the reason names is done; what it does not name is of no use here. It
 * holds while the `empty` directory (may be NULL) has no file in it. */
static const struct {
        const char *package, *reason, *empty;
} reviewed[] = {
        { "base-files", "defaults, state; /usr/local is not used", NULL },
        { "base-passwd", "users", NULL },
        { "bash", "defaults: /usr/bin/sh", NULL },
        { "ca-certificates", "certificates", NULL },
        { "chrony", "users: _chrony; a layer has chrony.conf; directories are made by its unit",
          NULL },
        { "cryptsetup-initramfs", "our initrd is no initramfs-tools image", NULL },
        { "dash", "the package's own symlink", NULL },
        { "dbus-broker", "reboot hints of upgrades", NULL },
        { "dbus-system-bus-common", "users, by sysusers.d", NULL },
        { "e2fsprogs", "documentation links of upgrades", NULL },
        { "gzip", "diversions of zutils", NULL },
        { "iproute2", "setcap of ip is off by default", NULL },
        { "kmod", "an /etc/modules of comments", NULL },
        { "libc-bin", "defaults: nsswitch.conf; libraries", NULL },
        { "libc6", "restarts of upgrades", NULL },
        { "libglib2.0-0t64", "there are no settings schemas to compile",
          "/usr/share/glib-2.0/schemas" },
        { "libgssapi-krb5-2", "moves of upgrades", NULL },
        { "libpam-modules", "defaults: opasswd", NULL },
        { "libpam-runtime", "pam", NULL },
        { "libpam0g", "restarts of upgrades", NULL },
        { "libselinux1", "caches of upgrades", NULL },
        { "libwrap0", "hosts.allow and hosts.deny of comments", NULL },
        { "libwtmpdb0", "moves of upgrades", NULL },
        { "linux-base", "boot loader hooks", NULL },
        { "login.defs", "moves of upgrades", NULL },
        { "mawk", "alternatives", NULL },
        { "netbase", "defaults: hosts, networks", NULL },
        { "nfs-common", "defaults: idmapd.conf, nfs.conf; statd, which locks for NFSv3, is not run",
          NULL },
        { "openssh-client", "users: _ssh; attributes: ssh-agent", NULL },
        { "openssh-server", "defaults: sshd_config; host keys are made at first boot", NULL },
        { "passwd", "users: shadow passwords", NULL },
        { "podman", "conffile moves of upgrades", NULL },
        { "procps", "sysctl at boot", NULL },
        { "sudo", "attributes: sudoers", NULL },
        { "systemd", "presets; the machine id is made at first boot; the catalog is for upgrades",
          NULL },
        { "systemd-boot-efi", "the boot loader is put on the ESP by the disk writer", NULL },
        { "systemd-resolved", "defaults: resolv.conf", NULL },
        { "systemd-sysv", "the package's own symlinks", NULL },
        { "systemd-timesyncd", "moves of upgrades", NULL },
        { "tzdata", "defaults: localtime", NULL },
        { "udev", "the hardware database is a layer's choice; udev rules work without it", NULL },
};

/* Kernels: their names carry the version. */
static bool is_kernel(const char *package)
{
        return startswith(package, "linux-image-");
}

static bool has_files(const struct tree *tree, const char *path)
{
        const struct tree_node *directory = tree_lookup(tree, path);

        for (size_t i = 0; directory && i < directory->n_children; i++)
                if (S_ISREG(directory->children[i]->inode->mode))
                        return true;
        return false;
}

static bool is_reviewed(const char *package, const struct tree *tree)
{
        for (size_t i = 0; i < ARRAY_SIZE(reviewed); i++)
                if (streq(reviewed[i].package, package))
                        return !reviewed[i].empty || !has_files(tree, reviewed[i].empty);
        return is_kernel(package);
}

static bool is_listed(const char *word, const char *const *list, size_t count)
{
        for (size_t i = 0; i < count; i++)
                if (streq(list[i], word))
                        return true;
        return false;
}

/* Words with a variable in command position ("$idl stop") are the script's own business. */
static bool is_uncovered(const char *command)
{
        return *command != '$' && *command != '-' && !startswith(command, "\"$") &&
               !is_listed(command, harmless, ARRAY_SIZE(harmless));
}

/* A list of names for a message, cut at NAMED_MAX. */
static int join(char *const *names, char **ret, struct error *err)
{
        _cleanup_buffer_ struct buffer b = {};

        for (size_t i = 0; names[i] && i <= NAMED_MAX; i++)
                buffer_printf(&b, "%s%s", i > 0 ? ", " : "", i == NAMED_MAX ? "…" : names[i]);
        return buffer_take(&b, ret, NULL) < 0 ? error_oom(err) : 0;
}

/* What nsswitch.conf says is decided by a layer's file, or by libc-bin's default, which knows none
 * of the modules that dh_installnss adds. */
static bool nss_is_ours(const struct tree *tree)
{
        const struct tree_node *node = tree_lookup(tree, "/usr/etc/nsswitch.conf");

        return node && node->inode->origin && startswith(node->inode->origin, "layer ");
}

static int uncovered_tools(char *const *tools, const struct tree *tree, char ***ret,
                           struct error *err)
{
        for (; tools && *tools; tools++) {
                if (is_listed(*tools, generated, ARRAY_SIZE(generated)) ||
                    (streq(*tools, "dh_installnss") && nss_is_ours(tree)))
                        continue;
                if (strv_extend(ret, *tools) < 0)
                        return error_oom(err);
        }
        return 0;
}

/* Calls that the fix-ups read as text, which works only when the text says it all. */
static const struct {
        const char *command, *option;
} textual[] = {
        { "dpkg-divert", "--add" },
        { "update-alternatives", "--install" },
};

static int computed_calls(const char *text, char ***ret, struct error *err)
{
        _cleanup_strv_ char **lines = NULL;
        int r = text_script_lines(text, &lines, err);

        for (size_t i = 0; r == 0 && i < ARRAY_SIZE(textual); i++)
                STRV_FOREACH (line, lines) {
                        const char *call = strstr(*line, textual[i].command);
                        char name[64];

                        if (!call || !strstr(call, textual[i].option) || !strchr(call, '$') ||
                            strstr(call, ".usr-is-merged"))
                                continue;
                        snprintf(name, sizeof(name), "%s with computed arguments",
                                 textual[i].command);
                        if (!strv_contains(*ret, name) && strv_extend(ret, name) < 0)
                                return error_oom(err);
                }
        return r;
}

static int uncovered_commands(const char *text, char ***ret, struct error *err)
{
        _cleanup_strv_ char **commands = NULL;
        int r = script_commands(text, &commands, err);

        STRV_FOREACH (command, commands)
                if (is_uncovered(*command) && strv_extend(ret, *command) < 0)
                        return error_oom(err);
        return r < 0 ? r : computed_calls(text, ret, err);
}

struct review {
        const struct package_tree *package;
        const struct content_store *store;
        const struct tree *tree;
        struct merge_result *result;
};

static int review_script(const struct review *v, const char *script, struct error *err)
{
        _cleanup_free_ char *text = NULL, *list = NULL;
        _cleanup_strv_ char **tools = NULL, **names = NULL;
        char subject[512];
        int r = script_text(v->package, script, v->store, &text, err);

        if (r < 0 || !text)
                return r;
        r = script_drop_generated(text, &tools, err);
        if (r == 0)
                r = uncovered_tools(tools, v->tree, &names, err);
        if (r == 0 && !is_reviewed(v->package->package->name, v->tree))
                r = uncovered_commands(text, &names, err);
        if (r == 0 && names)
                r = join(names, &list, err);
        if (r < 0 || !names)
                return error_prefix(err, r, "package '%s': %s", v->package->package->name, script);
        snprintf(subject, sizeof(subject), "package %s", v->package->package->name);
        return fixup_finding(v->result, subject, err, "%s runs %s: not covered", script, list);
}

int scripts_review(const struct package_tree *packages, size_t count,
                   const struct content_store *store, const struct tree *tree,
                   struct merge_result *result, struct error *err)
{
        static const char *const scripts[] = { "preinst", "postinst" };

        for (size_t i = 0; i < count; i++)
                for (size_t k = 0; k < ARRAY_SIZE(scripts); k++) {
                        const struct review v = { &packages[i], store, tree, result };
                        int r = review_script(&v, scripts[k], err);

                        if (r < 0)
                                return r;
                }
        return 0;
}
