/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See plan.h. The initrd is really built, into memory: nothing else tells its size. */

#include <sys/mman.h>

#include "image.h"
#include "initrd.h"
#include "io.h"
#include "kernel-image.h"
#include "plan.h"
#include "shim.h"
#include "verity.h"

/* The image is really compressed: nothing else tells its size. */
static int plan_image(const struct workdir *w, const struct manifest *m, struct composition *c,
                      struct error *err)
{
        _cleanup_image_settings_ struct image_settings settings = {};
        _cleanup_(extent_cache_free_p) struct extent_cache *cache = NULL;
        _cleanup_(erofs_image_free_p) struct erofs_image *image = NULL;
        _cleanup_block_digests_ struct block_digests digests = {};
        struct erofs_target nowhere = { .fd = -1, .digests = &digests };
        struct content_store store = repo_contents(w->repo);
        int r;

        r = image_settings_complete(&m->erofs, c->merge.tree, &store, &settings, err);
        if (r >= 0)
                r = image_cache_open(w->cache_fd, &settings, &cache, err);
        if (r >= 0)
                r = image_new(c->merge.tree, &(struct sha256){}, &settings, cache, true, &image,
                              err);
        if (r >= 0)
                r = block_digests_init(&digests, erofs_image_bound(image) / BLOCK_SIZE, err);
        if (r >= 0)
                r = erofs_image_write(image, &store, &nowhere, w->threads, err);
        if (r >= 0 && cache)
                r = extent_cache_finish(cache, err);
        if (r < 0)
                return r;
        c->usr_size = erofs_image_size(image);
        c->tree_size = verity_tree_size(c->usr_size);
        return 0;
}

static int plan_initrd(const struct workdir *w, const struct manifest *m, struct composition *c,
                       char **ret, struct error *err)
{
        _cleanup_close_ int fd = memfd_create("initrd", MFD_CLOEXEC);
        int r;

        if (fd < 0)
                return error_errno(err, "initrd");
        r = initrd_build(w, m, c->merge.tree, fd, err);
        if (r < 0)
                return r;
        c->initrd_size = (uint64_t)lseek(fd, 0, SEEK_END);
        *ret = malloc(c->initrd_size + 1);
        if (!*ret)
                return error_oom(err);
        return io_pread(fd, *ret, c->initrd_size, 0, NULL, err);
}

static int plan_boot(const struct workdir *w, const struct manifest *m, struct composition *c,
                     struct layout_contents *contents, struct error *err)
{
        struct content_store store = repo_contents(w->repo);
        _cleanup_free_ char *initrd = NULL, *image = NULL, *boot = NULL;
        const struct signers unsigned_image = {}; /* signatures do not take a block more */
        struct kernel_image_change change;
        _cleanup_(shim_done) struct shim shim = {};
        int r;

        r = plan_initrd(w, m, c, &initrd, err);
        if (r >= 0)
                r = kernel_image_build(m, &unsigned_image, c->merge.tree, &store, initrd,
                                       c->initrd_size, &image, &c->uki_size, err);
        if (r >= 0)
                r = kernel_image_finish(m, &unsigned_image, &c->root_hash, &image, &c->uki_size,
                                        &change, err);
        if (r >= 0)
                r = pcr_predict(image, c->uki_size, &c->pcr, err);
        if (r >= 0)
                r = kernel_image_boot_loader(m, c->merge.tree, &store, &boot, &contents->boot_size,
                                             err);
        if (r >= 0 && m->trust.shim)
                r = shim_load(m->architecture, c->merge.tree, &store, &shim, err);
        contents->other_size = shim.loader_size + shim.manager_size;
        return r;
}

int compose_plan(const struct workdir *w, const struct manifest *m,
                 const struct compose_options *options, struct composition *ret, struct error *err)
{
        struct compose_options until_commit = *options;
        _cleanup_composition_ struct composition c = {};
        struct layout_contents contents = {};
        int r;

        until_commit.until = STEP_COMMIT; /* which makes equal files one */
        r = compose(w, m, &until_commit, &c, err);
        if (r < 0)
                return r;
        r = plan_image(w, m, &c, err);
        if (r >= 0)
                r = plan_boot(w, m, &c, &contents, err);
        contents.usr_size = c.usr_size;
        contents.tree_size = c.tree_size;
        contents.uki_size = c.uki_size;
        if (r >= 0)
                r = layout_plan(m, &contents, &c.layout, err);
        if (r < 0)
                return error_prefix(err, r, "image '%s'", m->name);
        *ret = TAKE_STRUCT(c);
        return 0;
}
