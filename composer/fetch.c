/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* packages_fetch(): what the cache lacks of the set is downloaded to cache/packages/<sha256>.deb;
 * see package.h. Nothing but the set is needed, so this serves a locked build as well. */

#include <fcntl.h>

#include "download.h"
#include "io.h"
#include "mirror.h"
#include "package.h"

enum { CACHE_NAME_SIZE = SHA256_HEX_SIZE + 4 };

static const char *cache_name(const struct package *p, char ret[CACHE_NAME_SIZE])
{
        char hex[SHA256_HEX_SIZE];

        snprintf(ret, CACHE_NAME_SIZE, "%s.deb", sha256_hex(&p->sha256, hex));
        return ret;
}

/* A missing package: the texts that its download borrows. */
struct wanted {
        char *what, *url;
        char name[CACHE_NAME_SIZE];
};

struct fetch {
        const struct workdir *w;
        struct mirrors mirrors;
        struct wanted *wanted;
        struct download *downloads;
        size_t count;
        int packages_fd;
        uint64_t present; /* bytes that were there before */
};

static void fetch_done(struct fetch *f)
{
        for (size_t i = 0; i < f->count; i++) {
                download_done(&f->downloads[i]);
                free(f->wanted[i].what);
                free(f->wanted[i].url);
        }
        free(f->wanted);
        free(f->downloads);
        mirrors_done(&f->mirrors);
        close_p(&f->packages_fd);
}

static int add_wanted(struct fetch *f, const struct package *p, const char *name, struct error *err)
{
        struct wanted *x = &f->wanted[f->count];
        struct download *d = &f->downloads[f->count];
        _cleanup_free_ char *base = NULL;
        int r = 0;

        if (f->w->offline)
                return error_set(err, -ENODATA, "package '%s' %s is not in the cache (offline)",
                                 p->name, p->version);
        if (f->count == 0) /* asking apt takes a while, and mostly nothing is missing */
                r = mirrors_load(f->w->mirrors, &f->mirrors, err);
        if (r >= 0)
                r = mirrors_url(&f->mirrors, p->repository, &base, err);
        if (r < 0)
                return r;
        f->count++;
        memcpy(x->name, name, sizeof(x->name));
        x->url = url_join(base, p->filename);
        if (!x->url || asprintf(&x->what, "package '%s' %s", p->name, p->version) < 0) {
                x->what = NULL;
                return error_oom(err);
        }
        *d = (struct download){
                .what = x->what,
                .url = x->url,
                .size = p->size,
                .dir_fd = f->packages_fd,
                .name = x->name,
                .sha256 = p->sha256,
        };
        return 0;
}

static int list_missing(struct fetch *f, const struct package_set *set, struct error *err)
{
        int r = 0;

        f->wanted = calloc(set->count + 1, sizeof(*f->wanted));
        f->downloads = calloc(set->count + 1, sizeof(*f->downloads));
        if (!f->wanted || !f->downloads)
                return error_oom(err);
        for (size_t i = 0; r == 0 && i < set->count; i++) {
                const struct package *p = &set->items[i];
                char name[CACHE_NAME_SIZE];

                if (download_present(f->packages_fd, cache_name(p, name), p->size))
                        f->present += p->size;
                else
                        r = add_wanted(f, p, name, err);
        }
        return r;
}

static void on_progress(void *userdata, uint64_t done, uint64_t total)
{
        const struct fetch *f = userdata;

        workdir_progress(f->w, STEP_FETCH, f->present + done, f->present + total);
}

static int run(struct fetch *f, const struct package_set *set, struct error *err)
{
        struct download_options options = { .progress = on_progress, .userdata = f };
        int r;

        f->packages_fd = path_open_dir(f->w->cache_fd, "packages", 0755, err);
        if (f->packages_fd < 0)
                return f->packages_fd;
        r = list_missing(f, set, err);
        options.http_proxy = f->mirrors.http_proxy;
        options.https_proxy = f->mirrors.https_proxy;
        if (r == 0 && f->count > 0)
                r = download_all(f->downloads, f->count, &options, err);
        if (r == 0)
                on_progress(f, 0, 0);
        return r;
}

bool package_present(const struct workdir *w, const struct package *p)
{
        char path[sizeof("packages/") + CACHE_NAME_SIZE], name[CACHE_NAME_SIZE];

        snprintf(path, sizeof(path), "packages/%s", cache_name(p, name));
        return download_present(w->cache_fd, path, p->size);
}

int packages_fetch(const struct workdir *w, const struct package_set *set, struct error *err)
{
        struct fetch f = { .w = w, .packages_fd = -1 };
        int r = run(&f, set, err);

        fetch_done(&f);
        return r;
}
