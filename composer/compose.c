/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The pipeline. Every step is a function from values to values; this file is the only one that
 * knows their order. The image is a pure function of the merged tree: tree → EROFS → root hash →
 * UKI → disk. What of these does not need the one before is made beside it (lines[]). The commit
 * object, whose metadata carries root hash and sizes, is sealed when these are known.
 *
 * The image is written into its slot of the disk, and read again only for another format of the
 * disk: the digests of its blocks, noted on the way, serve the hash tree and the disk's digest.
 * What stays in the output directory (disk, UKI, report) is a draft until the last step, and is
 * published together.
 */

#include <assert.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <time.h>

#include "commit.h"
#include "compose-internal.h"
#include "initrd.h"
#include "inputs.h"
#include "ipe-policy.h"
#include "kernel-config.h"
#include "kernel-fragments.h"
#include "parallel.h"
#include "root-hash-signature.h"
#include "strv.h"
#include "verity.h"

static const char *const step_names[_STEP_MAX] = {
        [STEP_RESOLVE] = "resolve", [STEP_FETCH] = "fetch",   [STEP_IMPORT] = "import",
        [STEP_MERGE] = "merge",     [STEP_COMMIT] = "commit", [STEP_EROFS] = "erofs",
        [STEP_VERITY] = "verity",   [STEP_INITRD] = "initrd", [STEP_UKI] = "uki",
        [STEP_DISK] = "disk",       [STEP_OUTPUT] = "output",
};

const char *step_name(enum step step)
{
        return step_names[step];
}

char *artifact_name(const struct manifest *m, const char *suffix)
{
        return string_format("%s_%s%s", m->name, m->version, suffix);
}

static double now(void)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int compose_draft_output(struct run *run, const char *suffix, struct draft **ret, struct error *err)
{
        _cleanup_free_ char *name = artifact_name(run->m, suffix);
        int r;

        if (!name)
                return error_oom(err);
        if (run->n_drafts == DRAFTS_MAX)
                return error_set(err, -E2BIG, "more than %d artifacts", DRAFTS_MAX);
        r = draft_open(&run->drafts[run->n_drafts], run->w->output_fd, name, 0644, err);
        if (r < 0)
                return r;
        *ret = &run->drafts[run->n_drafts++];
        return 0;
}

/* ---- tree ---- */

/* Before anything is written of an image that could not do what its layers are for. */
static int require_kernel(struct run *run, struct error *err)
{
        struct content_store store = repo_contents(run->w->repo);
        _cleanup_kconfig_ struct kconfig config = {};
        _cleanup_strv_ char **fragments = NULL;
        int r = kernel_fragments_list(run->m, &fragments, err);

        if (r >= 0 && fragments)
                r = kernel_config_tree(run->c->merge.tree, &store, &config, err);
        if (r >= 0 && fragments)
                r = kernel_fragments_require(run->m, &config, err);
        return error_prefix(err, r, "kernel");
}

static int step_merge(struct run *run, struct error *err)
{
        const struct signer *signer = &run->signers.of[SIGNER_VERITY];
        _cleanup_free_ char *certificate = NULL;
        int r = signer->certificate ? signer_certificate(signer, &certificate, err) : 0;
        const struct merge_inputs inputs = { &run->lock, run->c->epoch, certificate };

        if (r >= 0)
                r = tree_merge(run->w, run->m, &run->trees, &inputs, &run->c->merge, err);
        package_trees_done(&run->trees);
        return r < 0 ? r : require_kernel(run, err);
}

static int step_commit(struct run *run, struct error *err)
{
        struct commit_info info = { .subject = run->m->name, .timestamp = run->c->epoch };
        int r;

        r = repo_commit_tree(run->w->repo, run->c->merge.tree, NULL, &info, &run->c->commit,
                             &run->root, err);
        if (r < 0)
                return r;
        run->transaction = false;
        return repo_end_behind(run->w->repo, err);
}

/* What a build that got no further has imported is kept for the next one. */
static int settle_repository(struct run *run, struct error *err)
{
        if (!run->w->repo)
                return 0;
        return run->transaction ? repo_end(run->w->repo, err) : repo_wait(run->w->repo, err);
}

/* ---- image ---- */

/* Whether an image of that size, and its hash tree, fit their slots: -ENOSPC. */
static int check_slots(struct run *run, uint64_t usr_size, struct error *err)
{
        struct layout_contents contents = { .usr_size = usr_size,
                                            .tree_size = verity_tree_size(usr_size) };

        run->c->usr_size = contents.usr_size;
        run->c->tree_size = contents.tree_size;
        return layout_plan(run->m, &contents, &run->c->layout, err);
}

/* The places are noted for the commit, unless they follow from the tree. */
static int lay_like_base(struct run *run, struct error *err)
{
        int r = image_rebase(run->w, run->image, &run->settings, &run->base, run->cache, err);

        if (r < 0)
                return r;
        run->c->repacked = r > 0;
        if (!run->c->repacked)
                erofs_image_layout(run->image, &run->layout);
        return run->layout.failed ? error_oom(err) : 0;
}

/* A slot that is too small is reported before anything is written. Mostly an image fits that gains
 * nothing by compression; else what it gains is found out first. */
static int find_room(struct run *run, struct error *err)
{
        struct content_store store = repo_contents(run->w->repo);
        int r = 0;

        if (run->options->base) {
                r = lay_like_base(run, err);
        } else if (check_slots(run, erofs_image_bound(run->image), err) == -ENOSPC) {
                r = erofs_image_measure(run->image, &store, run->w->threads, err);
                if (r >= 0)
                        erofs_image_place(run->image);
        }
        return r < 0 ? r : check_slots(run, erofs_image_bound(run->image), err);
}

static int plan_image(struct run *run, struct error *err)
{
        struct content_store store = repo_contents(run->w->repo);
        int r;

        r = image_settings_complete(&run->m->erofs, run->c->merge.tree, &store, &run->settings,
                                    err);
        if (r >= 0)
                r = image_cache_open(run->w->cache_fd, &run->settings, &run->cache, err);
        if (r >= 0)
                r = image_new(run->c->merge.tree, &run->root, &run->settings, run->cache, true,
                              &run->image, err);
        return r < 0 ? r : find_room(run, err);
}

/* The disk is as large as it will be. */
static int draft_disk(struct run *run, struct error *err)
{
        struct draft *disk = NULL;
        int r = compose_draft_output(run, ".raw", &disk, err);

        if (r < 0)
                return r;
        if (ftruncate(disk->fd, (off_t)run->c->layout.disk_size) < 0)
                return error_errno(err, "disk");
        run->disk = disk;
        return 0;
}

/* The image goes into slot A, past the page cache, which has better things to keep. */
static int write_image(struct run *run, struct error *err)
{
        const struct partition *slot = layout_find(&run->c->layout, PARTITION_USR, 'A');
        struct content_store store = repo_contents(run->w->repo);
        _cleanup_close_ int direct = io_reopen_direct(run->disk->fd, err);
        struct erofs_target target = { direct, slot->start, slot->size, &run->usr_digests };
        int r;

        if (direct < 0)
                return direct;
        r = block_digests_init(&run->usr_digests, erofs_image_bound(run->image) / BLOCK_SIZE, err);
        if (r >= 0)
                r = erofs_image_write(run->image, &store, &target, run->w->threads, err);
        if (r < 0)
                return r;
        run->usr = (struct known_blocks){ slot->start, &run->usr_digests };
        return check_slots(run, erofs_image_size(run->image), err);
}

static int step_erofs(struct run *run, struct error *err)
{
        int r = write_image(run, err);

        return r >= 0 && run->cache ? extent_cache_finish(run->cache, err) : r;
}

static int sign_root_hash(struct run *run, struct error *err)
{
        const struct partition *slot = layout_find(&run->c->layout, PARTITION_USR_VERITY_SIG, 'A');
        int r;

        if (run->m->trust.root_hash == ROOT_HASH_UNSIGNED)
                return 0;
        r = root_hash_sign(&run->signers.of[SIGNER_VERITY], &run->c->root_hash,
                           ipe_policy_text(&run->m->trust), &run->signature, err);
        return r < 0 ? r
                     : io_pwrite(run->disk->fd, run->signature, strlen(run->signature), slot->start,
                                 err);
}

static int step_verity(struct run *run, struct error *err)
{
        const struct partition *slot = layout_find(&run->c->layout, PARTITION_USR_VERITY, 'A');
        struct uuid uuid;
        int r;

        image_verity_uuid(&run->root, &uuid);
        r = verity_write(&run->usr_digests, &uuid, run->disk->fd, slot->start, &run->c->root_hash,
                         err);
        return r < 0 ? r : sign_root_hash(run, err);
}

static int step_initrd(struct run *run, struct error *err)
{
        struct stat st;
        int r;

        run->initrd_fd = memfd_create("initrd", MFD_CLOEXEC);
        if (run->initrd_fd < 0)
                return error_errno(err, "initrd");
        r = initrd_build(run->w, run->m, run->c->merge.tree, run->initrd_fd, err);
        if (r < 0)
                return r;
        if (fstat(run->initrd_fd, &st) < 0)
                return error_errno(err, "initrd");
        run->c->initrd_size = (uint64_t)st.st_size;
        return 0;
}

/* ---- the line ---- */

typedef int step_fn(struct run *run, struct error *err);

/* Those between commit and UKI go on side by side: see lines. */
static step_fn *const steps[_STEP_MAX] = {
        [STEP_RESOLVE] = compose_step_resolve, [STEP_FETCH] = compose_step_fetch,
        [STEP_IMPORT] = compose_step_import,   [STEP_MERGE] = step_merge,
        [STEP_COMMIT] = step_commit,           [STEP_UKI] = compose_step_uki,
        [STEP_DISK] = compose_step_disk,       [STEP_OUTPUT] = compose_step_output,
};

static int time_step(struct run *run, enum step step, step_fn *fn, struct error *err)
{
        double start = now();
        int r = fn(run, err);

        run->c->seconds[step] += now() - start;
        return error_prefix(err, r, "%s", step_names[step]);
}

static int run_step(struct run *run, enum step step, step_fn *fn, struct error *err)
{
        workdir_progress(run->w, step, 0, 0);
        return time_step(run, step, fn, err);
}

/* The image, and what depends on the tree only. Each line keeps about one CPU busy at most. What
 * belongs to steps that are still to come is not shown. */
enum { LINES = 3, LINE_STEPS = 2 };

static const struct {
        enum step step;
        step_fn *fn;
} lines[LINES][LINE_STEPS] = {
        { { STEP_DISK, compose_prepare_esp } },
        { { STEP_INITRD, step_initrd }, { STEP_UKI, compose_prepare_uki } },
        { { STEP_EROFS, step_erofs }, { STEP_VERITY, step_verity } },
};

static int run_line(void *context, size_t index, struct error *err)
{
        struct run *run = context;
        int r = 0;

        for (size_t i = 0; r >= 0 && i < LINE_STEPS; i++) {
                enum step step = lines[index][i].step;
                step_fn *fn = lines[index][i].fn;

                if (fn && step <= run->options->until)
                        r = step < STEP_UKI ? run_step(run, step, fn, err)
                                            : time_step(run, step, fn, err);
        }
        return r;
}

static int run_lines(struct run *run, struct error *err)
{
        int r = plan_image(run, err);

        if (r >= 0)
                r = draft_disk(run, err);
        if (r >= 0 && run->options->until >= STEP_UKI)
                r = compose_begin_boot(run, err);
        return r < 0 ? r : parallel_for(LINES, LINES, run_line, run, err);
}

/* Whether what the servers say must be known now. */
static bool must_hear(const struct run *run, int step, int r)
{
        return r < 0 || run->c->unchanged || step >= STEP_COMMIT ||
               step == (int)run->options->until;
}

static int hear_servers(struct run *run, struct error *err)
{
        double start = now();
        int r = compose_hear_servers(run, err);

        run->c->seconds[STEP_RESOLVE] += now() - start;
        return r < 0 ? error_prefix(err, r, "%s", step_names[STEP_RESOLVE]) : r;
}

static int run_steps(struct run *run, struct error *err)
{
        for (int step = 0; step <= (int)run->options->until; step++) {
                int r, news;

                if (step == STEP_EROFS) {
                        r = run_lines(run, err);
                        step = STEP_INITRD;
                } else {
                        r = run_step(run, (enum step)step, steps[step], err);
                }
                if (must_hear(run, step, r)) {
                        news = hear_servers(run, r < 0 ? NULL : err);
                        r = r < 0 ? r : MIN(news, 0);
                        if (news > 0) { /* other packages: once more */
                                step = STEP_RESOLVE - 1;
                                continue;
                        }
                }
                if (r >= 0 && step == STEP_UKI && run->options->requests)
                        r = compose_leave_requests(run, err);
                if (r < 0 || run->c->unchanged || run->c->unsigned_count > 0)
                        return r;
        }
        return 0;
}

static void run_done(struct run *run)
{
        compose_ignore_servers(run);
        for (size_t i = 0; i < run->n_drafts; i++)
                draft_done(&run->drafts[i]);
        close_p(&run->initrd_fd);
        free(run->boot_loader);
        block_digests_done(&run->usr_digests);
        erofs_image_free(run->image);
        extent_cache_free(run->cache);
        image_settings_done(&run->settings);
        buffer_done(&run->layout);
        package_trees_done(&run->trees);
        lock_done(&run->lock);
        signers_done(&run->signers);
        sign_requests_done(&run->requests);
        free(run->signature);
        free(run->uki_image);
        shim_done(&run->shim);
}

/* What signs, or where signatures come from. */
static int open_signers(struct run *run, struct error *err)
{
        const struct compose_options *o = run->options;
        int r = 0;

        if (o->until < STEP_VERITY)
                return 0; /* nothing will be signed */
        if (o->requests)
                r = sign_requests_open(o->requests, &run->requests, err);
        return r < 0 ? r
                     : signers_open_public(o->keys, &run->m->trust,
                                           o->requests ? &run->requests : NULL, &run->signers, err);
}

static int lock_output(const struct run *run, struct error *err)
{
        if (run->w->output_fd < 0)
                return 0;
        if (flock(run->w->output_fd, LOCK_EX | LOCK_NB) < 0) {
                if (errno != EWOULDBLOCK)
                        return error_errno(err, "%s: lock", run->w->output_path);
                return error_set(err, -EBUSY, "another build is writing to %s",
                                 run->w->output_path);
        }
        drafts_sweep(run->w->output_fd);
        return 0;
}

int compose(const struct workdir *w, const struct manifest *m,
            const struct compose_options *options, struct composition *ret, struct error *err)
{
        _cleanup_composition_ struct composition c = {};
        _cleanup_(run_done) struct run run = {
                .w = w,
                .m = m,
                .options = options,
                .c = &c,
                .initrd_fd = -1,
        };
        int r, settled;

        r = open_signers(&run, err);
        if (r >= 0)
                r = lock_output(&run, err);
        if (r >= 0)
                r = run_steps(&run, err);
        settled = settle_repository(&run, r < 0 ? NULL : err);
        r = r < 0 ? r : settled;
        if (r < 0)
                return error_prefix(err, r, "image '%s'", m->name);
        *ret = TAKE_STRUCT(c);
        return 0;
}

void composition_done(struct composition *c)
{
        package_set_done(&c->packages);
        merge_result_done(&c->merge);
        artifacts_done(&c->artifacts);
        memset(c, 0, sizeof(*c));
}
