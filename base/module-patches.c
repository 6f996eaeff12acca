/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See module-patches.h. The file, little-endian: a header, one entry a module in ascending order of
 * the old modules, then their patches one behind the other in the same order, and nothing more.
 *
 * There is no path in it, because the digest of the old set says which modules there are and in
 * which order; and no place in the image, because that changes from release to release while the
 * modules stay: the first block's digest finds it among the leaves of the hash tree. */

#include <assert.h>
#include <endian.h>

#include "module-patches.h"

enum { VERSION = 1 };

static const char magic[8] = "slipmods";

struct header {
        char magic[8];
        uint32_t version, count;
        uint8_t old_set[SHA256_SIZE], new_set[SHA256_SIZE];
        uint32_t preset, check, dict_size, block_size;
} _packed_;
static_assert(sizeof(struct header) == 96, "header of module patches");

struct entry {
        uint32_t old, old_size, new_size, packed_size, size;
        uint8_t first_block[MODULE_BLOCK_KEY_SIZE];
} _packed_;
static_assert(sizeof(struct entry) == 28, "entry of module patches");

static int bad(struct error *err, const char *what)
{
        return error_set(err, -EBADMSG, "module patches: %s", what);
}

/* ---- reading ---- */

static int parse_header(const struct header *h, struct module_patches *p, struct error *err)
{
        if (memcmp(h->magic, magic, sizeof(magic)) != 0)
                return bad(err, "not such a file");
        if (le32toh(h->version) != VERSION)
                return bad(err, "of a version that is not known");
        memcpy(p->old_set.bytes, h->old_set, SHA256_SIZE);
        memcpy(p->new_set.bytes, h->new_set, SHA256_SIZE);
        p->xz = (struct xz_parameters){
                .preset = le32toh(h->preset),
                .check = le32toh(h->check),
                .dict_size = le32toh(h->dict_size),
                .block_size = le32toh(h->block_size),
        };
        if (xz_parameters_check(&p->xz) < 0)
                return bad(err, "no such parameters of xz");
        return 0;
}

static bool is_size(uint32_t size, uint32_t max)
{
        return size > 0 && size <= max;
}

/* `at` is the patch; moves behind it. */
static int parse_entry(const struct entry *e, const char **at, const char *end,
                       struct module_patch *ret, struct error *err)
{
        struct module_patch p = {
                .old = le32toh(e->old),
                .old_size = le32toh(e->old_size),
                .new_size = le32toh(e->new_size),
                .packed_size = le32toh(e->packed_size),
                .size = le32toh(e->size),
                .data = *at,
        };

        memcpy(p.first_block, e->first_block, sizeof(p.first_block));
        if (p.old >= MODULES_MAX)
                return bad(err, "number of a module out of range");
        if (!is_size(p.old_size, MODULE_SIZE_MAX) || !is_size(p.new_size, MODULE_SIZE_MAX))
                return bad(err, "size of a module out of range");
        if (!is_size(p.packed_size, MODULE_PACKED_MAX))
                return bad(err, "size of a packed module out of range");
        if (!is_size(p.size, p.packed_size))
                return bad(err, "a patch that is empty, or larger than the module");
        if (p.size > (size_t)(end - *at))
                return bad(err, "ends within a patch");
        *at += p.size;
        *ret = p;
        return 0;
}

static int parse_entries(const struct entry *entries, const char *end, struct module_patches *p,
                         struct error *err)
{
        const char *at = (const char *)(entries + p->count);
        int r;

        for (size_t i = 0; i < p->count; i++) {
                r = parse_entry(&entries[i], &at, end, &p->items[i], err);
                if (r < 0)
                        return error_prefix(err, r, "entry %zu", i);
                if (i > 0 && p->items[i].old <= p->items[i - 1].old)
                        return bad(err, "modules out of order");
        }
        return at == end ? 0 : bad(err, "bytes behind the last patch");
}

int module_patches_parse(const void *data, size_t size, struct module_patches *ret,
                         struct error *err)
{
        _cleanup_module_patches_ struct module_patches p = {};
        const struct header *h = data;
        uint32_t count;
        int r;

        if (size < sizeof(*h) || size > MODULE_PATCHES_SIZE_MAX)
                return bad(err, "size out of range");
        r = parse_header(h, &p, err);
        if (r < 0)
                return r;
        count = le32toh(h->count);
        if (count > MODULES_MAX || count > (size - sizeof(*h)) / sizeof(struct entry))
                return bad(err, "number of entries out of range");
        p.items = calloc(MAX(count, 1U), sizeof(*p.items));
        if (!p.items)
                return error_oom(err);
        p.count = count;
        r = parse_entries((const struct entry *)(h + 1), (const char *)data + size, &p, err);
        if (r < 0)
                return r;
        *ret = TAKE_STRUCT(p);
        return 0;
}

void module_patches_done(struct module_patches *p)
{
        free(p->items);
        *p = (struct module_patches){};
}

/* ---- writing ---- */

static void write_header(const struct module_patches *p, struct header *h)
{
        *h = (struct header){
                .version = htole32(VERSION),
                .count = htole32((uint32_t)p->count),
                .preset = htole32(p->xz.preset),
                .check = htole32(p->xz.check),
                .dict_size = htole32(p->xz.dict_size),
                .block_size = htole32(p->xz.block_size),
        };
        memcpy(h->magic, magic, sizeof(magic));
        memcpy(h->old_set, p->old_set.bytes, SHA256_SIZE);
        memcpy(h->new_set, p->new_set.bytes, SHA256_SIZE);
}

static void write_entry(const struct module_patch *p, struct entry *e)
{
        *e = (struct entry){
                .old = htole32(p->old),
                .old_size = htole32(p->old_size),
                .new_size = htole32(p->new_size),
                .packed_size = htole32(p->packed_size),
                .size = htole32(p->size),
        };
        memcpy(e->first_block, p->first_block, sizeof(e->first_block));
}

int module_patches_write(const struct module_patches *p, char **ret, size_t *ret_size,
                         struct error *err)
{
        size_t size = sizeof(struct header) + p->count * sizeof(struct entry);
        _cleanup_module_patches_ struct module_patches again = {};
        _cleanup_free_ char *data = NULL;
        char *at;
        int r;

        for (size_t i = 0; i < p->count; i++)
                size += p->items[i].size;
        data = malloc(size);
        if (!data)
                return error_oom(err);
        write_header(p, (struct header *)data);
        at = data + sizeof(struct header);
        for (size_t i = 0; i < p->count; i++, at += sizeof(struct entry))
                write_entry(&p->items[i], (struct entry *)at);
        for (size_t i = 0; i < p->count; at += p->items[i++].size)
                memcpy(at, p->items[i].data, p->items[i].size);
        /* Nobody publishes what nobody would take. */
        r = module_patches_parse(data, size, &again, err);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(data);
        *ret_size = size;
        return 0;
}

char *module_patches_name(const struct sha256 *old_set, const struct sha256 *new_set, char *ret)
{
        char old[SHA256_HEX_SIZE], new[SHA256_HEX_SIZE];

        snprintf(ret, MODULE_PATCHES_NAME_SIZE, "%s-%s.patches", sha256_hex(old_set, old),
                 sha256_hex(new_set, new));
        return ret;
}
