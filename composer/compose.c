/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The pipeline. Every step is a function from values to values; this file is the only one that
 * knows their order. The image is a pure function of the merged tree: tree → EROFS → root hash →
 * UKI → disk. The commit object, whose metadata carries root hash and sizes, is sealed when these
 * are known.
 *
 * The image is written into its slot of the disk, and read again only for another format of the
 * disk: the digests of its blocks, noted on the way, serve the hash tree and the disk's digest.
 * What stays in the output directory (disk, UKI, report) is a draft until the last step, and is
 * published together.
 */

#include <assert.h>
#include <fcntl.h>
#include <sys/file.h>
#include <time.h>

#include "commit.h"
#include "compose.h"
#include "disk.h"
#include "image-commit.h"
#include "initrd.h"
#include "inputs.h"
#include "io.h"
#include "kernel-image.h"
#include "output.h"
#include "parallel.h"
#include "report.h"
#include "seal.h"
#include "strv.h"
#include "verity.h"

enum { DRAFTS_MAX = 16 };

static const char *const step_names[_STEP_MAX] = {
        [STEP_RESOLVE] = "resolve", [STEP_FETCH] = "fetch",   [STEP_IMPORT] = "import",
        [STEP_MERGE] = "merge",     [STEP_COMMIT] = "commit", [STEP_EROFS] = "erofs",
        [STEP_VERITY] = "verity",   [STEP_INITRD] = "initrd", [STEP_UKI] = "uki",
        [STEP_DISK] = "disk",       [STEP_OUTPUT] = "output",
};

/* One run: the inputs, the result so far, and files not yet published. */
struct run {
        const struct workdir *w;
        const struct manifest *m;
        const struct compose_options *options;
        struct signers signers;
        struct composition *c;
        struct draft drafts[DRAFTS_MAX];
        const struct output_ops *formats[DRAFTS_MAX]; /* what a draft is made from the disk by */
        size_t n_drafts;
        const struct draft *disk, *uki; /* among the drafts */
        struct draft initrd, boot;      /* working files, never published */
        struct image_settings settings; /* complete */
        struct extent_cache *cache;     /* NULL: nothing is compressed */
        struct erofs_image *image;
        struct sha256 base;   /* commit; zeros: none */
        struct buffer layout; /* of an image that lies like the base */
        struct block_digests usr_digests;
        struct known_blocks usr; /* on the disk */
        struct lock lock;
        struct package_trees trees; /* from import to merge */
        bool imported;              /* in a transaction that is still open */
        struct sha256 root;         /* identity of the committed tree */
        struct release_layout minimum;
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

/* A file of this image in the output directory. */
static int draft_artifact(struct run *run, const char *suffix, struct draft *ret, struct error *err)
{
        _cleanup_free_ char *name = artifact_name(run->m, suffix);

        if (!name)
                return error_oom(err);
        return draft_open(ret, run->w->output_fd, name, 0644, err);
}

/* An artifact to be published at the end; *ret is valid until then. */
static int draft_output(struct run *run, const char *suffix, struct draft **ret, struct error *err)
{
        int r;

        if (run->n_drafts == DRAFTS_MAX)
                return error_set(err, -E2BIG, "more than %d artifacts", DRAFTS_MAX);
        r = draft_artifact(run, suffix, &run->drafts[run->n_drafts], err);
        if (r < 0)
                return r;
        *ret = &run->drafts[run->n_drafts++];
        return 0;
}

static char *draft_path(const struct run *run, const struct draft *d)
{
        return string_format("%s/%s", run->w->output_path, d->temp);
}

/* Gives back the space of what is inside the disk by now. */
static void drop_working_files(struct run *run)
{
        struct draft *const drafts[] = { &run->initrd, &run->boot };

        for (size_t i = 0; i < ARRAY_SIZE(drafts); i++)
                draft_done(drafts[i]);
}

/* ---- packages, tree ---- */

int compose_packages(const struct workdir *w, const struct manifest *m,
                     const struct compose_options *options, struct lock *lock,
                     struct composition *c, struct error *err)
{
        _cleanup_free_ char *path = lock_path(m->path);
        int r;

        if (!path)
                return error_oom(err);
        if (options->locked || access(path, F_OK) == 0) {
                r = lock_load(path, lock, err);
                if (r < 0)
                        return r;
        }
        if (options->locked) {
                c->packages = TAKE_STRUCT(lock->packages);
        } else {
                r = packages_resolve(w, m, &c->packages, err);
                if (r < 0)
                        return r;
        }
        c->epoch = options->epoch ?: c->packages.newest;
        return 0;
}

static int step_resolve(struct run *run, struct error *err)
{
        struct composition *c = run->c;
        int r;

        r = compose_packages(run->w, run->m, run->options, &run->lock, c, err);
        if (r >= 0 && run->options->base)
                r = base_commit_find(run->w, run->options->base, &run->base, err);
        if (r < 0)
                return r;
        r = inputs_key(run->w, run->m, &c->packages, &run->lock, c->epoch, &run->base,
                       &run->signers, &c->key, err);
        if (r < 0 || run->w->output_fd < 0 || run->options->until != STEP_OUTPUT)
                return r;
        return receipt_check(run->w->output_fd, c, err);
}

static int step_fetch(struct run *run, struct error *err)
{
        return packages_fetch(run->w, &run->c->packages, err);
}

/* The transaction lasts until the image's tree is committed as well: then the disk is waited for
 * once, beside the next steps. */
static int step_import(struct run *run, struct error *err)
{
        int r = repo_begin(run->w->repo, err);

        if (r < 0)
                return r;
        r = packages_import(run->w, &run->c->packages, &run->trees, err);
        if (r < 0)
                repo_abort(run->w->repo);
        else
                run->imported = true;
        return r;
}

static int step_merge(struct run *run, struct error *err)
{
        int r = tree_merge(run->w, run->m, &run->trees, &run->lock, run->c->epoch, &run->c->merge,
                           err);

        package_trees_done(&run->trees);
        return r;
}

static int step_commit(struct run *run, struct error *err)
{
        struct commit_info info = { .subject = run->m->name, .timestamp = run->c->epoch };
        int r;

        r = repo_commit_tree(run->w->repo, run->c->merge.tree, NULL, &info, &run->c->commit,
                             &run->root, err);
        if (r < 0)
                return r;
        run->imported = false;
        return repo_end_behind(run->w->repo, err);
}

/* What a build that got no further has imported is kept for the next one. */
static int settle_repository(struct run *run, struct error *err)
{
        if (!run->w->repo)
                return 0;
        return run->imported ? repo_end(run->w->repo, err) : repo_wait(run->w->repo, err);
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

static int draft_disk(struct run *run, struct draft **ret, struct error *err)
{
        int r = draft_output(run, ".raw", ret, err);

        if (r < 0)
                return r;
        run->disk = *ret;
        if (ftruncate((*ret)->fd, (off_t)run->c->layout.disk_size) < 0)
                return error_errno(err, "disk");
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

/* The disk is as large as it will be. */
static int step_erofs(struct run *run, struct error *err)
{
        struct draft *disk = NULL;
        int r;

        r = draft_disk(run, &disk, err);
        if (r >= 0)
                r = write_image(run, err);
        return r >= 0 && run->cache ? extent_cache_finish(run->cache, err) : r;
}

static int step_verity(struct run *run, struct error *err)
{
        const struct partition *slot = layout_find(&run->c->layout, PARTITION_USR_VERITY, 'A');
        struct uuid uuid;

        image_verity_uuid(&run->root, &uuid);
        return verity_write(&run->usr_digests, &uuid, run->disk->fd, slot->start,
                            &run->c->root_hash, err);
}

static int step_initrd(struct run *run, struct error *err)
{
        struct stat st;
        int r;

        r = draft_artifact(run, ".initrd", &run->initrd, err);
        if (r < 0)
                return r;
        r = initrd_build(run->w, run->m, run->c->merge.tree, run->initrd.fd, err);
        if (r < 0)
                return r;
        if (fstat(run->initrd.fd, &st) < 0)
                return error_errno(err, "initrd");
        run->c->initrd_size = (uint64_t)st.st_size;
        return 0;
}

/* ---- boot ---- */

static int write_boot_loader(struct run *run, struct error *err)
{
        struct content_store store = repo_contents(run->w->repo);
        _cleanup_free_ char *boot = NULL;
        size_t size;
        int r;

        r = kernel_image_boot_loader(run->m, run->c->merge.tree, &store, &boot, &size, err);
        if (r >= 0)
                r = draft_artifact(run, ".boot", &run->boot, err);
        return r < 0 ? r : io_write(run->boot.fd, boot, size, err);
}

/* The UKI around the initrd that the draft holds. */
static int build_uki(struct run *run, char **ret, struct error *err)
{
        struct content_store store = repo_contents(run->w->repo);
        _cleanup_free_ char *initrd = malloc(run->c->initrd_size + 1);
        size_t size;
        int r;

        if (!initrd)
                return error_oom(err);
        r = io_pread(run->initrd.fd, initrd, run->c->initrd_size, 0, &size, err);
        if (r < 0)
                return r;
        return kernel_image_build(run->m, run->c->merge.tree, &store, &run->c->root_hash, initrd,
                                  size, ret, &run->c->uki_size, err);
}

static int step_uki(struct run *run, struct error *err)
{
        _cleanup_free_ char *image = NULL;
        struct draft *draft = NULL;
        int r;

        r = build_uki(run, &image, err);
        if (r >= 0)
                r = draft_output(run, ".efi", &draft, err);
        if (r >= 0)
                r = io_write(draft->fd, image, run->c->uki_size, err);
        if (r < 0)
                return r;
        run->uki = draft;
        return write_boot_loader(run, err);
}

/* ---- disk ---- */

static int step_disk(struct run *run, struct error *err)
{
        _cleanup_free_ char *boot = draft_path(run, &run->boot), *uki = draft_path(run, run->uki);
        _cleanup_free_ char *disk = draft_path(run, run->disk);
        struct layout_contents contents = { run->c->usr_size, run->c->tree_size, run->c->uki_size,
                                            0, run->c->root_hash };
        struct stat st;
        int r;

        if (!boot || !uki || !disk)
                return error_oom(err);
        if (fstat(run->boot.fd, &st) < 0)
                return error_errno(err, "boot loader");
        contents.boot_size = (uint64_t)st.st_size;
        r = layout_plan(run->m, &contents, &run->c->layout, err);
        if (r < 0)
                return r;
        layout_minimum(&contents, &run->minimum);
        return disk_build(&run->c->layout, run->m,
                          &(struct disk_contents){ uki, boot, run->c->epoch }, disk, run->disk->fd,
                          err);
}

/* One draft for every further format, behind the disk's. */
static int draft_formats(struct run *run, struct error *err)
{
        STRV_FOREACH (name, run->m->outputs) {
                const struct output_ops *ops = output_find(*name);
                struct draft *draft = NULL;
                int r;

                if (!ops->write)
                        continue;
                r = draft_output(run, ops->suffix, &draft, err);
                if (r < 0)
                        return r;
                run->formats[draft - run->drafts] = ops;
        }
        return 0;
}

int artifact_digest(int fd, const struct known_blocks *known, struct artifact *a, struct error *err)
{
        int r;

        a->sparse = endswith(a->name, ".raw");
        r = a->sparse ? sparse_digest(fd, a->size, known, &a->sha256, err)
                      : sha256_fd(fd, 0, a->size, &a->sha256, err);
        return error_prefix(err, r, "%s", a->name);
}

/* Name and size of one artifact. */
static int describe_artifact(struct run *run, size_t index, struct error *err)
{
        struct artifact *a = &run->c->artifacts.items[index];
        struct draft *d = &run->drafts[index];
        struct stat st;

        if (fstat(d->fd, &st) < 0)
                return error_errno(err, "%s", d->name);
        a->size = (uint64_t)st.st_size;
        a->name = strdup(d->name);
        return a->name ? 0 : error_oom(err);
}

static int sync_artifact(const struct draft *d, struct error *err)
{
        return fdatasync(d->fd) < 0 ? error_errno(err, "%s: sync", d->name) : 0;
}

/* Size, digest and durability of what a step has written. The disk writes while we hash. */
static int finish_artifact(struct run *run, size_t index, struct error *err)
{
        struct draft *d = &run->drafts[index];
        int r;

        r = describe_artifact(run, index, err);
        if (r < 0)
                return r;
        sync_file_range(d->fd, 0, 0, SYNC_FILE_RANGE_WRITE); /* a head start, which may fail */
        r = artifact_digest(d->fd, &run->usr, &run->c->artifacts.items[index], err);
        return r < 0 ? r : sync_artifact(d, err);
}

/* The same of another format of the disk, which is hashed while it is written. */
static int convert_artifact(struct run *run, size_t index, struct error *err)
{
        const struct output_ops *ops = run->formats[index];
        struct draft *d = &run->drafts[index];
        struct sha256 digest;
        int r;

        r = ops->write(run->disk->fd, run->c->layout.disk_size, &run->usr, d->fd, &digest, err);
        if (r < 0)
                return error_prefix(err, r, "output '%s'", ops->name);
        r = describe_artifact(run, index, err);
        if (r < 0)
                return r;
        run->c->artifacts.items[index].sha256 = digest;
        return sync_artifact(d, err);
}

static int draft_report(struct run *run, struct error *err)
{
        _cleanup_free_ char *text = NULL;
        struct draft *draft = NULL;
        int r;

        r = report_text(run->m, run->c, &text, err);
        if (r < 0)
                return r;
        r = draft_output(run, ".report.json", &draft, err);
        if (r < 0)
                return r;
        r = io_write(draft->fd, text, strlen(text), err);
        if (r < 0)
                return r;
        run->c->artifacts.count = run->n_drafts;
        return finish_artifact(run, run->n_drafts - 1, err);
}

/* The sealed commit: what an updater must know before it fetches anything, and what else the image
 * follows from. */
static int seal_commit(struct run *run, struct error *err)
{
        const struct seal seal = {
                .settings = &run->settings,
                .base = &run->base,
                .places = &run->layout,
                .uki_fd = run->uki->fd,
                .minimum = &run->minimum,
        };

        return commit_seal(run->w, run->m, &seal, run->c, err);
}

/* Makes one artifact what it will be, or, behind the last one, the commit. */
static int output_task(void *context, size_t index, struct error *err)
{
        struct run *run = context;

        if (index == run->n_drafts) {
                drop_working_files(run);
                return seal_commit(run, err);
        }
        return run->formats[index] ? convert_artifact(run, index, err)
                                   : finish_artifact(run, index, err);
}

/* All at once, because most of it is waiting for the disk. */
static int finish_outputs(struct run *run, struct error *err)
{
        struct composition *c = run->c;
        unsigned tasks = (unsigned)run->n_drafts + 1;

        c->artifacts.items = calloc(DRAFTS_MAX, sizeof(struct artifact));
        if (!c->artifacts.items)
                return error_oom(err);
        c->artifacts.count = run->n_drafts;
        return parallel_for(tasks, run->w->threads ?: tasks, output_task, run, err);
}

/* Giving back the space of the file that is replaced takes a while where the file system tells the
 * disk, and happens under the directory's lock unless somebody has the file open. */
static int publish_draft(void *context, size_t index, struct error *err)
{
        struct run *run = context;
        struct draft *d = &run->drafts[index];
        _cleanup_close_ int replaced =
                openat(d->dir_fd, d->name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

        return draft_publish(d, err);
}

/* The old report goes first and the new one, which is the last draft, comes last: whenever a build
 * is cut off, a report that is there describes what lies beside it. The others go side by side. */
static int publish(struct run *run, struct error *err)
{
        struct draft *report = &run->drafts[run->n_drafts - 1];
        int r;

        if (unlinkat(run->w->output_fd, report->name, 0) < 0 && errno != ENOENT)
                return error_errno(err, "%s", report->name);
        r = parallel_for(run->n_drafts - 1, run->w->threads ?: (unsigned)run->n_drafts,
                         publish_draft, run, err);
        if (r >= 0)
                r = draft_publish(report, err);
        return r < 0 ? r : receipt_write(run->w->output_fd, run->c, err);
}

static int step_output(struct run *run, struct error *err)
{
        int r;

        r = draft_formats(run, err);
        if (r >= 0)
                r = finish_outputs(run, err);
        if (r >= 0)
                r = draft_report(run, err);
        return r < 0 ? r : publish(run, err);
}

/* ---- the line ---- */

struct step_row {
        enum step step;
        int (*run)(struct run *run, struct error *err);
};

static const struct step_row steps[] = {
        { STEP_RESOLVE, step_resolve }, { STEP_FETCH, step_fetch },   { STEP_IMPORT, step_import },
        { STEP_MERGE, step_merge },     { STEP_COMMIT, step_commit }, { STEP_EROFS, step_erofs },
        { STEP_VERITY, step_verity },   { STEP_INITRD, step_initrd }, { STEP_UKI, step_uki },
        { STEP_DISK, step_disk },       { STEP_OUTPUT, step_output },
};

static int run_step(struct run *run, const struct step_row *row, struct error *err)
{
        double start = now();
        int r;

        workdir_progress(run->w, row->step, 0, 0);
        r = row->run(run, err);
        run->c->seconds[row->step] = now() - start;
        return error_prefix(err, r, "%s", step_names[row->step]);
}

/* The image and the initrd depend on the tree only, and each keeps about one CPU busy. */
static int image_or_initrd(void *context, size_t index, struct error *err)
{
        struct run *run = context;
        int r;

        if (index == 1)
                return run->options->until >= STEP_INITRD ? run_step(run, &steps[STEP_INITRD], err)
                                                          : 0;
        r = run_step(run, &steps[STEP_EROFS], err);
        if (r < 0 || run->options->until < STEP_VERITY)
                return r;
        return run_step(run, &steps[STEP_VERITY], err);
}

static int run_steps(struct run *run, struct error *err)
{
        int r;

        for (int step = 0; step <= (int)run->options->until; step++) {
                if (step == STEP_EROFS) {
                        r = plan_image(run, err);
                        if (r >= 0)
                                r = parallel_for(2, 2, image_or_initrd, run, err);
                        step = STEP_INITRD;
                } else {
                        r = run_step(run, &steps[step], err);
                }
                if (r < 0 || run->c->unchanged)
                        return r;
        }
        return 0;
}

static void run_done(struct run *run)
{
        for (size_t i = 0; i < run->n_drafts; i++)
                draft_done(&run->drafts[i]);
        drop_working_files(run);
        block_digests_done(&run->usr_digests);
        erofs_image_free(run->image);
        extent_cache_free(run->cache);
        image_settings_done(&run->settings);
        buffer_done(&run->layout);
        package_trees_done(&run->trees);
        lock_done(&run->lock);
        signers_done(&run->signers);
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
                .initrd = DRAFT_NULL,
                .boot = DRAFT_NULL,
        };
        int r, settled;

        r = signers_open(options->keys, &m->trust, &run.signers, err);
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
        for (size_t i = 0; i < c->artifacts.count; i++)
                free(c->artifacts.items[i].name);
        free(c->artifacts.items);
        memset(c, 0, sizeof(*c));
}
