/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See package.h. A .deb goes from the cache into OSTree in one pass: deb.c parses, commit.c
 * stores each content as it comes by, and no file is ever unpacked. All packages are
 * in the caller's one transaction, so an import that fails or is killed leaves no ref behind. The
 * largest packages go first, so that no thread is left alone with the kernel at the end.
 *
 * What is imported is what was asked for: the .deb's sha256 is computed again from the cache,
 * because hashing costs about a hundredth of unpacking and disks forget. */

#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>

#include "deb.h"
#include "import-kept.h"
#include "package.h"
#include "parallel.h"
#include "strv.h"

/* The newest date the commit's readers handle: the year 9999. */
#define TIMESTAMP_MAX 253402300799ULL

/* A package to import, or to load if it is there already. */
struct task {
        struct package_tree *result;
        bool known;
};

struct import {
        const struct workdir *w;
        struct task *tasks;    /* those to import first, the largest in front */
        size_t count, unknown; /* tasks; those to import */
        uint64_t total;        /* bytes to import */
        atomic_uint_fast64_t done;
};

void package_trees_done(struct package_trees *trees)
{
        for (size_t i = 0; i < trees->count; i++)
                tree_free(trees->items[i].tree);
        free(trees->items);
        *trees = (struct package_trees){};
}

/* A ref's component holds letters, digits, '-' and '.', the latter two not in front. Every other
 * byte becomes "_XX", so different strings stay different. */
static void append_escaped(struct buffer *b, const char *s)
{
        static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                      "0123456789";

        for (const char *c = s; *c; c++) {
                if (strchr(letters, *c) || (c > s && strchr("-.", *c)))
                        buffer_append(b, c, 1);
                else
                        buffer_printf(b, "_%02x", (unsigned char)*c);
        }
}

char *package_ref(const struct package *p)
{
        _cleanup_buffer_ struct buffer b = {};
        char *ref;

        buffer_puts(&b, "pkg/deb/");
        append_escaped(&b, p->name);
        buffer_puts(&b, "/");
        append_escaped(&b, p->version);
        buffer_puts(&b, "/");
        append_escaped(&b, p->architecture);
        return buffer_take(&b, &ref, NULL) < 0 ? NULL : ref;
}

/* Whether the repository has this very .deb, and in which commit. Any doubt, as about a ref that a
 * power cut left empty, means no. */
static bool is_imported(struct repo *repo, const struct package *p, const char *ref,
                        struct sha256 *ret)
{
        _cleanup_free_ char *value = NULL;
        char hex[SHA256_HEX_SIZE];

        return repo_resolve(repo, ref, ret, NULL) == 0 &&
               repo_metadata(repo, ret, "slipway.sha256", &value, NULL) == 0 &&
               streq(value, sha256_hex(&p->sha256, hex));
}

static int store_content(void *userdata, struct tree_inode *inode, deb_read_fn read_some,
                         void *reader, struct error *err)
{
        return repo_write_content(userdata, inode, read_some, reader, err);
}

/* Opens the cached file and checks that it is the package. */
static int open_deb(const struct workdir *w, const struct package *p, struct error *err)
{
        _cleanup_close_ int fd = -1;
        char path[sizeof("packages/.deb") + SHA256_HEX_SIZE], hex[SHA256_HEX_SIZE];
        struct sha256 digest;
        int r;

        snprintf(path, sizeof(path), "packages/%s.deb", sha256_hex(&p->sha256, hex));
        fd = openat(w->cache_fd, path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return error_errno(err, "cache: %s", path);
        r = sha256_fd(fd, 0, UINT64_MAX, &digest, err);
        if (r < 0)
                return error_prefix(err, r, "cache: %s", path);
        if (!sha256_equal(&digest, &p->sha256))
                return error_set(err, -EBADMSG, "cache: %s: its sha256 is %s", path,
                                 sha256_hex(&digest, hex));
        return TAKE_FD(fd);
}

static int commit_package(struct repo *repo, const struct package *p, struct tree *tree,
                          uint64_t newest, struct sha256 *ret, struct error *err)
{
        _cleanup_free_ char *ref = package_ref(p), *subject = NULL;
        char hex[SHA256_HEX_SIZE];
        const char *keys[] = { "slipway.sha256", sha256_hex(&p->sha256, hex), NULL };
        struct commit_info info = { .timestamp = MIN(newest, TIMESTAMP_MAX), .keys = keys };

        if (!ref || asprintf(&subject, "%s %s %s", p->name, p->version, p->architecture) < 0) {
                subject = NULL;
                return error_oom(err);
        }
        info.subject = subject;
        return repo_commit_tree(repo, tree, ref, &info, ret, NULL, err);
}

static int import_package(const struct workdir *w, struct package_tree *result, struct error *err)
{
        _cleanup_close_ int fd = open_deb(w, result->package, err);
        _cleanup_tree_ struct tree *tree = NULL;
        uint64_t newest;
        int r;

        if (fd < 0)
                return fd;
        r = deb_read(fd, store_content, w->repo, &tree, &newest, err);
        if (r == 0)
                r = commit_package(w->repo, result->package, tree, newest, &result->commit, err);
        if (r == 0)
                result->tree = TAKE_PTR(tree);
        return r;
}

static int load_package(const struct workdir *w, struct package_tree *result, struct error *err)
{
        char commit[SHA256_HEX_SIZE];

        return repo_load_tree(w->repo, sha256_hex(&result->commit, commit), &result->tree, err);
}

static int import_one(void *context, size_t index, struct error *err)
{
        struct import *import = context;
        const struct task *task = &import->tasks[index];
        const struct package *p = task->result->package;
        uint64_t done;
        int r;

        r = task->known ? load_package(import->w, task->result, err)
                        : import_package(import->w, task->result, err);
        if (r < 0)
                return error_prefix(err, r, "package '%s' %s", p->name, p->version);
        if (task->known)
                return 0;
        done = atomic_fetch_add(&import->done, p->size) + p->size;
        workdir_progress(import->w, STEP_IMPORT, done, import->total);
        return 0;
}

static int compare_tasks(const void *a, const void *b)
{
        const struct task *s = a, *t = b;
        const struct package *p = s->result->package, *q = t->result->package;

        if (s->known != t->known)
                return s->known ? 1 : -1;
        if (p->size != q->size)
                return p->size > q->size ? -1 : 1;
        return strcmp(p->name, q->name);
}

static int find_tasks(struct import *import, struct package_trees *trees, struct error *err)
{
        for (size_t i = 0; i < trees->count; i++) {
                const struct package *p = trees->items[i].package;
                _cleanup_free_ char *ref = package_ref(p);
                struct task *task = &import->tasks[i];

                if (!ref)
                        return error_oom(err);
                *task = (struct task){ &trees->items[i], is_imported(import->w->repo, p, ref,
                                                                     &trees->items[i].commit) };
                import->total += task->known ? 0 : p->size;
                import->unknown += !task->known;
        }
        qsort(import->tasks, trees->count, sizeof(import->tasks[0]), compare_tasks);
        return 0;
}

/* Load the trees of packages that are all there, or else import, and keep what was got. */
static int run_tasks(struct import *import, struct package_trees *trees, struct error *err)
{
        int r = 0;

        if (import->unknown == 0)
                r = package_trees_load_kept(import->w, trees, err);
        if (r != 0)
                return MIN(r, 0);
        r = parallel_for(import->count, import->w->threads, import_one, import, err);
        return r < 0 ? r : package_trees_keep(import->w, trees, err);
}

int packages_import(const struct workdir *w, const struct package_set *set,
                    struct package_trees *ret, struct error *err)
{
        _cleanup_package_trees_ struct package_trees trees = {};
        _cleanup_free_ struct task *tasks = calloc(set->count + 1, sizeof(*tasks));
        struct import import = { .w = w, .tasks = tasks, .count = set->count };
        int r;

        trees.items = calloc(set->count + 1, sizeof(*trees.items));
        if (!tasks || !trees.items)
                return error_oom(err);
        trees.count = set->count;
        for (size_t i = 0; i < set->count; i++)
                trees.items[i].package = &set->items[i];
        r = find_tasks(&import, &trees, err);
        if (r == 0)
                r = run_tasks(&import, &trees, err);
        if (r == 0)
                *ret = TAKE_STRUCT(trees);
        return r;
}
