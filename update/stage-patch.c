/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The new image's kernel modules, made of those that run and of patches that the site may have for
 * this pair of module sets. It is an offer: without patches, or with bad ones, what they are for is
 * fetched like everything else. So only what is wrong with this machine is an error here.
 *
 * First comes the small file with the signature, which also says whether the other one is worth it;
 * nothing looks into that before the signature was found good. */

#include <fcntl.h>

#include "file-seal.h"
#include "interrupt.h"
#include "patched-modules.h"
#include "request.h"
#include "stage-internal.h"
#include "strv.h"

#define PATCHES_DIRECTORY "patches/"

/* ---- fetching ---- */

struct patch_file {
        char *data;
        size_t size;
};

static void patch_file_done(struct patch_file *f)
{
        free(f->data);
}

static int fetch_seal(const struct stage *s, const char *name, struct file_seal *ret,
                      size_t *ret_size, struct error *err)
{
        _cleanup_free_ char *file = string_format("%s" FILE_SEAL_SUFFIX, name);
        _cleanup_free_ char *url = file ? stage_url(s, PATCHES_DIRECTORY, file) : NULL;
        struct request request = { .url = url, .limit = FILE_SEAL_MAX };
        _cleanup_free_ char *bytes = NULL;
        int r = url ? request_run(&request, &bytes, ret_size, err) : error_oom(err);

        return r < 0 ? r : file_seal_parse(bytes, *ret_size, MODULE_PATCHES_SIZE_MAX, ret, err);
}

static int take_bytes(void *userdata, size_t range _unused_, uint64_t offset, const void *data,
                      size_t size, struct error *err)
{
        const struct patch_file *f = userdata;

        if (offset > f->size || size > f->size - offset)
                return error_set(err, -ERANGE, "more bytes than the file has");
        memcpy(f->data + offset, data, size);
        return 0;
}

static int fetch_file(const struct stage *s, const char *name, struct patch_file *f,
                      struct error *err)
{
        const struct fetch_range all = { .offset = 0, .size = f->size };
        _cleanup_free_ char *url = stage_url(s, PATCHES_DIRECTORY, name);

        f->data = malloc(f->size);
        if (!url || !f->data)
                return error_oom(err);
        return fetch_ranges(s->fetcher, url, f->size, &all, 1, take_bytes, f, err);
}

/* The file, if it is there, signed, and smaller than what is missing. */
static int fetch_patches(struct stage_object *o, const char *name, struct patch_file *ret,
                         struct error *err)
{
        struct stage_count *c = stage_object_count(o);
        struct file_seal seal;
        size_t seal_size;
        int r = fetch_seal(o->stage, name, &seal, &seal_size, err);

        if (r < 0)
                return r;
        c->ranges++;
        c->fetch_bytes += seal_size;
        if (seal.size >= c->missing * BLOCK_SIZE)
                return error_set(err, -EFBIG, "larger than what is missing");
        ret->size = (size_t)seal.size;
        c->ranges += DIV_ROUND_UP(seal.size, (uint64_t)FETCH_RANGE_MAX);
        c->fetch_bytes += seal.size;
        r = fetch_file(o->stage, name, ret, err);
        return r < 0 ? r
                     : keyring_verify(o->stage->keys, ret->data, ret->size, seal.signatures,
                                      seal.count, err);
}

/* ---- applying ---- */

static bool wants(void *userdata, uint64_t block)
{
        return stage_missing(userdata, block);
}

static int take(void *userdata, uint64_t first, uint64_t count, const void *data, struct error *err)
{
        struct stage_object *o = userdata;
        struct stage_count *c = stage_object_count(o);
        int r = 0;

        if (data)
                r = stage_object_write(o, first * BLOCK_SIZE, data, count * BLOCK_SIZE, err);
        if (r < 0)
                return r;
        for (uint64_t i = 0; i < count; i++)
                stage_set_missing(o, first + i, false);
        c->missing -= count;
        c->patched += count;
        stage_object_progress(o, count);
        return 0;
}

static int apply(struct stage_object *o, const struct module_set *running,
                 const struct patch_file *file, struct error *err)
{
        _cleanup_module_patches_ struct module_patches patches = {};
        const struct block_sink sink = { wants, take, o };
        const struct patched_modules modules = { .directory = o->stage->modules,
                                                 .set = running,
                                                 .tree = &o->tree,
                                                 .sink = &sink,
                                                 .dry = o->dry };
        struct error ignored;

        /* A name that lies is as bad as bytes that do. */
        if (module_patches_parse(file->data, file->size, &patches, &ignored) < 0 ||
            !sha256_equal(&patches.old_set, &running->digest) ||
            !sha256_equal(&patches.new_set, &o->stage->release->modules))
                return 0;
        return patched_modules_make(&modules, &patches, err);
}

static bool is_wanted(const struct stage_object *o)
{
        const struct stage *s = o->stage;

        return o->kind == STAGE_USR && s->keys && s->modules &&
               stage_object_count(o)->missing > 0 &&
               !memory_is_zero(&s->release->modules, sizeof(s->release->modules));
}

int stage_patch(struct stage_object *o, struct error *err)
{
        _cleanup_(patch_file_done) struct patch_file file = {};
        _cleanup_module_set_ struct module_set running = {};
        char name[MODULE_PATCHES_NAME_SIZE];
        struct error ignored;

        if (!is_wanted(o) || module_set_load(AT_FDCWD, o->stage->modules, &running, &ignored) < 0 ||
            sha256_equal(&running.digest, &o->stage->release->modules))
                return interrupt_check(err);
        module_patches_name(&running.digest, &o->stage->release->modules, name);
        if (fetch_patches(o, name, &file, &ignored) < 0)
                return interrupt_check(err);
        return apply(o, &running, &file, err);
}
