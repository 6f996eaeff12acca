/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* `systemctl preset-all` on the tree, for the system and for users' managers: every unit file is
 * looked up in the presets, and what an enabled one's [Install] section asks for becomes symlinks
 * in /usr/etc/systemd/{system,user}. Links that are there already (a layer's) stay. */

#include "fixup.h"
#include "strv.h"
#include "unit-file.h"

enum { ALSO_DEPTH_MAX = 16 };

struct scope {
        const char *units, *links; /* directories; units may be in both */
        const char *etc;           /* `links` as the running system sees it */
        const char *presets[3];
};

static const struct scope scopes[] = {
        { "/usr/lib/systemd/system",
          "/usr/etc/systemd/system",
          "/etc/systemd/system",
          { "/usr/etc/systemd/system-preset", "/usr/lib/systemd/system-preset", NULL } },
        { "/usr/lib/systemd/user",
          "/usr/etc/systemd/user",
          "/etc/systemd/user",
          { "/usr/etc/systemd/user-preset", "/usr/lib/systemd/user-preset", NULL } },
};

struct enabling {
        struct fixup_context *c;
        const struct scope *scope;
        unsigned depth; /* of Also= */
};

static bool is_unit_name(const char *name)
{
        static const char *const suffixes[] = { ".service", ".socket",    ".target", ".timer",
                                                ".path",    ".mount",     ".slice",  ".swap",
                                                ".scope",   ".automount", ".device" };

        for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++)
                if (endswith(name, suffixes[i]))
                        return true;
        return false;
}

/* The unit's own file, in the administrator's or the vendor's directory; NULL for aliases, masked
 * (empty) and missing units. *ret_path: as the running system sees it. */
static const struct tree_node *unit_file(const struct enabling *e, const char *name, char *ret_path)
{
        char path[TREE_PATH_MAX];
        const struct tree_node *node;

        snprintf(path, sizeof(path), "%s/%s", e->scope->links, name);
        snprintf(ret_path, TREE_PATH_MAX, "%s/%s", e->scope->etc, name);
        node = tree_lookup(e->c->tree, path);
        if (!node) {
                snprintf(path, sizeof(path), "%s/%s", e->scope->units, name);
                memcpy(ret_path, path, sizeof(path));
                node = tree_lookup(e->c->tree, path);
        }
        return node && S_ISREG(node->inode->mode) && node->inode->size > 0 ? node : NULL;
}

/* A link below `links`, unless something is there. */
static int make_link(const struct enabling *e, const char *directory, const char *kind,
                     const char *name, const char *target, struct error *err)
{
        char path[TREE_PATH_MAX];

        if (snprintf(path, sizeof(path), "%s/%s%s%s%s", e->scope->links, directory, kind,
                     *directory ? "/" : "", name) >= TREE_PATH_MAX)
                return error_set(err, -ENAMETOOLONG, "%s", name);
        return fixup_link_missing(e->c, path, target, err);
}

/* Expands what [Install] names; a specifier we cannot know is a finding, and *ret stays NULL. */
static int expand(const struct enabling *e, const char *text, const char *unit, char **ret,
                  struct error *err)
{
        struct error problem = {};
        char subject[TREE_NAME_MAX + 16];
        int r = unit_specifiers(text, unit, ret, &problem);

        if (r != -EINVAL)
                return r < 0 ? error_oom(err) : 0;
        snprintf(subject, sizeof(subject), "unit %s", unit);
        return fixup_finding(e->c->result, subject, err, "[Install]: %s: %s", text,
                             problem.message);
}

static int link_all(const struct enabling *e, char **names, const char *kind, const char *unit,
                    const char *target, struct error *err)
{
        STRV_FOREACH (name, names) {
                _cleanup_free_ char *expanded = NULL;
                int r = expand(e, *name, unit, &expanded, err);

                if (r == 0 && expanded)
                        r = make_link(e, kind ? expanded : "", kind ?: "", kind ? unit : expanded,
                                      target, err);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* The unit's file, then its drop-ins from the vendor's directory. */
static int read_install(const struct enabling *e, const struct tree_node *node,
                        struct unit_install *ret, struct error *err)
{
        char directory[TREE_PATH_MAX], path[TREE_PATH_MAX];
        const char *directories[] = { directory, NULL };
        _cleanup_strv_ char **paths = NULL;
        _cleanup_free_ char *text = NULL;
        int r = fixup_read(e->c, tree_path(node, path), &text, err);

        if (r == 0)
                r = unit_install_parse(ret, text ?: "", err);
        snprintf(directory, sizeof(directory), "%s/%s.d", e->scope->units, node->name);
        if (r == 0)
                r = fixup_config_files(e->c, directories, ".conf", &paths, err);
        if (r < 0)
                return r;
        STRV_FOREACH (file, paths) {
                _cleanup_free_ char *drop_in = NULL;

                r = fixup_read(e->c, *file, &drop_in, err);
                if (r == 0)
                        r = unit_install_parse(ret, drop_in ?: "", err);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int enable_unit(struct enabling *e, const char *name, const char *instance,
                       struct error *err);

/* unit: the name that links get, an instance when the file is a template. */
static int make_links(const struct enabling *e, const struct unit_install *install,
                      const char *unit, const char *target, struct error *err)
{
        const struct {
                char **names;
                const char *kind;
        } wants[] = {
                { install->wanted_by, ".wants" },
                { install->required_by, ".requires" },
                { install->upheld_by, ".upholds" },
        };
        int r = link_all(e, install->alias, NULL, unit, target, err);

        /* A template cannot be wanted without an instance. */
        for (size_t i = 0; r == 0 && i < ARRAY_SIZE(wants); i++)
                if (!unit_is_template(unit))
                        r = link_all(e, wants[i].names, wants[i].kind, unit, target, err);
        return r;
}

static int enable_also(struct enabling *e, const struct unit_install *install, const char *unit,
                       struct error *err)
{
        if (e->depth >= ALSO_DEPTH_MAX)
                return 0;
        STRV_FOREACH (also, install->also) {
                _cleanup_free_ char *name = NULL;
                int r = expand(e, *also, unit, &name, err);

                if (r < 0)
                        return r;
                e->depth++;
                r = name && !streq(name, unit) ? enable_unit(e, name, NULL, err) : 0;
                e->depth--;
                if (r < 0)
                        return r;
        }
        return 0;
}

static int enable_unit(struct enabling *e, const char *name, const char *instance,
                       struct error *err)
{
        _cleanup_unit_install_ struct unit_install install = {};
        _cleanup_free_ char *unit = NULL;
        char target[TREE_PATH_MAX];
        const struct tree_node *node = unit_file(e, name, target);
        int r;

        if (!node)
                return 0;
        r = read_install(e, node, &install, err);
        if (r < 0)
                return error_prefix(err, r, "%s", name);
        instance = instance ?: install.default_instance;
        unit = unit_is_template(name) && instance ? unit_instance(name, instance) : strdup(name);
        if (!unit)
                return error_oom(err);
        r = make_links(e, &install, unit, target, err);
        return r < 0 ? r : enable_also(e, &install, unit, err);
}

static int preset_unit(struct enabling *e, const struct presets *presets, const char *name,
                       struct error *err)
{
        const struct preset_rule *rule = presets_find(presets, name);
        int r = 0;

        if (rule && rule->action != PRESET_ENABLE)
                return 0;
        if (!rule || !rule->instances || !unit_is_template(name))
                return enable_unit(e, name, NULL, err);
        for (size_t i = 0; r == 0 && rule->instances[i]; i++)
                r = enable_unit(e, name, rule->instances[i], err);
        return r;
}

/* Names are collected first: enabling adds to the directories. */
static int unit_names(const struct enabling *e, char ***ret, struct error *err)
{
        const char *directories[] = { e->scope->links, e->scope->units };
        _cleanup_strv_ char **names = NULL;
        char path[TREE_PATH_MAX];

        for (size_t d = 0; d < ARRAY_SIZE(directories); d++) {
                const struct tree_node *node = tree_lookup(e->c->tree, directories[d]);

                for (size_t i = 0; node && i < node->n_children; i++) {
                        const char *name = node->children[i]->name;

                        if (is_unit_name(name) && unit_file(e, name, path) &&
                            !strv_contains(names, name) && strv_extend(&names, name) < 0)
                                return error_oom(err);
                }
        }
        strv_sort(names);
        *ret = TAKE_PTR(names);
        return 0;
}

static int read_presets(const struct enabling *e, struct presets *ret, struct error *err)
{
        _cleanup_strv_ char **paths = NULL;
        int r = fixup_config_files(e->c, e->scope->presets, ".preset", &paths, err);

        STRV_FOREACH (path, paths) {
                _cleanup_free_ char *text = NULL;

                r = fixup_read(e->c, *path, &text, err);
                if (r == 0)
                        r = presets_parse(ret, text ?: "", err);
                if (r < 0)
                        return error_prefix(err, r, "%s", *path);
        }
        return r;
}

static int preset_scope(struct enabling *e, struct error *err)
{
        _cleanup_presets_ struct presets presets = {};
        _cleanup_strv_ char **names = NULL;
        int r = read_presets(e, &presets, err);

        if (r == 0)
                r = unit_names(e, &names, err);
        if (r < 0)
                return r;
        STRV_FOREACH (name, names) {
                r = preset_unit(e, &presets, *name, err);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* A unit that a layer enables must be there: a typing error would stay unseen until the boot. */
static int check_layers(struct fixup_context *c, struct error *err)
{
        struct enabling e = { .c = c, .scope = &scopes[0] };

        for (size_t i = 0; i < c->m->n_layers; i++)
                STRV_FOREACH (unit, c->m->layers[i].units.enable) {
                        _cleanup_free_ char *template = NULL;
                        const char *at = strchr(*unit, '@');
                        char path[TREE_PATH_MAX];

                        template = at ? unit_instance(*unit, "") : strdup(*unit);
                        if (!template)
                                return error_oom(err);
                        if (!unit_file(&e, template, path) && !unit_file(&e, *unit, path))
                                return error_set(err, -ENOENT,
                                                 "layer '%s' enables unit '%s', which is not in "
                                                 "the image",
                                                 c->m->layers[i].name, *unit);
                }
        return 0;
}

int fixup_presets(struct fixup_context *c, struct error *err)
{
        int r = check_layers(c, err);

        for (size_t i = 0; r == 0 && i < ARRAY_SIZE(scopes); i++) {
                struct enabling e = { .c = c, .scope = &scopes[i] };

                r = preset_scope(&e, err);
        }
        return r;
}
