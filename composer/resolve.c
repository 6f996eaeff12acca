/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* packages_resolve(): metadata, then the solver; see package.h.
 *
 * What the solver found is kept in cache/solv/<key>.json, in the lock file's format. The key is the
 * digest of everything that the result depends on, so the file is right for ever: a build where
 * nothing changed asks the servers for news and reads one small file. */

#include <fcntl.h>

#include "io.h"
#include "mirror.h"
#include "package-requests.h"
#include "package.h"
#include "repository.h"
#include "solve.h"
#include "strv.h"

/* Index digests in order: which repository a package of two of them comes from depends on it. */
static void key_indexes(const struct repository_indexes *x, struct buffer *b)
{
        for (size_t i = 0; i < x->count; i++) {
                char hex[SHA256_HEX_SIZE];

                buffer_printf(b, "%s %s\n", x->items[i].repository,
                              sha256_hex(&x->items[i].sha256, hex));
        }
}

static void key_names(const char *kind, char **names, struct buffer *b)
{
        buffer_printf(b, "%s\n", kind);
        STRV_FOREACH (name, names)
                buffer_printf(b, "%zu %s\n", strlen(*name), *name);
}

static int key_requests(const struct manifest *m, struct buffer *b, struct error *err)
{
        _cleanup_strv_ char **names = NULL;
        int r = package_requests(m, &names, err);

        if (r == 0)
                key_names("packages", names, b);
        return r;
}

/* Of all layers, in any order. */
static int key_excluded(const struct manifest *m, struct buffer *b, struct error *err)
{
        _cleanup_strv_ char **names = NULL;

        for (size_t i = 0; i < m->n_layers; i++)
                STRV_FOREACH (name, m->layers[i].exclude)
                        if (strv_extend(&names, *name) < 0)
                                return error_oom(err);
        if (names)
                strv_sort(names);
        key_names("exclude", names, b);
        return 0;
}

static int result_path(const struct workdir *w, const struct manifest *m,
                       const struct repository_indexes *x, char **ret, struct error *err)
{
        _cleanup_buffer_ struct buffer b = {};
        char hex[SHA256_HEX_SIZE];
        struct sha256 digest;
        int r;

        buffer_printf(&b, "%s %s\n%s\n", SLIPWAY_VERSION, solve_version(), m->architecture);
        key_indexes(x, &b);
        r = key_requests(m, &b, err);
        if (r == 0)
                r = key_excluded(m, &b, err);
        if (r < 0)
                return r;
        if (b.failed)
                return error_oom(err);
        sha256_of(b.data, b.size, &digest);
        if (asprintf(ret, "%s/solv/%s.json", w->cache_path, sha256_hex(&digest, hex)) < 0) {
                *ret = NULL;
                return error_oom(err);
        }
        return 0;
}

static int load_result(const char *path, struct package_set *ret, struct error *err)
{
        _cleanup_lock_ struct lock lock = {};
        int r = lock_load(path, &lock, err);

        if (r < 0)
                return r;
        (void)!utimensat(AT_FDCWD, path, NULL, 0); /* in use: not stale */
        *ret = TAKE_STRUCT(lock.packages);
        return 0;
}

/* What was solved before, or else, if `anew`, is solved now. */
static int solve_cached(const struct workdir *w, const struct manifest *m,
                        const struct repository_indexes *x, bool anew, struct package_set *ret,
                        struct error *err)
{
        _cleanup_free_ char *path = NULL;
        int r;

        r = result_path(w, m, x, &path, err);
        if (r < 0)
                return r;
        r = load_result(path, ret, anew ? NULL : err);
        if (r >= 0 || !anew)
                return r;
        r = solve(w, m, x, ret, err);
        if (r < 0)
                return r;
        cache_prune(w->cache_fd, "metadata");
        cache_prune(w->cache_fd, "solv");
        cache_prune(w->cache_fd, "derived");
        /* A cache that cannot be written is no reason to fail. */
        (void)!lock_save(path, &(struct lock){ .packages = *ret }, NULL);
        return 0;
}

static int resolve(const struct workdir *w, const struct manifest *m, const struct mirrors *mirrors,
                   bool anew, struct package_set *ret, struct error *err)
{
        _cleanup_indexes_ struct repository_indexes indexes = {};
        _cleanup_package_set_ struct package_set set = {};
        int r = repositories_refresh(w, m, mirrors, &indexes, err);

        if (r >= 0)
                r = solve_cached(w, m, &indexes, anew, &set, err);
        if (r < 0)
                return r;
        set.warnings = TAKE_PTR(indexes.warnings);
        set.newest = indexes.newest;
        *ret = TAKE_STRUCT(set);
        return 0;
}

int packages_resolve(const struct workdir *w, const struct manifest *m, struct package_set *ret,
                     struct error *err)
{
        _cleanup_mirrors_ struct mirrors mirrors = {};
        int r;

        workdir_progress(w, STEP_RESOLVE, 0, 0);
        r = mirrors_load(w->mirrors, &mirrors, err);
        return r < 0 ? r : resolve(w, m, &mirrors, true, ret, err);
}

static bool all_present(const struct workdir *w, const struct package_set *set)
{
        for (size_t i = 0; i < set->count; i++)
                if (!package_present(w, &set->items[i]))
                        return false;
        return true;
}

/* Whatever apt may allow, metadata that is out of date is not recalled. */
bool packages_recall(const struct workdir *w, const struct manifest *m, struct package_set *ret)
{
        const struct mirrors strict = { .check_valid_until = true, .check_date = true };
        _cleanup_package_set_ struct package_set set = {};
        struct workdir offline = *w;
        struct error ignored = {};

        offline.offline = true;
        if (resolve(&offline, m, &strict, false, &set, &ignored) < 0 || !all_present(w, &set))
                return false;
        *ret = TAKE_STRUCT(set);
        return true;
}
