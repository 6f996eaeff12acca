/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See kernel-fragments.h. */

#include <limits.h>

#include "kernel-check.h"
#include "kernel-fragments.h"

/* The program is in bin/ of a copy of the project, or in build/release/composer/. */
enum { LEVELS_ABOVE_LAYER = 3, LEVELS_ABOVE_PROGRAM = 4 };

/* Adds kernel-config/ of a directory and of those above, so many in all. */
static int add_places(char ***places, const char *directory, unsigned levels)
{
        _cleanup_free_ char *path = strdup(directory);
        char *slash = path;

        for (; path && slash && levels > 0; levels--) {
                _cleanup_free_ char *place = string_format("%s/kernel-config", path);

                if (!place || strv_extend(places, place) < 0)
                        return -ENOMEM;
                slash = strrchr(path, '/');
                if (slash)
                        *slash = '\0';
        }
        return path ? 0 : -ENOMEM;
}

static int list_places(const char *directory, char ***ret, struct error *err)
{
        _cleanup_strv_ char **places = NULL;
        char program[PATH_MAX];
        ssize_t n = readlink("/proc/self/exe", program, sizeof(program) - 1);
        int r = add_places(&places, directory, LEVELS_ABOVE_LAYER);

        program[MAX(n, 0)] = '\0';
        if (n > 0 && strchr(program, '/') && r >= 0) {
                *strrchr(program, '/') = '\0';
                r = add_places(&places, program, LEVELS_ABOVE_PROGRAM);
        }
        if (r < 0 || strv_extend(&places, KERNEL_CONFIG_DIR) < 0)
                return error_oom(err);
        *ret = TAKE_PTR(places);
        return 0;
}

static int find_in(char *const *places, const char *name, char **ret, struct error *err)
{
        if (strchr(name, '/') || endswith(name, ".config")) {
                *ret = strdup(name);
                return *ret ? 0 : error_oom(err);
        }
        STRV_FOREACH (place, (char **)places) {
                _cleanup_free_ char *path = string_format("%s/%s.config", *place, name);

                if (!path)
                        return error_oom(err);
                if (access(path, F_OK) == 0) {
                        *ret = TAKE_PTR(path);
                        return 0;
                }
        }
        return error_set(err, -ENOENT, "no fragment '%s': no %s.config in %s or the other places",
                         name, name, *places);
}

/* The files of several; each once. */
static int find_all(const char *directory, char *const *names, char ***paths, struct error *err)
{
        _cleanup_strv_ char **places = NULL;
        int r = list_places(directory, &places, err);

        STRV_FOREACH (name, (char **)names) {
                _cleanup_free_ char *path = NULL;

                if (r >= 0)
                        r = find_in(places, *name, &path, err);
                if (r < 0)
                        return r;
                if (!strv_contains(*paths, path) && strv_extend(paths, path) < 0)
                        return error_oom(err);
        }
        return r;
}

int kernel_fragments_load(const char *directory, char *const *names, struct kernel_demands *ret,
                          struct error *err)
{
        _cleanup_free_ char *current = directory ? NULL : getcwd(NULL, 0);
        _cleanup_strv_ char **paths = NULL;
        int r;

        if (!directory && !current)
                return error_errno(err, "current directory");
        r = find_all(directory ?: current, names, &paths, err);
        return r < 0 ? r : kernel_demands_load(paths, ret, err);
}

/* ---- of an image ---- */

static int find_of_trust(const struct manifest *m, char ***paths, struct error *err)
{
        _cleanup_free_ char *directory =
                strndup(m->path, (size_t)(strrchr(m->path, '/') - m->path));
        _cleanup_strv_ char **names = NULL;
        int r;

        if (!directory)
                return error_oom(err);
        r = trust_kernel_fragments(&m->trust, &names, err);
        return r < 0 ? r : find_all(directory, names, paths, err);
}

/* The fragments of one layer, or, behind the last one, of the manifest itself. */
static int find_of(const struct manifest *m, size_t index, char ***paths, struct error *err)
{
        const struct layer *l;

        if (index == m->n_layers)
                return find_of_trust(m, paths, err);
        l = &m->layers[index];
        return error_prefix(err, find_all(l->path, l->kernel.config, paths, err), "layer '%s'",
                            l->name);
}

int kernel_fragments_list(const struct manifest *m, char ***ret, struct error *err)
{
        _cleanup_strv_ char **paths = NULL;

        for (size_t i = 0; i <= m->n_layers; i++) {
                int r = find_of(m, i, &paths, err);

                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(paths);
        return 0;
}

int kernel_fragments_of_image(const struct manifest *m, struct kernel_demands *ret,
                              struct error *err)
{
        _cleanup_strv_ char **paths = NULL;
        int r = kernel_fragments_list(m, &paths, err);

        return r < 0 ? r : kernel_demands_load(paths, ret, err);
}

static int require_of(const struct manifest *m, size_t index, const struct kconfig *config,
                      struct error *err)
{
        _cleanup_kernel_demands_ struct kernel_demands d = {};
        _cleanup_strv_ char **paths = NULL;
        int r = find_of(m, index, &paths, err);

        if (r >= 0)
                r = kernel_demands_load(paths, &d, err);
        if (r < 0)
                return r;
        r = kernel_require(config, &d, err);
        return index < m->n_layers ? error_prefix(err, r, "layer '%s'", m->layers[index].name)
                                   : error_prefix(err, r, "\"trust\"");
}

int kernel_fragments_require(const struct manifest *m, const struct kconfig *config,
                             struct error *err)
{
        _cleanup_kernel_demands_ struct kernel_demands all = {};
        int r = kernel_fragments_of_image(m, &all, err);

        if (r >= 0)
                r = kernel_demands_refuse_conflicts(&all, err);
        for (size_t i = 0; r >= 0 && i <= m->n_layers; i++)
                r = require_of(m, i, config, err);
        return error_prefix(err, r, "%s", config->name);
}
