/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See module-diff.h. A module is the same one in both sets when its path below the directory with
 * the kernel's version is. Which encoder of xz the kernel's build used shows the first module that
 * one of them packs as it was. */

#include "blocks.h"
#include "module-diff.h"
#include "parallel.h"

enum { ENCODER_TRIES = 16, FILE_MAX = 256 * 1024 * 1024 };

/* ---- sets ---- */

static bool is_member(const struct tree_node *node)
{
        return S_ISREG(node->inode->mode) && module_is(node->name);
}

static int add_file(struct module_set *s, const struct tree_node *node, const char *path,
                    const struct content_store *store, struct error *err)
{
        _cleanup_free_ char *data = NULL;
        struct sha256 digest;
        size_t size;
        int r = content_load(node->inode, store, FILE_MAX, &data, &size, err);

        if (r < 0)
                return error_prefix(err, r, "%s", path);
        sha256_of(data, size, &digest);
        return module_set_add(s, path, &digest, err);
}

int module_set_of_tree(const struct tree *tree, const struct content_store *store,
                       struct module_set *ret, struct error *err)
{
        struct tree_node *top = tree_lookup(tree, MODULE_DIRECTORY);
        _cleanup_module_set_ struct module_set set = {};
        char path[TREE_PATH_MAX];
        int r = 0;

        for (struct tree_node *node = top; r >= 0 && node; node = tree_next(top, node))
                if (is_member(node))
                        r = add_file(&set, node,
                                     tree_path(node, path) + strlen(MODULE_DIRECTORY "/"), store,
                                     err);
        if (r >= 0)
                r = module_set_close(&set, err);
        if (r < 0)
                return error_prefix(err, r, "kernel modules");
        *ret = TAKE_STRUCT(set);
        return 0;
}

int module_set_key(const struct tree *tree, const struct content_store *store,
                   char ret[SHA256_HEX_SIZE], struct error *err)
{
        _cleanup_hasher_ struct hasher h = {};
        struct sha256 digest;
        int r = hasher_init(&h, err);

        if (r >= 0)
                r = content_identities(tree_lookup(tree, MODULE_DIRECTORY), is_member, store, &h,
                                       err);
        if (r >= 0)
                r = hasher_final(&h, &digest, err);
        if (r >= 0)
                sha256_hex(&digest, ret);
        return error_prefix(err, r, "kernel modules");
}

/* ---- pairs ---- */

struct pair {
        const struct module *old, *new;
        struct module_patch patch;
        char *data; /* of the patch; NULL: none */
};

struct diff {
        const struct module_diff_input *before, *after;
        const struct xz_parameters *xz; /* NULL: not known, so there are no patches */
        int level;
        struct pair *pairs; /* of those that changed, in the old set's order */
        size_t count;
};

static void diff_done(struct diff *d)
{
        for (size_t i = 0; i < d->count; i++)
                free(d->pairs[i].data);
        free(d->pairs);
}
#define _cleanup_diff_ _cleanup_(diff_done)

/* What is behind the directory with the kernel's version. */
static const char *path_in_kernel(const struct module *m)
{
        const char *slash = strchr(m->path, '/');

        return slash ? slash + 1 : m->path;
}

static int compare_in_kernel(const void *a, const void *b)
{
        return strcmp(path_in_kernel(*(const struct module *const *)a),
                      path_in_kernel(*(const struct module *const *)b));
}

static int compare_old(const void *a, const void *b)
{
        const struct pair *x = a, *y = b;

        return x->old < y->old ? -1 : x->old > y->old;
}

/* The set's modules by their path in the kernel. */
static int sort_set(const struct module_set *set, const struct module ***ret, struct error *err)
{
        const struct module **sorted = malloc(MAX(set->count, (size_t)1) * sizeof(*sorted));

        if (!sorted)
                return error_oom(err);
        for (size_t i = 0; i < set->count; i++)
                sorted[i] = &set->items[i];
        qsort(sorted, set->count, sizeof(*sorted), compare_in_kernel);
        *ret = sorted;
        return 0;
}

static int find_pairs(struct diff *d, struct error *err)
{
        const struct module_set *before = d->before->set, *after = d->after->set;
        _cleanup_free_ const struct module **old = NULL, **new = NULL;
        int r;

        r = sort_set(before, &old, err);
        if (r >= 0)
                r = sort_set(after, &new, err);
        if (r < 0)
                return r;
        d->pairs = calloc(MAX(after->count, (size_t)1), sizeof(*d->pairs));
        if (!d->pairs)
                return error_oom(err);
        for (size_t i = 0, k = 0; i < before->count && k < after->count;) {
                int order = compare_in_kernel(&old[i], &new[k]);

                if (order == 0 && !sha256_equal(&old[i]->digest, &new[k]->digest))
                        d->pairs[d->count++] = (struct pair){ .old = old[i], .new = new[k] };
                i += order <= 0;
                k += order >= 0;
        }
        qsort(d->pairs, d->count, sizeof(*d->pairs), compare_old);
        return 0;
}

/* ---- one module ---- */

/* A module as it is in the tree, and unpacked. */
struct bytes {
        char *packed, *plain;
        size_t packed_size, plain_size;
};

static void bytes_done(struct bytes *b)
{
        free(b->packed);
        free(b->plain);
}
#define _cleanup_bytes_ _cleanup_(bytes_done)

/* Returns 1, or 0 when the module is none that has patches. */
static int load_module(const struct module_diff_input *in, const struct module *m,
                       struct bytes *ret, struct error *err)
{
        char path[sizeof(MODULE_DIRECTORY) + 1 + MODULE_PATH_MAX];
        const struct tree_node *node;
        int r;

        snprintf(path, sizeof(path), MODULE_DIRECTORY "/%s", m->path);
        node = tree_lookup(in->tree, path);
        if (!node)
                return error_set(err, -ENOENT, "not in the tree");
        if (node->inode->size > MODULE_PACKED_MAX)
                return 0;
        r = content_load(node->inode, in->store, MODULE_PACKED_MAX, &ret->packed, &ret->packed_size,
                         err);
        if (r < 0)
                return r;
        r = xz_unpack(ret->packed, ret->packed_size, MODULE_SIZE_MAX, &ret->plain, &ret->plain_size,
                      err);
        if (r == -EBADMSG || r == -EFBIG)
                return 0;
        return r < 0 ? r : ret->plain_size > 0;
}

/* Returns whether packing the bytes gives those that are there. */
static int packs_again(const struct xz_parameters *xz, const void *plain, const struct bytes *b,
                       struct error *err)
{
        _cleanup_free_ char *out = malloc(b->packed_size);
        size_t size;
        int r;

        if (!out)
                return error_oom(err);
        r = xz_pack(xz, plain, b->plain_size, out, b->packed_size, &size, err);
        if (r == -ENOBUFS)
                return 0;
        return r < 0 ? r : size == b->packed_size && memcmp(out, b->packed, size) == 0;
}

/* What the machine will do; returns whether it gives the new module. */
static int try_patch(const struct xz_parameters *xz, const struct bytes *old,
                     const struct bytes *new, const struct pair *p, struct error *err)
{
        _cleanup_free_ char *plain = malloc(new->plain_size);
        int r;

        if (!plain)
                return error_oom(err);
        r = delta_apply(old->plain, old->plain_size, p->data, p->patch.size, plain, new->plain_size,
                        err);
        return r < 0 ? r : packs_again(xz, plain, new, err);
}

static void describe(const struct diff *d, const struct bytes *old, const struct bytes *new,
                     struct pair *p)
{
        uint8_t block[BLOCK_SIZE] = {};
        struct sha256 digest;

        p->patch.old = (uint32_t)(p->old - d->before->set->items);
        p->patch.old_size = (uint32_t)old->plain_size;
        p->patch.new_size = (uint32_t) new->plain_size;
        p->patch.packed_size = (uint32_t) new->packed_size;
        p->patch.data = p->data;
        memcpy(block, new->packed, MIN(new->packed_size, sizeof(block)));
        sha256_of(block, sizeof(block), &digest);
        memcpy(p->patch.first_block, digest.bytes, sizeof(p->patch.first_block));
}

static int patch_pair(const struct diff *d, struct pair *p, struct error *err)
{
        _cleanup_bytes_ struct bytes old = {}, new = {};
        _cleanup_free_ char *data = NULL;
        size_t size;
        int r;

        r = load_module(d->before, p->old, &old, err);
        if (r > 0)
                r = load_module(d->after, p->new, &new, err);
        if (r <= 0)
                return r;
        r = delta_make(old.plain, old.plain_size, new.plain, new.plain_size, d->level, &data, &size,
                       err);
        if (r < 0 || size >= new.packed_size)
                return r;
        p->data = TAKE_PTR(data);
        p->patch.size = (uint32_t)size;
        describe(d, &old, &new, p);
        r = try_patch(d->xz, &old, &new, p, err);
        if (r <= 0) {
                free(p->data);
                p->data = NULL;
        }
        return r;
}

static int run_pair(void *context, size_t index, struct error *err)
{
        struct diff *d = context;
        int r = patch_pair(d, &d->pairs[index], err);

        return r < 0 ? error_prefix(err, r, "%s", d->pairs[index].new->path) : 0;
}

/* ---- all of them ---- */

/* The encoder that packs the module as it is; NULL: none. */
static int encoder_of(const struct bytes *b, const struct xz_parameters **ret, struct error *err)
{
        static const struct xz_parameters *const encoders[] = { &xz_kernel_threaded,
                                                                &xz_kernel_single };

        for (size_t i = 0; i < ARRAY_SIZE(encoders); i++) {
                int r = packs_again(encoders[i], b->plain, b, err);

                if (r < 0)
                        return r;
                if (r > 0) {
                        *ret = encoders[i];
                        return 0;
                }
        }
        *ret = NULL;
        return 0;
}

/* That of the new modules: the first ones tell, as the kernel's build has one for all. */
static int find_encoder(struct diff *d, struct error *err)
{
        for (size_t i = 0; !d->xz && i < MIN(d->count, (size_t)ENCODER_TRIES); i++) {
                _cleanup_bytes_ struct bytes new = {};
                int r = load_module(d->after, d->pairs[i].new, &new, err);

                if (r > 0)
                        r = encoder_of(&new, &d->xz, err);
                if (r < 0)
                        return error_prefix(err, r, "%s", d->pairs[i].new->path);
        }
        return 0;
}

static int write_file(const struct diff *d, char **ret, size_t *ret_size,
                      struct module_diff_counts *ret_counts, struct error *err)
{
        struct module_diff_counts counts = { .changed = d->count };
        _cleanup_module_patches_ struct module_patches file = {
                .old_set = d->before->set->digest,
                .new_set = d->after->set->digest,
                .xz = d->xz ? *d->xz : xz_kernel_threaded,
                .items = calloc(MAX(d->count, (size_t)1), sizeof(*file.items)),
        };
        int r;

        if (!file.items)
                return error_oom(err);
        for (size_t i = 0; i < d->count; i++)
                if (d->pairs[i].data) {
                        file.items[file.count++] = d->pairs[i].patch;
                        counts.bytes += d->pairs[i].patch.packed_size;
                }
        counts.patched = file.count;
        r = module_patches_write(&file, ret, ret_size, err);
        if (r >= 0)
                *ret_counts = counts;
        return r;
}

int module_diff(const struct module_diff_input *before, const struct module_diff_input *after,
                int level, char **ret, size_t *ret_size, struct module_diff_counts *ret_counts,
                struct error *err)
{
        _cleanup_diff_ struct diff d = { .before = before, .after = after, .level = level };
        int r;

        r = find_pairs(&d, err);
        if (r >= 0)
                r = find_encoder(&d, err);
        if (r >= 0 && d.xz)
                r = parallel_for(d.count, 0, run_pair, &d, err);
        if (r >= 0)
                r = write_file(&d, ret, ret_size, ret_counts, err);
        return error_prefix(err, r, "patches of kernel modules");
}
