/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See import-kept.h. One record (commit-record.c) for each package, in the order of the set. */

#include "derived.h"
#include "import-kept.h"
#include "parallel.h"

enum { ENTRY_MAX = 256 * 1024 * 1024, NAME_SIZE = sizeof("trees.") + SHA256_HEX_SIZE };

struct kept {
        const struct workdir *w;
        struct package_tree *items;
        struct packed_file *records; /* of each item, inside the entry */
};

static int entry_name(const struct package_trees *trees, char ret[NAME_SIZE], struct error *err)
{
        _cleanup_hasher_ struct hasher hasher = {};
        char hex[SHA256_HEX_SIZE];
        struct sha256 digest;
        int r = hasher_init(&hasher, err);

        if (r < 0)
                return r;
        for (size_t i = 0; i < trees->count; i++)
                hasher_update(&hasher, trees->items[i].commit.bytes, SHA256_SIZE);
        r = hasher_final(&hasher, &digest, err);
        snprintf(ret, NAME_SIZE, "trees.%s", sha256_hex(&digest, hex));
        return r;
}

static int load_one(void *context, size_t index, struct error *err)
{
        struct kept *k = context;

        return repo_tree_of_record(k->w->repo, k->records[index].data, k->records[index].size,
                                   &k->items[index].tree, err);
}

static int find_records(struct kept *k, size_t count, const char *entry, size_t size,
                        struct error *err)
{
        const char *at = entry, *end = entry + size;

        for (size_t i = 0; i < count; i++) {
                int r = packed_next(&at, end, &k->records[i], err);

                if (r <= 0)
                        return r < 0 ? r : error_set(err, -EBADMSG, "too few trees");
        }
        return 0;
}

static void forget_trees(struct package_trees *trees)
{
        for (size_t i = 0; i < trees->count; i++) {
                tree_free(trees->items[i].tree);
                trees->items[i].tree = NULL;
        }
}

int package_trees_load_kept(const struct workdir *w, struct package_trees *trees, struct error *err)
{
        _cleanup_free_ struct packed_file *records = calloc(trees->count + 1, sizeof(*records));
        struct kept k = { w, trees->items, records };
        _cleanup_free_ char *entry = NULL;
        struct error ignored = {};
        char name[NAME_SIZE];
        size_t size;
        int r;

        if (!records)
                return error_oom(err);
        r = entry_name(trees, name, err);
        if (r >= 0)
                r = derived_load(w->cache_fd, name, ENTRY_MAX, &entry, &size, err);
        if (r <= 0)
                return r;
        r = find_records(&k, trees->count, entry, size, &ignored);
        if (r >= 0)
                r = parallel_for(trees->count, w->threads, load_one, &k, &ignored);
        if (r >= 0)
                return 1;
        forget_trees(trees); /* the repository itself will tell what is wrong */
        return 0;
}

int package_trees_keep(const struct workdir *w, const struct package_trees *trees,
                       struct error *err)
{
        _cleanup_buffer_ struct buffer entry = {}, record = {};
        char name[NAME_SIZE];
        int r = entry_name(trees, name, err);

        if (r < 0)
                return r;
        for (size_t i = 0; i < trees->count; i++) {
                record.size = 0;
                tree_record(trees->items[i].tree, &record);
                packed_append(&entry, trees->items[i].package->name, record.data, record.size);
        }
        if (record.failed || entry.failed)
                return error_oom(err);
        return derived_keep(w->cache_fd, name, entry.data, entry.size, err);
}
