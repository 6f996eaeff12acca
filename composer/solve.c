/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See solve.h. The only file that includes libsolv.
 *
 * Loading. A Packages file is read once and then kept as libsolv's own format in
 * cache/solv/<digest of index and versions>.solv, which loads in a tenth of the time.
 *
 * Excluded packages are taken out of the pool and then count as being there: every dependency that
 * names one, or something that one provides, in any of its alternatives, is met. So to exclude
 * debconf does not bring in cdebconf, and whoever excludes crun and wants "crun | runc" to be runc
 * names runc in a layer. What the dependency was good for at run time is the layer's business.
 * Versions play no role, and conflicts with excluded packages mean nothing.
 *
 * Alternatives. libsolv would choose among "b | a" by name. Debian means the first one, so a simple
 * walk over the dependencies in apt's manner (what is there already, else the first alternative,
 * the package of that name before others that provide it) marks its choices as favoured; libsolv
 * then finds the real solution, and leaves the favourites only where they cannot be installed. */

#include <fcntl.h>

/* commit.h has a repo_free() of its own; we need none of libsolv's. */
#define repo_free solv_repo_free
#include <solv/evr.h>
#include <solv/pool.h>
#include <solv/poolarch.h>
#include <solv/repo.h>
#include <solv/repo_deb.h>
#include <solv/repo_solv.h>
#include <solv/repo_write.h>
#include <solv/solv_xfopen.h>
#include <solv/solver.h>
#include <solv/solvversion.h>
#undef repo_free

#include "io.h"
#include "package-record.h"
#include "packages-index.h"
#include "package-requests.h"
#include "solve.h"
#include "strv.h"

struct solve {
        const struct workdir *w;
        const struct manifest *m;
        Pool *pool;
        Solver *solver;
        Map excluded; /* name Ids: excluded packages and what they provide */
        Map chosen;   /* solvables of the walk */
        Queue walk;   /* the same, in order */
        Queue jobs;
        char **names; /* requested, sorted, each once */
};

static void solve_done(struct solve *s)
{
        if (s->solver)
                solver_free(s->solver);
        map_free(&s->excluded);
        map_free(&s->chosen);
        queue_free(&s->walk);
        queue_free(&s->jobs);
        strv_free(s->names);
        if (s->pool)
                pool_free(s->pool);
}

const char *solve_version(void)
{
        return solv_version;
}

/* ---- loading ---- */

/* Of everything that libsolv knows about a package, what we use. */
static int keep_key(Repo *repo, Repokey *key, void *data _unused_)
{
        static const Id keys[] = {
                SOLVABLE_NAME,      SOLVABLE_EVR,       SOLVABLE_ARCH,         SOLVABLE_PROVIDES,
                SOLVABLE_REQUIRES,  SOLVABLE_CONFLICTS, SOLVABLE_OBSOLETES,    SOLVABLE_MEDIADIR,
                SOLVABLE_MEDIAFILE, SOLVABLE_CHECKSUM,  SOLVABLE_DOWNLOADSIZE,
        };

        for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
                if (key->name == keys[i])
                        return repo_write_stdkeyfilter(repo, key, NULL);
        return KEY_STORAGE_DROPPED;
}

/* A cache that cannot be written is no reason to fail. */
static void write_solv(Repo *repo, int solv_fd, const char *name)
{
        _cleanup_draft_ struct draft draft = DRAFT_NULL;
        _cleanup_fclose_ FILE *out = NULL;
        Repowriter *writer;
        int r;

        if (draft_open(&draft, solv_fd, name, 0644, NULL) < 0)
                return;
        out = fdopen(dup(draft.fd), "w");
        if (!out)
                return;
        writer = repowriter_create(repo);
        repowriter_set_keyfilter(writer, keep_key, NULL);
        r = repowriter_write(writer, out);
        repowriter_free(writer);
        if (r == 0 && fflush(out) == 0 && !ferror(out))
                (void)!draft_publish(&draft, NULL);
}

static bool read_solv(Repo *repo, int solv_fd, const char *name)
{
        int fd = openat(solv_fd, name, O_RDONLY | O_CLOEXEC);
        _cleanup_fclose_ FILE *in = fd < 0 ? NULL : fdopen(fd, "r");

        if (!in)
                return false;
        futimens(fd, NULL); /* in use: not stale */
        if (repo_add_solv(repo, in, 0) == 0)
                return true;
        repo_empty(repo, 0);
        return false;
}

static void set_sizes(Repo *repo, const struct packages_index *p)
{
        Repodata *data = repo_add_repodata(repo, 0);

        for (size_t i = 0; i < p->count; i++)
                repodata_set_num(data, repo->start + (Id)i, SOLVABLE_DOWNLOADSIZE, p->sizes[i]);
        repodata_internalize(data);
}

static int parse_index(struct solve *s, Repo *repo, const struct repository_index *index,
                       int metadata_fd, struct error *err)
{
        _cleanup_packages_index_ struct packages_index p = {};
        _cleanup_close_ int fd = openat(metadata_fd, index->name, O_RDONLY | O_CLOEXEC);
        _cleanup_fclose_ FILE *in = NULL, *text = NULL;
        int r;

        if (fd < 0)
                return error_errno(err, "open 'metadata/%s'", index->name);
        in = solv_xfopen_fd(index->name, fd, "r");
        if (!in)
                return error_set(err, -EOPNOTSUPP, "'%s' cannot be decompressed", index->name);
        TAKE_FD(fd);
        r = packages_index_read(in, &p, err);
        if (r < 0 || p.count == 0)
                return r;
        text = fmemopen(p.text.data, p.text.size, "r");
        if (!text)
                return error_errno(err, "fmemopen");
        if (repo_add_debpackages(repo, text, 0) != 0)
                return error_set(err, -EINVAL, "%s", pool_errstr(s->pool));
        if ((size_t)repo->nsolvables != p.count || (size_t)(repo->end - repo->start) != p.count)
                return error_set(err, -EINVAL, "%d packages in %zu stanzas", repo->nsolvables,
                                 p.count);
        set_sizes(repo, &p);
        return 0;
}

static void solv_name(const struct repository_index *index, char ret[SHA256_HEX_SIZE + 8])
{
        char text[SHA256_HEX_SIZE + 64], hex[SHA256_HEX_SIZE];
        struct sha256 digest;

        snprintf(text, sizeof(text), "%s %s %s", sha256_hex(&index->sha256, hex), SLIPWAY_VERSION,
                 solv_version);
        sha256_of(text, strlen(text), &digest);
        snprintf(ret, SHA256_HEX_SIZE + 8, "%s.solv", sha256_hex(&digest, hex));
}

static int load_index(struct solve *s, const struct repository_index *index, int metadata_fd,
                      int solv_fd, struct error *err)
{
        Repo *repo = repo_create(s->pool, index->repository);
        char name[SHA256_HEX_SIZE + 8];
        int r;

        solv_name(index, name);
        if (read_solv(repo, solv_fd, name))
                return 0;
        r = parse_index(s, repo, index, metadata_fd, err);
        if (r < 0)
                return error_prefix(err, r, "repository '%s'", index->repository);
        write_solv(repo, solv_fd, name);
        return 0;
}

static int load_indexes(struct solve *s, const struct repository_indexes *x, struct error *err)
{
        _cleanup_close_ int metadata_fd = path_open_dir(s->w->cache_fd, "metadata", 0755, err);
        _cleanup_close_ int solv_fd = -1;
        int r = 0;

        if (metadata_fd < 0)
                return metadata_fd;
        solv_fd = path_open_dir(s->w->cache_fd, "solv", 0755, err);
        if (solv_fd < 0)
                return solv_fd;
        for (size_t i = 0; r == 0 && i < x->count; i++)
                r = load_index(s, &x->items[i], metadata_fd, solv_fd, err);
        return r;
}

/* ---- what is excluded ---- */

static const char *requesting_layer(const struct manifest *m, const char *name)
{
        for (size_t i = 0; i < m->n_layers; i++)
                if (strv_contains(m->layers[i].packages, name))
                        return m->layers[i].name;
        return NULL;
}

/* The name in "name:any (>= 1)". */
static Id dep_name(Pool *pool, Id dep)
{
        while (ISRELDEP(dep))
                dep = GETRELDEP(pool, dep)->name;
        return dep;
}

static bool dep_is_or(Pool *pool, Id dep)
{
        return ISRELDEP(dep) && GETRELDEP(pool, dep)->flags == REL_OR;
}

static void exclude_provides(struct solve *s, const Solvable *p)
{
        const Id *dep = p->provides ? p->repo->idarraydata + p->provides : NULL;

        for (; dep && *dep; dep++)
                MAPSET(&s->excluded, dep_name(s->pool, *dep));
}

static void remove_excluded(struct solve *s)
{
        _cleanup_free_ Id *doomed = calloc((size_t)s->pool->nsolvables, sizeof(Id));
        Pool *pool = s->pool;
        Map names;
        size_t count = 0;
        Id p;

        map_init(&names, s->pool->ss.nstrings);
        for (size_t i = 0; i < s->m->n_layers; i++)
                STRV_FOREACH (name, s->m->layers[i].exclude) {
                        Id id = pool_str2id(s->pool, *name, 0);

                        if (id)
                                MAPSET(&names, id);
                }
        map_init_clone(&s->excluded, &names);
        FOR_POOL_SOLVABLES(p)
        if (doomed && MAPTST(&names, s->pool->solvables[p].name))
                doomed[count++] = p;
        for (size_t i = 0; i < count; i++) {
                exclude_provides(s, s->pool->solvables + doomed[i]);
                repo_free_solvable(s->pool->solvables[doomed[i]].repo, doomed[i], 0);
        }
        map_free(&names);
}

/* Would an excluded package satisfy it? */
static bool met_by_excluded(struct solve *s, Id dep)
{
        const Reldep *rd = dep_is_or(s->pool, dep) ? GETRELDEP(s->pool, dep) : NULL;

        if (rd)
                return met_by_excluded(s, rd->name) || met_by_excluded(s, rd->evr);
        return MAPTST(&s->excluded, dep_name(s->pool, dep));
}

/* In place: a list only gets shorter. The mark between Depends and Pre-Depends goes too. */
static void drop_met(struct solve *s, const Solvable *p)
{
        Id *from = p->requires ? p->repo->idarraydata + p->requires : NULL, *to = from;

        for (; from && *from; from++)
                if (*from != SOLVABLE_PREREQMARKER && !met_by_excluded(s, *from))
                        *to++ = *from;
        if (to)
                *to = 0;
}

static void apply_excludes(struct solve *s)
{
        Pool *pool = s->pool;
        Id p;

        remove_excluded(s);
        FOR_POOL_SOLVABLES(p)
        drop_met(s, s->pool->solvables + p);
}

/* ---- what is asked for ---- */

static bool exists(struct solve *s, const char *name)
{
        Id id = pool_str2id(s->pool, name, 0), p, pp;
        Pool *pool = s->pool;

        if (id)
                FOR_PROVIDES(p, pp, id)
        if (pool->solvables[p].name == id)
                return true;
        return false;
}

static int not_found(struct solve *s, const char *layer, const char *name, struct error *err)
{
        Id id = pool_str2id(s->pool, name, 0), p, pp;
        _cleanup_strv_ char **providers = NULL;
        Pool *pool = s->pool;

        if (id)
                FOR_PROVIDES(p, pp, id)
        if (strv_extend(&providers, pool_id2str(pool, pool->solvables[p].name)) < 0)
                return error_oom(err);
        if (!providers)
                return error_set(err, -ENOENT, "layer '%s': package '%s' not found", layer, name);
        strv_sort(providers);
        return error_set(err, -ENOENT,
                         "layer '%s': package '%s' not found; name one that provides it, like '%s'",
                         layer, name, providers[0]);
}

static int collect_requests(struct solve *s, struct error *err)
{
        int r = package_requests(s->m, &s->names, err);

        STRV_FOREACH (name, s->names)
                if (r == 0 && !exists(s, *name))
                        r = not_found(s, requesting_layer(s->m, *name), *name, err);
        return r;
}

/* ---- the walk: apt's choice among alternatives ---- */

/* Names by their text, versions by their order, so that no Id matters. */
static bool better(Pool *pool, Id a, Id b, Id wanted)
{
        const Solvable *x = pool->solvables + a, *y = pool->solvables + b;

        if (x->name != y->name) {
                if (x->name == wanted || y->name == wanted)
                        return x->name == wanted;
                return strcmp(pool_id2str(pool, x->name), pool_id2str(pool, y->name)) < 0;
        }
        return pool_evrcmp(pool, x->evr, y->evr, EVRCMP_COMPARE) > 0;
}

static Id best_provider(struct solve *s, Id dep)
{
        Id best = 0, p, pp, wanted = dep_name(s->pool, dep);
        Pool *pool = s->pool;

        if (dep_is_or(pool, dep)) {
                best = best_provider(s, GETRELDEP(pool, dep)->name);
                return best ?: best_provider(s, GETRELDEP(pool, dep)->evr);
        }
        FOR_PROVIDES(p, pp, dep)
        if (!best || better(pool, p, best, wanted))
                best = p;
        return best;
}

static void choose(struct solve *s, Id p)
{
        if (!p || MAPTST(&s->chosen, p))
                return;
        MAPSET(&s->chosen, p);
        queue_push(&s->walk, p);
}

static bool satisfied(struct solve *s, Id dep)
{
        Pool *pool = s->pool;
        Id p, pp;

        FOR_PROVIDES(p, pp, dep)
        if (MAPTST(&s->chosen, p))
                return true;
        return false;
}

static void walk(struct solve *s)
{
        map_init(&s->chosen, s->pool->nsolvables);
        STRV_FOREACH (name, s->names)
                choose(s, best_provider(s, pool_str2id(s->pool, *name, 0)));
        for (int i = 0; i < s->walk.count; i++) {
                const Solvable *p = s->pool->solvables + s->walk.elements[i];

                for (int k = 0; p->requires && p->repo->idarraydata[p->requires + (Id)k]; k++) {
                        Id dep = p->repo->idarraydata[p->requires + (Id)k];

                        if (!satisfied(s, dep))
                                choose(s, best_provider(s, dep));
                }
        }
        for (int i = 0; i < s->walk.count; i++)
                queue_push2(&s->jobs, SOLVER_FAVOR | SOLVER_SOLVABLE, s->walk.elements[i]);
}

/* ---- when it cannot be ---- */

/* "name (>= 1) | other", as Debian writes it. */
static void dep_text(Pool *pool, Id dep, struct buffer *b)
{
        static const char *const relations[] = { "", ">", "=", ">=", "<", "<>", "<=", "" };
        Reldep *rd = ISRELDEP(dep) ? GETRELDEP(pool, dep) : NULL;

        if (!rd) {
                buffer_puts(b, pool_id2str(pool, dep));
                return;
        }
        dep_text(pool, rd->name, b);
        if (rd->flags == REL_OR) {
                buffer_puts(b, " | ");
                dep_text(pool, rd->evr, b);
        } else if (rd->flags == REL_MULTIARCH) {
                buffer_printf(b, ":%s", pool_id2str(pool, rd->evr));
        } else if (rd->flags > 0 && rd->flags < 8) {
                const char *relation = relations[rd->flags];

                /* Debian's "<<" and ">>" */
                buffer_printf(b, " (%s%s %s)", relation,
                              streq(relation, "<") || streq(relation, ">") ? relation : "",
                              pool_id2str(pool, rd->evr));
        }
}

static const char *solvable_name(Pool *pool, Id p)
{
        return pool_id2str(pool, pool->solvables[p].name);
}

/* Which rules say something a person can act on, most telling first. */
static int rule_rank(SolverRuleinfo type)
{
        static const SolverRuleinfo order[] = {
                SOLVER_RULE_PKG_NOTHING_PROVIDES_DEP,
                SOLVER_RULE_PKG_CONFLICTS,
                SOLVER_RULE_PKG_SELF_CONFLICT,
                SOLVER_RULE_PKG_OBSOLETES,
                SOLVER_RULE_PKG_SAME_NAME,
                SOLVER_RULE_PKG_NOT_INSTALLABLE,
                SOLVER_RULE_PKG_REQUIRES,
                SOLVER_RULE_BEST,
        };

        for (size_t i = 0; i < ARRAY_SIZE(order); i++)
                if (order[i] == type)
                        return (int)i;
        return (int)ARRAY_SIZE(order);
}

static void rule_text(struct solve *s, Id rule, struct buffer *b)
{
        Id source, target, dep;
        SolverRuleinfo type = solver_ruleinfo(s->solver, rule, &source, &target, &dep);
        _cleanup_buffer_ struct buffer what = {};
        const char *from = source ? solvable_name(s->pool, source) : "";
        const char *to = target ? solvable_name(s->pool, target) : "";

        if (dep)
                dep_text(s->pool, dep, &what);
        if (type == SOLVER_RULE_PKG_NOTHING_PROVIDES_DEP)
                buffer_printf(b, "'%s' needs '%s', which nothing provides", from, what.data ?: "");
        else if (type == SOLVER_RULE_PKG_CONFLICTS || type == SOLVER_RULE_PKG_OBSOLETES)
                buffer_printf(b, "'%s' conflicts with '%s' (%s)", from, to, what.data ?: "");
        else if (type == SOLVER_RULE_PKG_REQUIRES)
                buffer_printf(b, "'%s' needs '%s', which cannot be installed", from,
                              what.data ?: "");
        else
                buffer_puts(b, solver_problemruleinfo2str(s->solver, type, source, target, dep));
}

/* The requested package that a job rule stands for; 0: not a job of ours. */
static Id rule_request(struct solve *s, Id rule)
{
        Id source, target, dep, how, what;

        if (solver_ruleinfo(s->solver, rule, &source, &target, &dep) != SOLVER_RULE_JOB)
                return 0;
        how = solver_rule2job(s->solver, rule, &what);
        return (how & SOLVER_JOBMASK) == SOLVER_INSTALL ? what : 0;
}

static void requests_text(struct solve *s, const Queue *rules, struct buffer *b)
{
        const char *lead = "";

        for (int i = 0; i < rules->count; i++) {
                Id request = rule_request(s, rules->elements[i]);
                const char *name = request ? pool_id2str(s->pool, request) : NULL;

                if (!name)
                        continue;
                buffer_printf(b, "%slayer '%s': package '%s'", lead,
                              requesting_layer(s->m, name) ?: "?", name);
                lead = ", ";
        }
}

static int problem_error(struct solve *s, struct error *err)
{
        _cleanup_buffer_ struct buffer text = {};
        Id source, target, dep, best = 0;
        int rank = INT32_MAX;
        Queue rules;

        queue_init(&rules);
        solver_findallproblemrules(s->solver, solver_next_problem(s->solver, 0), &rules);
        requests_text(s, &rules, &text);
        for (int i = 0; i < rules.count; i++) {
                SolverRuleinfo type =
                        solver_ruleinfo(s->solver, rules.elements[i], &source, &target, &dep);

                if (rule_rank(type) < rank && type != SOLVER_RULE_JOB) {
                        rank = rule_rank(type);
                        best = rules.elements[i];
                }
        }
        if (text.size > 0)
                buffer_puts(&text, ": ");
        if (best)
                rule_text(s, best, &text);
        else
                buffer_puts(&text, "cannot be installed");
        queue_free(&rules);
        return text.failed ? error_oom(err) : error_set(err, -ENOENT, "%s", text.data);
}

/* ---- the result ---- */

static int copy_text(const char *text, char **ret)
{
        *ret = strdup(text ?: "");
        return *ret ? 0 : -ENOMEM;
}

static int take_package(struct solve *s, Id id, struct package *ret, struct error *err)
{
        Solvable *p = s->pool->solvables + id;
        const unsigned char *digest;
        const char *problem;
        Id type = 0;

        if (copy_text(pool_id2str(s->pool, p->name), &ret->name) < 0 ||
            copy_text(pool_id2str(s->pool, p->evr), &ret->version) < 0 ||
            copy_text(pool_id2str(s->pool, p->arch), &ret->architecture) < 0 ||
            copy_text(p->repo->name, &ret->repository) < 0 ||
            copy_text(solvable_lookup_location(p, NULL), &ret->filename) < 0)
                return error_oom(err);
        ret->size = solvable_lookup_num(p, SOLVABLE_DOWNLOADSIZE, 0);
        digest = solvable_lookup_bin_checksum(p, SOLVABLE_CHECKSUM, &type);
        if (!digest || type != REPOKEY_TYPE_SHA256)
                return error_set(err, -EINVAL, "package '%s': the repository gives no SHA256",
                                 ret->name);
        memcpy(ret->sha256.bytes, digest, SHA256_SIZE);
        problem = package_problem(ret);
        return problem ? error_set(err, -EINVAL, "package '%s': the repository gives %s", ret->name,
                                   problem)
                       : 0;
}

static int take_result(struct solve *s, struct package_set *ret, struct error *err)
{
        _cleanup_package_set_ struct package_set set = {};
        Queue decisions;
        int r = 0;

        queue_init(&decisions);
        solver_get_decisionqueue(s->solver, &decisions);
        set.items = calloc((size_t)decisions.count + 1, sizeof(*set.items));
        if (!set.items)
                r = error_oom(err);
        for (int i = 0; r == 0 && i < decisions.count; i++)
                if (decisions.elements[i] > 0 && decisions.elements[i] != SYSTEMSOLVABLE)
                        r = take_package(s, decisions.elements[i], &set.items[set.count++], err);
        queue_free(&decisions);
        if (r < 0)
                return r;
        qsort(set.items, set.count, sizeof(*set.items), package_compare);
        *ret = TAKE_STRUCT(set);
        return 0;
}

static int run_solver(struct solve *s, struct error *err)
{
        walk(s);
        STRV_FOREACH (name, s->names)
                queue_push2(&s->jobs, SOLVER_INSTALL | SOLVER_SOLVABLE_NAME,
                            pool_str2id(s->pool, *name, 0));
        s->solver = solver_create(s->pool);
        solver_set_flag(s->solver, SOLVER_FLAG_IGNORE_RECOMMENDED, 1);
        return solver_solve(s->solver, &s->jobs) == 0 ? 0 : problem_error(s, err);
}

int solve(const struct workdir *w, const struct manifest *m, const struct repository_indexes *x,
          struct package_set *ret, struct error *err)
{
        _cleanup_(solve_done) struct solve s = { .w = w, .m = m };
        int r;

        queue_init(&s.jobs);
        queue_init(&s.walk);
        s.pool = pool_create();
        if (pool_setdisttype(s.pool, DISTTYPE_DEB) < 0)
                return error_set(err, -EOPNOTSUPP, "this libsolv does not know Debian packages");
        pool_setarchpolicy(s.pool, m->architecture);
        r = load_indexes(&s, x, err);
        if (r < 0)
                return r;
        apply_excludes(&s);
        pool_createwhatprovides(s.pool);
        r = collect_requests(&s, err);
        if (r == 0)
                r = run_solver(&s, err);
        return r < 0 ? r : take_result(&s, ret, err);
}
