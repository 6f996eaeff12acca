/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The layout of an EROFS image: everything is checked and placed here, before a byte is written.
 *
 *   block 0           1024 bytes left free, superblock, first inodes
 *   metadata zone     inodes in tree order, each followed by its xattrs and inline data
 *                     whole blocks of directories, in tree order
 *   data zone         contents of regular files, in tree order, each from a block of its own on
 *
 * An inode is compact (32 bytes) when its values fit, and then has the image's build time. What
 * lies together with its inode (xattrs, and the inline data of symlinks and directories) never
 * crosses a block when it fits into one: the kernel requires it of inline data, and it makes an
 * inode cost one read. Only metadata is ever inline. Regular files are not, so that a changed byte
 * in one file changes one block of the data zone and none of the metadata: updates fetch by block.
 * An inode's hard links share it; it stands where its first name does. i_ino counts inodes in tree
 * order. */

#include <sys/sysmacros.h>

#include "erofs-plan.h"

enum { DEVICE_MAJOR_MAX = 0xfff, DEVICE_MINOR_MAX = 0xfffff, PERMISSIONS = 07777 };

/* ---- inodes of the tree ---- */

static int compare_addresses(const struct tree_inode *a, const struct tree_inode *b)
{
        return ((uintptr_t)a > (uintptr_t)b) - ((uintptr_t)a < (uintptr_t)b);
}

static int compare_index(const void *a, const void *b)
{
        const struct erofs_index *x = a, *y = b;

        return compare_addresses(x->inode, y->inode) ?: (x->item > y->item) - (x->item < y->item);
}

static int compare_inode(const void *key, const void *entry)
{
        return compare_addresses(key, ((const struct erofs_index *)entry)->inode);
}

const struct erofs_item *erofs_plan_find(const struct erofs_plan *plan,
                                         const struct tree_inode *inode)
{
        const struct erofs_index *found =
                bsearch(inode, plan->index, plan->n_items, sizeof(*plan->index), compare_inode);

        assert(found);
        return &plan->items[found->item];
}

/* Makes one item and one index entry for every node. */
static int collect_nodes(struct erofs_plan *plan, struct error *err)
{
        size_t n = 0;

        TREE_FOREACH (node, plan->top)
                n++;
        plan->items = calloc(n, sizeof(*plan->items));
        plan->index = calloc(n, sizeof(*plan->index));
        plan->files = calloc(n, sizeof(*plan->files));
        if (!plan->items || !plan->index || !plan->files)
                return error_oom(err);
        TREE_FOREACH (node, plan->top) {
                plan->items[plan->n_items].node = node;
                plan->index[plan->n_items] = (struct erofs_index){ node->inode, plan->n_items };
                plan->n_items++;
        }
        return 0;
}

/* Keeps of each inode the item of its first name, and counts the names there. */
static void merge_links(struct erofs_plan *plan)
{
        size_t n = plan->n_items, kept = 0;

        qsort(plan->index, n, sizeof(*plan->index), compare_index);
        for (size_t i = 0, names; i < n; i += names) {
                struct erofs_item *first = &plan->items[plan->index[i].item];

                for (names = 1; i + names < n; names++)
                        if (plan->index[i + names].inode != plan->index[i].inode)
                                break;
                first->inode = plan->index[i].inode;
                first->nlink = (uint32_t)names;
        }
        for (size_t i = 0; i < n; i++)
                if (plan->items[i].inode)
                        plan->items[kept++] = plan->items[i];
        plan->n_items = kept;
        for (size_t i = 0; i < kept; i++)
                plan->index[i] = (struct erofs_index){ plan->items[i].inode, i };
        qsort(plan->index, kept, sizeof(*plan->index), compare_index);
}

/* ---- checks, and the size of each inode ---- */

static int check_device(const struct tree_inode *inode, struct error *err)
{
        if (major(inode->rdev) > DEVICE_MAJOR_MAX || minor(inode->rdev) > DEVICE_MINOR_MAX)
                return error_set(err, -ERANGE, "device %u:%u is out of Linux's range",
                                 major(inode->rdev), minor(inode->rdev));
        return 0;
}

static int measure_symlink(struct erofs_item *item, struct error *err)
{
        item->size = item->inode->target ? strlen(item->inode->target) : 0;
        if (item->size == 0)
                return error_set(err, -EINVAL, "symlink without a target");
        if (item->size > EROFS_SYMLINK_MAX)
                return error_set(err, -ENAMETOOLONG, "symlink target longer than %d bytes",
                                 EROFS_SYMLINK_MAX);
        return 0;
}

/* A directory's link count is its own "." and "..", and ".." of those below. */
static int measure_directory(struct erofs_item *item, struct error *err)
{
        const struct tree_node *node = item->node;

        item->nlink = 2;
        for (size_t i = 0; i < node->n_children; i++)
                item->nlink += S_ISDIR(node->children[i]->inode->mode);
        return erofs_directory_size(node, &item->size, err);
}

static int measure_by_type(struct erofs_item *item, struct error *err)
{
        const struct tree_inode *inode = item->inode;

        switch (inode->mode & ~(mode_t)PERMISSIONS) {
        case S_IFREG:
                item->size = inode->size;
                if (item->size > 0 && inode->kind == CONTENT_NONE)
                        return error_set(err, -EINVAL, "a size, but no content");
                return 0;
        case S_IFDIR: return measure_directory(item, err);
        case S_IFLNK: return measure_symlink(item, err);
        case S_IFCHR:
        case S_IFBLK: return check_device(inode, err);
        case S_IFIFO:
        case S_IFSOCK: return 0;
        default: return error_set(err, -EINVAL, "mode %o has no known file type", inode->mode);
        }
}

static bool needs_extended(const struct erofs_item *item, uint64_t build_time)
{
        const struct tree_inode *inode = item->inode;

        return inode->uid > UINT16_MAX || inode->gid > UINT16_MAX || item->nlink > UINT16_MAX ||
               item->size > UINT32_MAX || (inode->mtime != 0 && inode->mtime != build_time);
}

/* Directories and symlinks end inline, unless nothing is left over or it does not fit. */
static uint8_t choose_layout(const struct erofs_item *item)
{
        uint64_t tail = item->size % EROFS_BLOCK_SIZE;
        mode_t type = item->inode->mode & S_IFMT;

        if (tail == 0 || (type != S_IFDIR && type != S_IFLNK))
                return EROFS_FLAT_PLAIN;
        return item->inode_size + item->xattr_size + tail <= EROFS_BLOCK_SIZE ? EROFS_FLAT_INLINE
                                                                              : EROFS_FLAT_PLAIN;
}

static int measure_item(struct erofs_item *item, uint64_t build_time, struct error *err)
{
        uint32_t names = item->nlink;
        int r;

        if (names != item->inode->references)
                return error_set(err, -EMLINK, "has %u links, but %u names in the tree",
                                 item->inode->references, names);
        if (names > 1 && S_ISDIR(item->inode->mode))
                return error_set(err, -EMLINK, "a directory with %u names", names);
        r = measure_by_type(item, err);
        if (r < 0)
                return r;
        r = erofs_xattr_size(item->inode, &item->xattr_size, err);
        if (r < 0)
                return r;
        item->inode_size = needs_extended(item, build_time) ? sizeof(struct erofs_inode_extended)
                                                            : sizeof(struct erofs_inode_compact);
        item->layout = choose_layout(item);
        return 0;
}

static int measure_items(struct erofs_plan *plan, struct error *err)
{
        char path[TREE_PATH_MAX];
        int r;

        for (size_t i = 0; i < plan->n_items; i++) {
                r = measure_item(&plan->items[i], plan->build_time, err);
                if (r < 0)
                        return error_prefix(err, r, "%s", tree_path(plan->items[i].node, path));
        }
        return 0;
}

/* ---- placement ---- */

static void place_inodes(struct erofs_plan *plan)
{
        uint64_t position = EROFS_SUPER_OFFSET + sizeof(struct erofs_superblock);

        for (size_t i = 0; i < plan->n_items; i++) {
                struct erofs_item *item = &plan->items[i];
                uint64_t size = item->inode_size + item->xattr_size + erofs_item_tail(item);

                position = ROUND_UP(position, EROFS_SLOT_SIZE);
                if (size <= EROFS_BLOCK_SIZE &&
                    position % EROFS_BLOCK_SIZE + size > EROFS_BLOCK_SIZE)
                        position = ROUND_UP(position, EROFS_BLOCK_SIZE);
                item->position = position;
                position += size;
        }
        plan->inodes_end = position;
}

/* Gives blocks to all regular files, or to everything else. */
static int place_blocks(struct erofs_plan *plan, bool regular, uint64_t *block, struct error *err)
{
        char path[TREE_PATH_MAX];

        for (size_t i = 0; i < plan->n_items; i++) {
                struct erofs_item *item = &plan->items[i];
                uint64_t n = erofs_item_blocks(item);

                if (n == 0 || S_ISREG(item->inode->mode) != regular)
                        continue;
                if (n > UINT32_MAX || *block + n > UINT32_MAX)
                        return error_set(err, -EFBIG, "%s: EROFS ends at 16 TiB",
                                         tree_path(item->node, path));
                item->block = (uint32_t)*block;
                *block += n;
                if (regular)
                        plan->files[plan->n_files++] = item;
        }
        return 0;
}

static int place_items(struct erofs_plan *plan, struct error *err)
{
        uint64_t block;
        int r;

        place_inodes(plan);
        block = DIV_ROUND_UP(plan->inodes_end, EROFS_BLOCK_SIZE);
        r = place_blocks(plan, false, &block, err);
        if (r < 0)
                return r;
        plan->data_block = block;
        r = place_blocks(plan, true, &block, err);
        if (r < 0)
                return r;
        plan->end_block = block;
        return 0;
}

/* ---- the plan ---- */

static int take_options(struct erofs_plan *plan, const struct erofs_options *options,
                        struct error *err)
{
        size_t length = options->label ? strlen(options->label) : 0;

        if (length >= sizeof(plan->label))
                return error_set(err, -EINVAL, "label '%s' is longer than %zu bytes",
                                 options->label, sizeof(plan->label) - 1);
        if (options->label)
                memcpy(plan->label, options->label, length);
        if (options->uuid)
                plan->uuid = *options->uuid;
        plan->build_time = options->build_time;
        return 0;
}

int erofs_plan_new(struct tree_node *top, const struct erofs_options *options,
                   struct erofs_plan **ret, struct error *err)
{
        _cleanup_(erofs_plan_free_p) struct erofs_plan *plan = calloc(1, sizeof(*plan));
        int r;

        if (!plan)
                return error_oom(err);
        r = take_options(plan, options, err);
        if (r < 0)
                return r;
        plan->top = top;
        r = collect_nodes(plan, err);
        if (r < 0)
                return r;
        merge_links(plan);
        r = measure_items(plan, err);
        if (r < 0)
                return r;
        r = place_items(plan, err);
        if (r >= 0)
                r = erofs_zone_encode(plan, err);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(plan);
        return 0;
}

void erofs_plan_free(struct erofs_plan *plan)
{
        if (!plan)
                return;
        free(plan->items);
        free(plan->index);
        free(plan->files);
        free(plan->zone);
        free(plan);
}

uint64_t erofs_plan_size(const struct erofs_plan *plan)
{
        return plan->end_block * EROFS_BLOCK_SIZE;
}
