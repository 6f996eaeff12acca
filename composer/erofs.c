/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What goes into an EROFS image is collected and checked here, before a byte is written.
 *
 *   block 0           1024 bytes left free, superblock, descriptions of compression
 *   data zone         contents of regular files, in tree order, each from a block of its own on
 *   metadata zone     inodes in tree order, each followed by its xattrs, and by its inline data or
 *                     the map of its compressed contents
 *                     whole blocks of directories and long symlinks, in tree order
 *
 * The data comes first because its size shows only when it is compressed; so contents are written
 * once, where they belong, and a grown zone moves no file. An inode is compact (32 bytes) when its
 * values fit, and then has the image's build time. What lies together with its inode (xattrs, and
 * the inline data of symlinks and directories) never crosses a block when it fits into one: the
 * kernel requires it of inline data, and it makes an inode cost one read. Only metadata is ever
 * inline. Regular files are not, so that a changed byte in one file changes one block of the data
 * zone and none of the metadata: updates fetch by block. An inode's hard links share it; it stands
 * where its first name does. i_ino is the node id. */

#include <assert.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "erofs-internal.h"
#include "io.h"

enum {
        DEVICE_MAJOR_MAX = 0xfff,
        DEVICE_MINOR_MAX = 0xfffff,
        PERMISSIONS = 07777,
        BATCH_SIZE = 1024 * 1024, /* of contents, where pieces are smaller */
        PLAIN_PIECE_SIZE = 64 * 1024,
};

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

const struct erofs_item *erofs_item_find(const struct erofs_image *image,
                                         const struct tree_inode *inode)
{
        const struct erofs_index *found =
                bsearch(inode, image->index, image->n_items, sizeof(*image->index), compare_inode);

        assert(found);
        return &image->items[found->item];
}

/* Makes one item and one index entry for every node. */
static int collect_nodes(struct erofs_image *image, struct error *err)
{
        size_t n = 0;

        TREE_FOREACH (node, image->top)
                n++;
        image->items = calloc(n, sizeof(*image->items));
        image->index = calloc(n, sizeof(*image->index));
        image->files = calloc(n, sizeof(*image->files));
        if (!image->items || !image->index || !image->files)
                return error_oom(err);
        TREE_FOREACH (node, image->top) {
                image->items[image->n_items].node = node;
                image->index[image->n_items] = (struct erofs_index){ node->inode, image->n_items };
                image->n_items++;
        }
        return 0;
}

/* Keeps of each inode the item of its first name, and counts the names there. */
static void merge_links(struct erofs_image *image)
{
        size_t n = image->n_items, kept = 0;

        qsort(image->index, n, sizeof(*image->index), compare_index);
        for (size_t i = 0, names; i < n; i += names) {
                struct erofs_item *first = &image->items[image->index[i].item];

                for (names = 1; i + names < n; names++)
                        if (image->index[i + names].inode != image->index[i].inode)
                                break;
                first->inode = image->index[i].inode;
                first->nlink = (uint32_t)names;
        }
        for (size_t i = 0; i < n; i++)
                if (image->items[i].inode)
                        image->items[kept++] = image->items[i];
        image->n_items = kept;
        for (size_t i = 0; i < kept; i++)
                image->index[i] = (struct erofs_index){ image->items[i].inode, i };
        qsort(image->index, kept, sizeof(*image->index), compare_index);
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

/* A file of one block gains nothing. */
static bool is_compressible(const struct erofs_item *item, const struct erofs_options *o)
{
        return o->codec.kind != CODEC_NONE && S_ISREG(item->inode->mode) &&
               item->size > EROFS_BLOCK_SIZE &&
               !(o->keep_plain && o->keep_plain(item->node, o->userdata));
}

static int measure_items(struct erofs_image *image, struct error *err)
{
        char path[TREE_PATH_MAX];
        int r;

        for (size_t i = 0; i < image->n_items; i++) {
                r = measure_item(&image->items[i], image->build_time, err);
                if (r < 0)
                        return error_prefix(err, r, "%s", tree_path(image->items[i].node, path));
        }
        return 0;
}

/* ---- pieces ---- */

static int too_large(const struct erofs_item *item, struct error *err)
{
        char path[TREE_PATH_MAX];

        return error_set(err, -EFBIG, "%s: EROFS ends at 16 TiB", tree_path(item->node, path));
}

/* Contents, one file after the other, cut into pieces. */
static int cut_pieces(struct erofs_image *image, const struct erofs_options *options,
                      struct error *err)
{
        uint64_t pieces = 0;

        for (size_t i = 0; i < image->n_items; i++) {
                struct erofs_item *item = &image->items[i];

                if (!S_ISREG(item->inode->mode) || item->size == 0)
                        continue;
                item->compress = is_compressible(item, options);
                item->piece = (uint32_t)pieces;
                erofs_kept_find(image, item);
                pieces += DIV_ROUND_UP(item->size, image->piece_size);
                if (item->size > (uint64_t)UINT32_MAX * EROFS_BLOCK_SIZE || pieces > UINT32_MAX)
                        return too_large(item, err);
                image->files[image->n_files++] = item;
        }
        image->n_pieces = (uint32_t)pieces;
        if (options->codec.kind == CODEC_NONE)
                return 0;
        image->piece_blocks = calloc(MAX(pieces, 1ULL), sizeof(*image->piece_blocks));
        return image->piece_blocks ? 0 : error_oom(err);
}

/* Counts the batches that pieces make, and notes their beginnings in `starts` unless it is NULL. */
static size_t make_batches(const struct erofs_image *image, uint32_t *starts)
{
        uint64_t in_batch = BATCH_SIZE;
        uint32_t piece = 0;
        size_t n = 0;

        for (size_t i = 0; i < image->n_files; i++) {
                uint64_t left = image->files[i]->size;

                for (; left > 0; piece++) {
                        uint64_t size = MIN(left, (uint64_t)image->piece_size);
                        uint64_t space = ROUND_UP(size, EROFS_BLOCK_SIZE);

                        if (in_batch + space > BATCH_SIZE) {
                                if (starts)
                                        starts[n] = piece;
                                n++;
                                in_batch = 0;
                        }
                        in_batch += space;
                        left -= size;
                }
        }
        if (starts)
                starts[n] = piece;
        return n;
}

static int cut_batches(struct erofs_image *image, struct error *err)
{
        image->n_batches = make_batches(image, NULL);
        image->batches = calloc(image->n_batches + 1, sizeof(*image->batches));
        if (!image->batches)
                return error_oom(err);
        make_batches(image, image->batches);
        return 0;
}

/* What does not cross a block wastes at most its own size before it. */
static int find_bound(struct erofs_image *image, struct error *err)
{
        uint64_t blocks = 1, bytes = EROFS_SLOT_SIZE;

        for (size_t i = 0; i < image->n_items; i++) {
                const struct erofs_item *item = &image->items[i];
                uint64_t map = item->compress ? erofs_map_size(item) : 0;

                blocks += erofs_item_plain_blocks(item);
                bytes += 2 *
                         ROUND_UP(item->inode_size + item->xattr_size + map + erofs_item_tail(item),
                                  EROFS_SLOT_SIZE);
                if (blocks + DIV_ROUND_UP(bytes, EROFS_BLOCK_SIZE) > UINT32_MAX)
                        return too_large(item, err);
        }
        blocks += DIV_ROUND_UP(bytes, EROFS_BLOCK_SIZE);
        image->bound_blocks = blocks;
        return 0;
}

/* ---- the image ---- */

static int take_options(struct erofs_image *image, const struct erofs_options *options,
                        struct error *err)
{
        size_t length = options->label ? strlen(options->label) : 0;
        bool plain = options->codec.kind == CODEC_NONE;

        if (length >= sizeof(image->label))
                return error_set(err, -EINVAL, "label '%s' is longer than %zu bytes",
                                 options->label, sizeof(image->label) - 1);
        if (!plain && (options->cluster_size < EROFS_CLUSTER_MIN ||
                       options->cluster_size > EROFS_CLUSTER_MAX ||
                       (options->cluster_size & (options->cluster_size - 1)) != 0))
                return error_set(err, -EINVAL,
                                 "a cluster of %u bytes is no power of two from %d to %d",
                                 options->cluster_size, EROFS_CLUSTER_MIN, EROFS_CLUSTER_MAX);
        if (options->label)
                memcpy(image->label, options->label, length);
        if (options->uuid)
                image->uuid = *options->uuid;
        image->build_time = options->build_time;
        image->codec = options->codec;
        image->cache = options->cache;
        image->keep = options->cache && options->keep;
        image->piece_size = plain ? PLAIN_PIECE_SIZE : options->cluster_size;
        return 0;
}

int erofs_image_new(struct tree_node *top, const struct erofs_options *options,
                    struct erofs_image **ret, struct error *err)
{
        _cleanup_(erofs_image_free_p) struct erofs_image *image = calloc(1, sizeof(*image));
        int r;

        if (!image)
                return error_oom(err);
        r = take_options(image, options, err);
        if (r < 0)
                return r;
        image->top = top;
        r = collect_nodes(image, err);
        if (r < 0)
                return r;
        merge_links(image);
        r = measure_items(image, err);
        if (r >= 0)
                r = cut_pieces(image, options, err);
        if (r >= 0)
                r = cut_batches(image, err);
        if (r >= 0)
                r = find_bound(image, err);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(image);
        return 0;
}

void erofs_image_free(struct erofs_image *image)
{
        if (!image)
                return;
        free(image->items);
        free(image->index);
        free(image->files);
        free(image->piece_blocks);
        free(image->batches);
        free(image->zone);
        free(image);
}

uint64_t erofs_image_bound(const struct erofs_image *image)
{
        return image->bound_blocks * EROFS_BLOCK_SIZE;
}

bool erofs_image_is_placed(const struct erofs_image *image)
{
        return image->placed;
}

uint64_t erofs_image_size(const struct erofs_image *image)
{
        return image->end_block * EROFS_BLOCK_SIZE;
}

/* ---- writing ---- */

/* A regular file is made long enough first: its last blocks may be zeros, and are not written. */
static int extend_file(const struct erofs_target *t, uint64_t size, struct error *err)
{
        struct stat st;

        if (fstat(t->fd, &st) < 0)
                return error_errno(err, "image");
        size = t->offset + MIN(size, t->room);
        if (S_ISREG(st.st_mode) && (uint64_t)st.st_size < size && ftruncate(t->fd, (off_t)size) < 0)
                return error_errno(err, "image");
        return 0;
}

static int write_blocks(const struct erofs_target *target, const uint8_t *data, uint64_t blocks,
                        uint64_t block, struct error *err)
{
        _cleanup_free_ struct sha256 *digests = calloc(blocks, sizeof(*digests));

        if (!digests)
                return error_oom(err);
        blocks_hash(data, blocks, digests);
        return erofs_blocks_write(target, data, digests, blocks, block, err);
}

static int write_metadata(struct erofs_image *image, const struct erofs_target *target,
                          struct error *err)
{
        _cleanup_free_ uint8_t *first = aligned_alloc(IO_DIRECT_ALIGN, EROFS_BLOCK_SIZE);
        int r;

        if (!first)
                return error_oom(err);
        memset(first, 0, EROFS_BLOCK_SIZE);
        erofs_superblock_encode(image, first);
        r = write_blocks(target, image->zone, image->zone_blocks, image->zone_block, err);
        if (r >= 0)
                r = write_blocks(target, first, 1, 0, err);
        if (r >= 0 && target->fd >= 0)
                r = extend_file(target, erofs_image_size(image), err);
        return r;
}

int erofs_image_measure(struct erofs_image *image, const struct content_store *store,
                        unsigned threads, struct error *err)
{
        return erofs_data_measure(image, store, threads, err);
}

int erofs_image_write(struct erofs_image *image, const struct content_store *store,
                      const struct erofs_target *target, unsigned threads, struct error *err)
{
        int r;

        assert(target->offset % EROFS_BLOCK_SIZE == 0);
        assert(!target->digests || target->digests->count >= image->bound_blocks);
        assert(!image->cache || target->digests);
        r = erofs_data_write(image, store, target, threads, err);
        if (r >= 0)
                r = erofs_zone_make(image, err);
        if (r >= 0)
                r = write_metadata(image, target, err);
        if (r >= 0 && image->keep)
                r = erofs_kept_add(image, target->digests, err);
        if (r >= 0 && target->digests)
                target->digests->count = image->end_block;
        return r;
}
