/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See compose-internal.h. Of what starts the image only the root hash on the kernel's command line
 * waits for the image: the ESP and the UKI are made beside it, with zeros in that place. */

#include <sys/mman.h>

#include "authenticode.h"
#include "compose-internal.h"
#include "disk.h"
#include "esp.h"
#include "kernel-image.h"
#include "parallel.h"
#include "strv.h"
#include "verity.h"

static char *draft_path(const struct run *run, const struct draft *d)
{
        return string_format("%s/%s", run->w->output_path, d->temp);
}

/* ---- layout ---- */

/* Bytes of what the ESP has besides boot loader and UKI. */
static uint64_t other_esp_files(const struct run *run)
{
        uint64_t size = run->shim.loader_size + run->shim.manager_size;

        for (size_t i = 0; i < ENROLMENT_FILES; i++)
                size += run->signers.enrolment[i].size;
        return size;
}

/* Of an image whose UKI has that size, 0: not known yet, which moves nothing. */
static int plan_layout(struct run *run, uint64_t uki_size, struct error *err)
{
        const struct layout_contents contents = {
                .usr_size = run->c->usr_size,
                .tree_size = run->c->tree_size,
                .uki_size = uki_size,
                .boot_size = run->boot_loader_size,
                .other_size = other_esp_files(run),
                .root_hash = run->c->root_hash,
        };

        layout_minimum(&contents, &run->minimum);
        return layout_plan(run->m, &contents, &run->c->layout, err);
}

/* ---- boot ---- */

/* Puts the signed form of a PE image in its place, when the manifest wants Secure Boot. */
static int sign_image(const struct run *run, const char *name, char **image, size_t *size,
                      struct error *err)
{
        char *plain = *image;
        int r;

        if (!run->m->trust.secure_boot)
                return 0;
        r = authenticode_sign(&run->signers.of[SIGNER_DB], name, plain, *size, image, size, err);
        if (r >= 0)
                free(plain);
        return error_prefix(err, r, "%s", name);
}

static int load_boot_loader(struct run *run, struct error *err)
{
        struct content_store store = repo_contents(run->w->repo);
        int r = kernel_image_boot_loader(run->m, run->c->merge.tree, &store, &run->boot_loader,
                                         &run->boot_loader_size, err);

        if (r >= 0)
                r = sign_image(run, "boot-loader", &run->boot_loader, &run->boot_loader_size, err);
        if (r >= 0 && run->m->trust.shim)
                r = shim_load(run->m->architecture, run->c->merge.tree, &store, &run->shim, err);
        return r;
}

int compose_begin_boot(struct run *run, struct error *err)
{
        struct draft *draft = NULL;
        int r = load_boot_loader(run, err);

        if (r >= 0)
                r = plan_layout(run, 0, err);
        if (r >= 0)
                r = compose_draft_output(run, ".efi", &draft, err);
        if (r < 0)
                return r;
        run->uki = draft;
        run->esp = *layout_find(&run->c->layout, PARTITION_ESP, 0);
        return 0;
}

/* The UKI around the initrd. */
int compose_prepare_uki(struct run *run, struct error *err)
{
        struct content_store store = repo_contents(run->w->repo);
        size_t size = run->c->initrd_size;
        void *initrd = mmap(NULL, size, PROT_READ, MAP_PRIVATE, run->initrd_fd, 0);
        int r;

        if (initrd == MAP_FAILED)
                return error_errno(err, "initrd");
        r = kernel_image_build(run->m, &run->signers, run->c->merge.tree, &store, initrd, size,
                               &run->uki_image, &run->c->uki_size, err);
        munmap(initrd, size);
        close_p(&run->initrd_fd);
        return r < 0 ? r : io_pwrite(run->uki->fd, run->uki_image, run->c->uki_size, 0, err);
}

int compose_step_uki(struct run *run, struct error *err)
{
        struct kernel_image_change change;
        int r = kernel_image_finish(run->m, &run->signers, &run->c->root_hash, &run->uki_image,
                                    &run->c->uki_size, &change, err);

        if (r >= 0 && run->m->trust.secure_boot) {
                r = sign_image(run, "uki", &run->uki_image, &run->c->uki_size, err);
                change = (struct kernel_image_change){ 0, run->c->uki_size };
        }
        if (r >= 0)
                r = io_pwrite(run->uki->fd, run->uki_image + change.offset, change.size,
                              change.offset, err);
        if (r >= 0)
                io_sync_ahead(run->uki->fd);
        return r;
}

/* ---- signatures from elsewhere ---- */

/* The same build again, with nothing left to chance, is what the answers are for. */
static int save_lock(const struct run *run, struct error *err)
{
        _cleanup_free_ char *path = string_format("%s/%s", run->options->requests, SIGN_LOCK_FILE);
        const struct lock lock = { .packages = run->c->packages,
                                   .users = run->lock.users,
                                   .groups = run->lock.groups };

        return path ? lock_save(path, &lock, err) : error_oom(err);
}

int compose_leave_requests(struct run *run, struct error *err)
{
        static const struct sha256 none;
        char base[SHA256_HEX_SIZE];
        _cleanup_free_ char *manifest = realpath(run->m->path, NULL);
        const struct sign_origin origin = {
                .image = run->m->name,
                .version = run->m->version,
                .manifest = manifest,
                .architecture = run->m->architecture,
                .base = sha256_equal(&run->base, &none) ? NULL : sha256_hex(&run->base, base),
                .epoch = run->c->epoch,
        };
        int r;

        run->c->unsigned_count = sign_requests_open_count(&run->requests);
        if (run->c->unsigned_count == 0)
                return 0;
        if (!manifest)
                return error_errno(err, "%s", run->m->path);
        r = save_lock(run, err);
        return r < 0 ? r : sign_origin_write(&run->requests, &origin, err);
}

/* ---- disk ---- */

/* All of the ESP but the UKI. */
int compose_prepare_esp(struct run *run, struct error *err)
{
        _cleanup_free_ char *disk = draft_path(run, run->disk);
        const struct esp_contents contents = {
                .boot_loader = run->boot_loader,
                .boot_loader_size = run->boot_loader_size,
                .shim = run->shim.loader ? &run->shim : NULL,
                .enrolment = run->signers.enrolment[0].name ? run->signers.enrolment : NULL,
                .architecture = run->m->architecture,
                .epoch = run->c->epoch,
        };

        return disk ? esp_write(&run->esp, &contents, disk, err) : error_oom(err);
}

static int put_uki(struct run *run, struct error *err)
{
        _cleanup_free_ char *disk = draft_path(run, run->disk), *uki = draft_path(run, run->uki);
        int r;

        if (!disk || !uki)
                return error_oom(err);
        r = esp_put_uki(&run->esp, uki, run->m->version, run->c->epoch, disk, err);
        if (r >= 0)
                io_sync_ahead(run->disk->fd);
        return r;
}

static int write_table(struct run *run, struct error *err)
{
        _cleanup_free_ char *disk = draft_path(run, run->disk);

        return disk ? disk_write_table(&run->c->layout, disk, run->disk->fd, err) : error_oom(err);
}

static int predict_pcr(struct run *run, struct error *err)
{
        return pcr_predict(run->uki_image, run->c->uki_size, &run->c->pcr, err);
}

static int hash_uki(struct run *run, struct error *err _unused_)
{
        sha256_of(run->uki_image, run->c->uki_size, &run->uki_digest);
        return 0;
}

/* The UKI is fetched block by block, so it has a hash tree as the image has one. */
static int hash_uki_blocks(struct run *run, struct error *err)
{
        _cleanup_block_digests_ struct block_digests leaves = {};
        int r = block_digests_of(&leaves, run->uki_image, run->c->uki_size, err);

        return r < 0 ? r : verity_write(&leaves, &(struct uuid){}, -1, 0, &run->uki_root_hash, err);
}

/* The tools that fill the ESP leave a CPU to what must be known of the UKI. */
static int (*const disk_tasks[])(struct run *run, struct error *err) = {
        put_uki, write_table, predict_pcr, hash_uki, hash_uki_blocks,
};

static int disk_task(void *context, size_t index, struct error *err)
{
        return disk_tasks[index](context, err);
}

int compose_step_disk(struct run *run, struct error *err)
{
        unsigned tasks = ARRAY_SIZE(disk_tasks);
        int r = plan_layout(run, run->c->uki_size, err);

        if (r >= 0)
                r = parallel_for(tasks, run->w->threads ?: tasks, disk_task, run, err);
        free(TAKE_PTR(run->uki_image));
        return r;
}
