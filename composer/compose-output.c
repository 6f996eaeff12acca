/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See compose-internal.h. */

#include <fcntl.h>

#include "compose-internal.h"
#include "inputs.h"
#include "parallel.h"
#include "report.h"
#include "seal.h"
#include "strv.h"

/* One draft for every further format, behind the disk's. */
static int draft_formats(struct run *run, struct error *err)
{
        STRV_FOREACH (name, run->m->outputs) {
                const struct output_ops *ops = output_find(*name);
                struct draft *draft = NULL;
                int r;

                if (!ops->write)
                        continue;
                r = compose_draft_output(run, ops->suffix, &draft, err);
                if (r < 0)
                        return r;
                run->formats[draft - run->drafts] = ops;
        }
        return 0;
}

int artifact_digest(int fd, const struct known_blocks *known, unsigned threads, struct artifact *a,
                    struct error *err)
{
        int r;

        a->sparse = output_sparse(a->name);
        r = a->sparse ? sparse_digest(fd, a->size, known, threads, &a->sha256, err)
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

/* Size, digest and durability of what a step has written, and has had the disk begin to write. */
static int finish_artifact(struct run *run, size_t index, struct error *err)
{
        struct draft *d = &run->drafts[index];
        int r;

        r = describe_artifact(run, index, err);
        if (r < 0)
                return r;
        if (d == run->uki)
                run->c->artifacts.items[index].sha256 = run->uki_digest;
        else
                r = artifact_digest(d->fd, &run->usr, run->w->threads,
                                    &run->c->artifacts.items[index], err);
        return r < 0 ? r : sync_artifact(d, err);
}

/* The same of another format of the disk, which is hashed while it is written. */
static int convert_artifact(struct run *run, size_t index, struct error *err)
{
        const struct output_ops *ops = run->formats[index];
        const struct output_disk disk = {
                .fd = run->disk->fd,
                .size = run->c->layout.disk_size,
                .known = &run->usr,
                .identity = &run->c->root_hash,
                .epoch = run->c->epoch,
                .threads = run->w->threads,
        };
        struct draft *d = &run->drafts[index];
        struct sha256 digest;
        int r;

        r = ops->write(&disk, d->fd, &digest, err);
        if (r < 0)
                return error_prefix(err, r, "output '%s'", ops->name);
        r = describe_artifact(run, index, err);
        if (r < 0)
                return r;
        run->c->artifacts.items[index].sparse = ops->sparse;
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
        r = compose_draft_output(run, ".report.json", &draft, err);
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
                .uki_root_hash = &run->uki_root_hash,
                .minimum = &run->minimum,
                .signature = run->signature,
        };

        return commit_seal(run->w, run->m, &seal, run->c, err);
}

/* Makes one artifact what it will be, or, behind the last one, the commit. */
static int output_task(void *context, size_t index, struct error *err)
{
        struct run *run = context;

        if (index == run->n_drafts)
                return seal_commit(run, err);
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
        _cleanup_close_ _unused_ int replaced =
                openat(d->dir_fd, d->name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

        return draft_publish(d, err);
}

/* The old report goes first and the new one, which is the last draft, comes last: whenever a build
 * is cut off, a report that is there describes what lies beside it. The others go side by side. */
static int publish(struct run *run, struct error *err)
{
        struct draft *report = &run->drafts[run->n_drafts - 1];
        _cleanup_draft_ struct draft receipt = DRAFT_NULL;
        int r = receipt_draft(run->w->output_fd, run->c, &receipt, err);

        if (r < 0)
                return r;
        if (unlinkat(run->w->output_fd, report->name, 0) < 0 && errno != ENOENT)
                return error_errno(err, "%s", report->name);
        r = parallel_for(run->n_drafts - 1, run->w->threads ?: (unsigned)run->n_drafts,
                         publish_draft, run, err);
        if (r >= 0)
                r = draft_publish(report, err);
        return r < 0 ? r : receipt_publish(&receipt, run->c, err);
}

int compose_step_output(struct run *run, struct error *err)
{
        int r;

        r = draft_formats(run, err);
        if (r >= 0)
                r = finish_outputs(run, err);
        if (r >= 0)
                r = draft_report(run, err);
        return r < 0 ? r : publish(run, err);
}
