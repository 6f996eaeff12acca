/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See publish.h. Everything is checked before anything is written; then the steps go by who needs
 * what: images, objects, signature, the channel's list, extensions, ref, summary. A publisher that
 * is cut off leaves at worst what nobody points at, and the next one goes on: no step redoes what
 * is there. A lock on the site's directory keeps two apart. */

#include <fcntl.h>
#include <sys/file.h>

#include "disk.h"
#include "image-commit.h"
#include "io.h"
#include "publish.h"
#include "report.h"
#include "site-extensions.h"
#include "site-images.h"
#include "site-patches.h"
#include "strv.h"

#define CHANNELS "channels/"

struct run {
        const struct workdir *w;
        const struct publish_options *o;
        struct publication *p;
        int site_fd;
        struct site_repo *repo;
        struct report_summary report;
        char *text;                  /* of the release, as the commit has it */
        char path[CHANNEL_PATH_MAX]; /* of the channel */
        const char *ref;             /* the same as a ref, in it */
        struct image_source images;
};

static void run_done(struct run *run)
{
        close_p(&run->site_fd);
        close_p(&run->images.disk_fd);
        close_p(&run->images.uki_fd);
        site_repo_free(run->repo);
        report_summary_done(&run->report);
        free(run->text);
}

/* The first release makes the site; without one it has to be there. */
static int open_site(struct run *run, struct error *err)
{
        if (run->o->build)
                run->site_fd = path_open_dir(AT_FDCWD, run->o->site, 0755, err);
        else
                run->site_fd = open(run->o->site, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (run->site_fd < 0)
                return run->o->build ? run->site_fd : error_errno(err, "%s", run->o->site);
        if (!run->o->build && faccessat(run->site_fd, "repo/config", F_OK, 0) < 0)
                return error_set(err, -ENOENT, "%s: not an update site", run->o->site);
        if (flock(run->site_fd, LOCK_EX | LOCK_NB) < 0) {
                if (errno != EWOULDBLOCK)
                        return error_errno(err, "%s: lock", run->o->site);
                return error_set(err, -EBUSY, "another publisher is writing to %s", run->o->site);
        }
        return 0;
}

/* ---- the build ---- */

static const char *artifact_with(const struct run *run, const char *suffix)
{
        for (size_t i = 0; i < run->report.artifacts.count; i++)
                if (endswith(run->report.artifacts.items[i].name, suffix))
                        return run->report.artifacts.items[i].name;
        return NULL;
}

static int open_artifact(const struct run *run, const char *suffix, char **ret_path, int *ret_fd,
                         struct error *err)
{
        const char *name = artifact_with(run, suffix);
        _cleanup_free_ char *path = NULL;
        int fd;

        if (!name)
                return error_set(err, -ENOTSUP,
                                 "the build has no *%s, from which a release is published", suffix);
        path = string_format("%s/%s", run->o->build, name);
        if (!path)
                return error_oom(err);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return error_errno(err, "%s", path);
        *ret_path = TAKE_PTR(path);
        *ret_fd = fd;
        return 0;
}

static int open_images(struct run *run, struct error *err)
{
        _cleanup_free_ char *disk = NULL, *uki = NULL;
        const struct partition *slot;
        struct layout layout;
        struct sha256 root;
        int r;

        r = open_artifact(run, ".raw", &disk, &run->images.disk_fd, err);
        if (r >= 0)
                r = open_artifact(run, ".efi", &uki, &run->images.uki_fd, err);
        if (r >= 0)
                r = disk_read(disk, &layout, err);
        if (r >= 0)
                r = repo_root(run->w->repo, &run->p->commit, &root, err);
        if (r < 0)
                return r;
        slot = layout_find(&layout, PARTITION_USR, 'A');
        if (!slot || slot->size < run->p->release.usr_size)
                return error_set(err, -EBADMSG, "%s: no slot that holds the image", disk);
        run->images.usr_offset = slot->start;
        slot = layout_find(&layout, PARTITION_USR_VERITY_SIG, 'A');
        if (slot)
                run->images.signature_offset = slot->start;
        image_verity_uuid(&root, &run->images.tree_uuid);
        return 0;
}

/* What the commit says is what is signed; a report that says something else is another build's. */
static int check_report(const struct run *run, struct error *err)
{
        const struct report_summary *report = &run->report;
        const struct release *r = &run->p->release;

        if (!streq(r->image, report->image) || !streq(r->version, report->version) ||
            !streq(r->architecture, report->architecture) ||
            !sha256_equal(&r->root_hash, &report->root_hash) || r->usr_size != report->usr_size ||
            r->tree_size != report->tree_size)
                return error_set(err, -EBADMSG, "the report and the commit are of two builds");
        return 0;
}

static int load_commit(struct run *run, struct error *err)
{
        char name[SHA256_HEX_SIZE];
        int r;

        sha256_hex(&run->report.commit, name);
        r = repo_resolve(run->w->repo, name, &run->p->commit, err);
        if (r >= 0)
                r = repo_metadata(run->w->repo, &run->p->commit, COMMIT_RELEASE, &run->text, err);
        if (r >= 0)
                r = release_parse(COMMIT_RELEASE, run->text, strlen(run->text), &run->p->release,
                                  err);
        return error_prefix(err, r, "commit %s", name);
}

static int load_build(struct run *run, struct error *err)
{
        int r = report_load(run->o->build, &run->report, err);

        if (r >= 0)
                r = load_commit(run, err);
        if (r >= 0)
                r = check_report(run, err);
        if (r >= 0)
                r = open_images(run, err);
        return error_prefix(err, r, "%s", run->o->build);
}

/* ---- the channel ---- */

static int load_channel(struct run *run, struct error *err)
{
        const struct release *r = &run->p->release;
        int result;

        snprintf(run->path, sizeof(run->path), CHANNELS "%s/%s/%s", r->image, r->architecture,
                 run->o->channel);
        run->ref = run->path + strlen(CHANNELS);
        result = channel_load(run->site_fd, run->path, &run->p->channel, err);
        if (result >= 0 && run->o->layouts)
                result = channel_set_layouts(&run->p->channel, run->o->layouts, err);
        return result;
}

static int check_channel(struct run *run, struct error *err)
{
        int r = channel_check(&run->p->channel, &run->p->release, run->o->older, err);

        if (r >= 0)
                r = channel_fits(&run->p->channel, &run->p->release, err);
        return error_prefix(err, r, "channel %s", run->ref);
}

/* ---- writing ---- */

static int write_images(struct run *run, struct error *err)
{
        return site_images_add(run->site_fd, &run->images, &run->p->release, run->text,
                               &run->p->changed, err);
}

static int write_commit(struct run *run, struct error *err)
{
        int r = site_repo_copy(run->repo, run->w->repo, &run->p->commit, run->w->threads, err);

        return r < 0 ? r
                     : site_repo_sign(run->repo, &run->p->commit, run->o->keys, &run->p->changed,
                                      err);
}

static int write_patches(struct run *run, struct error *err)
{
        const struct site_patches patches = {
                .repo = run->repo,
                .channel = &run->p->channel,
                .release = &run->p->release,
                .commit = &run->p->commit,
                .keys = run->o->keys,
                .level = run->o->patch_level,
                .progress = run->o->patching,
                .userdata = run->o->userdata,
        };

        if (run->o->patch_level == 0)
                return 0;
        return site_patches_add(run->site_fd, &patches, &run->p->changed, err);
}

static int write_channel(struct run *run, struct error *err)
{
        struct channel *c = &run->p->channel;
        int r = channel_add(c, &run->p->release, &run->p->commit, err);

        return r < 0 ? r : channel_save(c, run->site_fd, run->path, &run->p->changed, err);
}

/* ---- extensions ---- */

static int add_extensions(struct run *run, const char *image, const char *architecture,
                          struct error *err)
{
        char path[CHANNEL_PATH_MAX];
        const struct site_extensions x = {
                path, image, architecture, run->o->channel, run->o->extensions, run->o->keys
        };

        snprintf(path, sizeof(path), CHANNELS "%s/%s/%s", image, architecture, run->o->channel);
        return site_extensions_add(run->site_fd, &x, &run->p->changed, err);
}

/* Before the release is offered that may need them. Without one, the channel is there already. */
static int write_extensions(struct run *run, struct error *err)
{
        _cleanup_free_ char *architecture = NULL, *path = NULL;
        int r;

        if (!run->o->extensions)
                return 0;
        if (run->o->build)
                return add_extensions(run, run->p->release.image, run->p->release.architecture,
                                      err);
        r = site_extension_architecture(run->o->extensions[0], &architecture, err);
        if (r < 0)
                return r;
        path = string_format(CHANNELS "%s/%s/%s", run->o->image, architecture, run->o->channel);
        if (!path)
                return error_oom(err);
        if (faccessat(run->site_fd, path, F_OK, 0) < 0)
                return error_errno(err, "%s", path);
        return add_extensions(run, run->o->image, architecture, err);
}

static int write_ref(struct run *run, struct error *err)
{
        return site_repo_set_ref(run->repo, run->ref, &run->p->commit, &run->p->changed, err);
}

static int open_repo(struct run *run, struct error *err)
{
        return site_repo_open(run->site_fd, &run->repo, err);
}

static int write_summary(struct run *run, struct error *err)
{
        const struct site_summary summary = { run->o->now, run->o->lifetime, run->o->renew };

        return site_repo_summarize(run->repo, &summary, run->o->keys, &run->p->changed, err);
}

/* ---- pruning ---- */

/* What the channels need. */
struct needed {
        struct sha256 *images, *commits, *modules;
        size_t count, capacity_images, capacity_commits, capacity_modules;
        struct site_extensions_needed extensions;
};

static void needed_done(struct needed *n)
{
        free(n->images);
        free(n->commits);
        free(n->modules);
        free(n->extensions.items);
}

/* Zeros when it does not say; one that the repository has no more needs none. */
static void modules_of(const struct run *run, const struct sha256 *commit, struct sha256 *ret)
{
        _cleanup_release_ struct release release = {};
        _cleanup_free_ char *text = NULL;
        struct error ignored;

        *ret = (struct sha256){};
        if (repo_metadata(site_repo_commits(run->repo), commit, COMMIT_RELEASE, &text, &ignored) >=
                    0 &&
            release_parse(COMMIT_RELEASE, text, strlen(text), &release, &ignored) >= 0)
                *ret = release.modules;
}

static int need(const struct run *run, struct needed *n, const struct channel_release *r,
                struct error *err)
{
        if (array_reserve(&n->images, &n->capacity_images, n->count + 1, sizeof(*n->images)) < 0 ||
            array_reserve(&n->commits, &n->capacity_commits, n->count + 1, sizeof(*n->commits)) <
                    0 ||
            array_reserve(&n->modules, &n->capacity_modules, n->count + 1, sizeof(*n->modules)) < 0)
                return error_oom(err);
        n->images[n->count] = r->root_hash;
        modules_of(run, &r->commit, &n->modules[n->count]);
        n->commits[n->count++] = r->commit;
        return 0;
}

/* The last ones, and what the ref names: a publisher that was killed may have noted a release that
 * is not offered yet. */
static int need_channel(const struct run *run, const char *path, struct needed *n,
                        struct error *err)
{
        size_t keep = MAX(run->o->keep, 1U);
        _cleanup_channel_ struct channel c = {};
        struct sha256 offered = {};
        int r = channel_load(run->site_fd, path, &c, err);

        if (r >= 0)
                r = site_repo_ref(run->repo, path + strlen(CHANNELS), &offered, err);
        if (r == -ENOENT)
                r = 0;
        if (r >= 0)
                r = site_extensions_need(run->site_fd, path, &n->extensions, err);
        for (size_t i = 0; r >= 0 && i < c.releases.count; i++) {
                const struct channel_release *release = &channel_releases(&c)[i];

                if (c.releases.count - i <= keep || sha256_equal(&release->commit, &offered))
                        r = need(run, n, release, err);
        }
        return r;
}

/* Of all channels, which are three directories deep. */
static int need_below(const struct run *run, const char *path, unsigned depth, struct needed *n,
                      struct error *err)
{
        _cleanup_close_ int fd = -1;
        _cleanup_closedir_ DIR *dir = NULL;
        struct dirent *entry;
        int r = 0;

        if (depth == 0)
                return need_channel(run, path, n, err);
        fd = openat(run->site_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        dir = fd < 0 ? NULL : fdopendir(fd);
        if (!dir)
                return error_errno(err, "%s", path);
        TAKE_FD(fd);
        while (r >= 0 && (entry = readdir(dir))) {
                _cleanup_free_ char *below = NULL;

                if (*entry->d_name == '.')
                        continue;
                below = string_format("%s%s%s", path, endswith(path, "/") ? "" : "/",
                                      entry->d_name);
                r = below ? need_below(run, below, depth - 1, n, err) : error_oom(err);
        }
        return r;
}

static int prune(struct run *run, struct error *err)
{
        _cleanup_(needed_done) struct needed n = {};
        int r;

        if (!run->o->prune)
                return 0;
        r = need_below(run, CHANNELS, 3, &n, err);
        if (r >= 0)
                r = site_images_prune(run->site_fd, n.images, n.count, &run->p->images_removed,
                                      err);
        if (r >= 0)
                r = site_patches_prune(run->site_fd, n.modules, n.count, &run->p->patches_removed,
                                       err);
        if (r >= 0)
                r = site_extensions_prune(run->site_fd, &n.extensions, &run->p->extensions_removed,
                                          err);
        if (r >= 0)
                r = site_repo_prune(run->repo, n.commits, n.count, &run->p->objects_removed, err);
        return error_prefix(err, r, "prune");
}

/* ---- the line ---- */

static const struct {
        bool of_release; /* not without a build */
        int (*run)(struct run *run, struct error *err);
} steps[] = {
        { true, load_build },    { false, open_site },
        { true, load_channel },  { true, check_channel },
        { true, write_images },  { false, open_repo },
        { true, write_commit },  { true, write_patches },
        { true, write_channel }, { false, write_extensions },
        { true, write_ref },     { false, write_summary },
        { false, prune },
};

static int run_steps(struct run *run, struct error *err)
{
        int r = 0;

        for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(steps); i++)
                if (run->o->build || !steps[i].of_release)
                        r = steps[i].run(run, err);
        return r;
}

int publish(const struct workdir *w, const struct publish_options *options, struct publication *ret,
            struct error *err)
{
        _cleanup_publication_ struct publication p = {};
        _cleanup_(run_done) struct run run = {
                .w = w,
                .o = options,
                .p = &p,
                .site_fd = -1,
                .images = { .disk_fd = -1, .uki_fd = -1 },
        };
        int r;

        if (options->channel && !channel_name_valid(options->channel))
                return error_set(err, -EINVAL,
                                 "a channel's name has up to %d of a-z, 0-9 and '-._+', not '%s'",
                                 CHANNEL_NAME_MAX, options->channel);
        if (options->image && !channel_name_valid(options->image))
                return error_set(err, -EINVAL, "no image is called '%s'", options->image);
        r = run_steps(&run, err);
        if (r < 0)
                return error_prefix(err, r, "publish");
        *ret = TAKE_STRUCT(p);
        return 0;
}

void publication_done(struct publication *p)
{
        release_done(&p->release);
        channel_done(&p->channel);
}
