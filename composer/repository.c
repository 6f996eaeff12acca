/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See repository.h. Two rounds over the network, each in parallel: all InRelease files, then the
 * Packages files that they name and the cache lacks. A Packages file is known by its sha256 only,
 * so what is in the cache is right for ever; a file not used for weeks is removed. */

#include <fcntl.h>
#include <time.h>

#include "io.h"
#include "repository.h"
#include "suite.h"

enum { SUITES_MAX = 64, INDEXES_MAX = 1024, STALE_AFTER_DAYS = 21 };

#define INDEX_SIZE_MAX (512 * MIB)

/* Everything between the manifest and the indexes. */
struct refresh {
        const struct workdir *w;
        const struct manifest *m;
        const struct mirrors *mirrors;
        struct suite suites[SUITES_MAX];
        size_t n_suites;
        struct download *downloads;
        char **urls; /* of the downloads, as long as they run */
        size_t n_downloads, capacity;
        struct repository_indexes *indexes;
        int metadata_fd;
};

static void downloads_clear(struct refresh *f)
{
        for (size_t i = 0; i < f->n_downloads; i++)
                download_done(&f->downloads[i]);
        free(TAKE_PTR(f->downloads));
        strv_free(TAKE_PTR(f->urls));
        f->n_downloads = f->capacity = 0;
}

static void refresh_free(struct refresh *f)
{
        downloads_clear(f);
        for (size_t i = 0; i < f->n_suites; i++)
                suite_done(&f->suites[i]);
        close_p(&f->metadata_fd);
        free(f);
}
DEFINE_CLEANUP(struct refresh, refresh_free)

void repository_indexes_done(struct repository_indexes *i)
{
        free(i->items);
        strv_free(i->warnings);
        memset(i, 0, sizeof(*i));
}

static int open_suites(struct refresh *f, struct error *err)
{
        const struct mirrors *mirrors = f->w->offline ? NULL : f->mirrors;
        int r;

        for (size_t i = 0; i < f->m->repositories.count; i++) {
                const struct repository_config *c = &f->m->repositories.items[i];

                STRV_FOREACH (name, c->suites) {
                        if (f->n_suites == SUITES_MAX)
                                return error_set(err, -E2BIG, "more than %d suites", SUITES_MAX);
                        r = suite_open(f->w, mirrors, c, *name, &f->suites[f->n_suites++], err);
                        if (r < 0)
                                return r;
                }
        }
        return 0;
}

static void on_progress(void *userdata, uint64_t done, uint64_t total)
{
        workdir_progress(userdata, STEP_RESOLVE, done, total);
}

static int run_downloads(struct refresh *f, struct error *err)
{
        const struct download_options options = {
                .http_proxy = f->mirrors->http_proxy,
                .https_proxy = f->mirrors->https_proxy,
                .progress = on_progress,
                .userdata = (void *)f->w,
        };

        return download_all(f->downloads, f->n_downloads, &options, err);
}

static int fetch_releases(struct refresh *f, struct error *err)
{
        int r;

        f->downloads = calloc(f->n_suites + 1, sizeof(*f->downloads));
        f->urls = calloc(f->n_suites + 1, sizeof(*f->urls));
        if (!f->downloads || !f->urls)
                return error_oom(err);
        for (size_t i = 0; i < f->n_suites; i++) {
                r = suite_prepare(&f->suites[i], &f->urls[i], &f->downloads[i], err);
                if (r < 0)
                        return r;
                f->n_downloads++;
        }
        return run_downloads(f, err);
}

static int accept_releases(struct refresh *f, struct error *err)
{
        struct repository_indexes *x = f->indexes;
        int r = f->w->offline ? 0 : fetch_releases(f, err);

        for (size_t i = 0; r == 0 && i < f->n_suites; i++) {
                struct suite *s = &f->suites[i];

                r = suite_accept(f->w, s, f->w->offline ? NULL : &f->downloads[i], err);
                if (r == 0)
                        r = suite_check(f->w, f->mirrors, s, &x->warnings, err);
                x->newest = MAX(x->newest, s->release.date);
        }
        downloads_clear(f);
        return r;
}

/* The smallest form that is there. */
static const struct suite_file *find_index(const struct suite *s, const char *component,
                                           const char *architecture, const char **ret_suffix)
{
        static const char *const suffixes[] = { ".xz", ".gz", "" };

        for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
                const struct suite_file *file;
                char path[512];

                snprintf(path, sizeof(path), "%s/binary-%s/Packages%s", component, architecture,
                         suffixes[i]);
                file = suite_release_find(&s->release, path);
                *ret_suffix = suffixes[i];
                if (file)
                        return file;
        }
        return NULL;
}

static int need_download(struct refresh *f, const struct suite *s, const struct suite_file *file,
                         const struct repository_index *index, struct error *err)
{
        _cleanup_free_ char *path = NULL, *url = NULL;
        int directory = (int)(strrchr(file->path, '/') - file->path);
        char hex[SHA256_HEX_SIZE];
        struct download *d;

        if (asprintf(&path, "%.*s/by-hash/SHA256/%s", directory, file->path,
                     sha256_hex(&file->sha256, hex)) < 0) {
                path = NULL;
                return error_oom(err);
        }
        url = url_join(s->url, s->release.by_hash ? path : file->path);
        if (!url || strv_extend(&f->urls, url) < 0 ||
            array_reserve(&f->downloads, &f->capacity, f->n_downloads + 1, sizeof(*d)) < 0)
                return error_oom(err);
        d = &f->downloads[f->n_downloads];
        *d = (struct download){ .what = s->what,
                                .url = f->urls[f->n_downloads],
                                .size = file->size,
                                .dir_fd = f->metadata_fd,
                                .name = index->name,
                                .sha256 = file->sha256 };
        f->n_downloads++;
        return 0;
}

static int have_index(struct refresh *f, const struct suite *s, const struct suite_file *file,
                      const struct repository_index *index, struct error *err)
{
        if (download_present(f->metadata_fd, index->name, file->size)) {
                (void)!utimensat(f->metadata_fd, index->name, NULL, 0); /* in use: not stale */
                return 0;
        }
        if (f->w->offline)
                return error_set(err, -ENODATA, "%s: '%s' is not in the cache (offline)", s->what,
                                 file->path);
        return need_download(f, s, file, index, err);
}

static bool listed(const struct repository_indexes *x, const char *repository,
                   const struct sha256 *sha256)
{
        for (size_t i = 0; i < x->count; i++)
                if (x->items[i].repository == repository &&
                    sha256_equal(&x->items[i].sha256, sha256))
                        return true;
        return false;
}

static int add_index(struct refresh *f, const struct suite *s, const struct suite_file *file,
                     const char *suffix, struct error *err)
{
        struct repository_indexes *x = f->indexes;
        struct repository_index *index = &x->items[x->count];
        char hex[SHA256_HEX_SIZE];

        if (file->size > INDEX_SIZE_MAX)
                return error_set(err, -EFBIG, "%s: '%s' is larger than %llu MiB", s->what,
                                 file->path, INDEX_SIZE_MAX / MIB);
        if (file->size == 0 || listed(x, s->config->name, &file->sha256))
                return 0;
        if (x->count == INDEXES_MAX)
                return error_set(err, -E2BIG, "more than %d package lists", INDEXES_MAX);
        *index = (struct repository_index){ s->config->name, file->sha256, "" };
        snprintf(index->name, sizeof(index->name), "%s%s", sha256_hex(&file->sha256, hex), suffix);
        x->count++;
        return have_index(f, s, file, index, err);
}

static int add_component(struct refresh *f, const struct suite *s, const char *component,
                         struct error *err)
{
        const struct suite_file *file, *all = NULL;
        const char *suffix, *all_suffix;
        int r;

        file = find_index(s, component, f->m->architecture, &suffix);
        if (!file)
                return error_set(err, -ENOENT, "%s: no packages of component '%s' for %s", s->what,
                                 component, f->m->architecture);
        r = add_index(f, s, file, suffix, err);
        if (suite_release_separate_all(&s->release))
                all = find_index(s, component, "all", &all_suffix);
        return r < 0 || !all ? r : add_index(f, s, all, all_suffix, err);
}

static int fetch_indexes(struct refresh *f, struct error *err)
{
        int r = 0;

        /* Never grows: downloads point at the names. */
        f->indexes->items = calloc(INDEXES_MAX + 1, sizeof(*f->indexes->items));
        if (!f->indexes->items)
                return error_oom(err);
        for (size_t i = 0; i < f->n_suites; i++)
                STRV_FOREACH (component, f->suites[i].config->components) {
                        r = add_component(f, &f->suites[i], *component, err);
                        if (r < 0)
                                return r;
                }
        return f->n_downloads > 0 ? run_downloads(f, err) : 0;
}

int repositories_refresh(const struct workdir *w, const struct manifest *m,
                         const struct mirrors *mirrors, struct repository_indexes *ret,
                         struct error *err)
{
        _cleanup_(refresh_free_p) struct refresh *f = calloc(1, sizeof(*f));
        _cleanup_indexes_ struct repository_indexes indexes = {};
        int r;

        if (!f)
                return error_oom(err);
        *f = (struct refresh){ .w = w, .m = m, .mirrors = mirrors, .indexes = &indexes };
        f->metadata_fd = path_open_dir(w->cache_fd, "metadata", 0755, err);
        if (f->metadata_fd < 0)
                return f->metadata_fd;
        r = open_suites(f, err);
        if (r == 0)
                r = accept_releases(f, err);
        if (r == 0)
                r = fetch_indexes(f, err);
        if (r < 0)
                return r;
        *ret = TAKE_STRUCT(indexes);
        return 0;
}

void cache_prune(int cache_fd, const char *directory)
{
        int fd = openat(cache_fd, directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_closedir_ DIR *dir = fd < 0 ? NULL : fdopendir(fd);
        time_t oldest = time(NULL) - STALE_AFTER_DAYS * 24 * 3600;

        if (fd >= 0 && !dir)
                close(fd);
        for (struct dirent *e; dir && (e = readdir(dir));) {
                struct stat st;

                if (fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
                    st.st_mtime < oldest)
                        unlinkat(fd, e->d_name, 0);
        }
}
