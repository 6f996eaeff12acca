/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See compose-internal.h. */

#include "authenticode.h"
#include "compose-internal.h"
#include "kernel-image.h"
#include "strv.h"

static char *draft_path(const struct run *run, const struct draft *d)
{
        return string_format("%s/%s", run->w->output_path, d->temp);
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

static int write_boot_loader(struct run *run, struct error *err)
{
        struct content_store store = repo_contents(run->w->repo);
        _cleanup_free_ char *boot = NULL;
        size_t size;
        int r;

        r = kernel_image_boot_loader(run->m, run->c->merge.tree, &store, &boot, &size, err);
        if (r >= 0)
                r = sign_image(run, "boot-loader", &boot, &size, err);
        if (r >= 0 && run->m->trust.shim)
                r = shim_load(run->m->architecture, run->c->merge.tree, &store, &run->shim, err);
        if (r >= 0)
                r = compose_draft_working(run, ".boot", &run->boot, err);
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
        return kernel_image_build(run->m, &run->signers, run->c->merge.tree, &store,
                                  &run->c->root_hash, initrd, size, ret, &run->c->uki_size,
                                  &run->c->pcr, err);
}

int compose_step_uki(struct run *run, struct error *err)
{
        _cleanup_free_ char *image = NULL;
        struct draft *draft = NULL;
        int r;

        r = build_uki(run, &image, err);
        if (r >= 0)
                r = sign_image(run, "uki", &image, &run->c->uki_size, err);
        if (r >= 0)
                r = compose_draft_output(run, ".efi", &draft, err);
        if (r >= 0)
                r = io_write(draft->fd, image, run->c->uki_size, err);
        if (r < 0)
                return r;
        run->uki = draft;
        return write_boot_loader(run, err);
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

/* Bytes of what the ESP has besides boot loader and UKI. */
static uint64_t other_esp_files(const struct run *run)
{
        uint64_t size = run->shim.loader_size + run->shim.manager_size;

        for (size_t i = 0; i < ENROLMENT_FILES; i++)
                size += run->signers.enrolment[i].size;
        return size;
}

int compose_step_disk(struct run *run, struct error *err)
{
        _cleanup_free_ char *boot = draft_path(run, &run->boot), *uki = draft_path(run, run->uki);
        _cleanup_free_ char *disk = draft_path(run, run->disk);
        struct layout_contents contents = {
                .usr_size = run->c->usr_size,
                .tree_size = run->c->tree_size,
                .uki_size = run->c->uki_size,
                .other_size = other_esp_files(run),
                .root_hash = run->c->root_hash,
        };
        const struct disk_contents files = {
                .uki_path = uki,
                .boot_path = boot,
                .epoch = run->c->epoch,
                .shim = run->shim.loader ? &run->shim : NULL,
                .enrolment = run->signers.enrolment[0].name ? run->signers.enrolment : NULL,
        };
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
        return disk_build(&run->c->layout, run->m, &files, disk, run->disk->fd, err);
}
