/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A directory's entries. "." and ".." are entries like others and stand where bytewise order puts
 * them, so the tree's sorted children are merged with these two. Entries fill blocks in order; a
 * block is full when dirent and name of the next do not fit. Sizing and writing are the same walk
 * over the same cursor, so they cannot disagree. */

#include <endian.h>

#include "erofs-internal.h"

/* Walks the entries in order. */
struct cursor {
        const struct tree_node *directory;
        size_t child;  /* next one of directory->children */
        unsigned dots; /* of "." and "..", how many are done */
};

struct entry {
        const char *name;
        size_t length;
        const struct tree_node *node;
};

static bool cursor_next(struct cursor *c, struct entry *ret)
{
        static const char *const dots[] = { ".", ".." };
        const struct tree_node *d = c->directory, *child = NULL;

        if (c->child < d->n_children)
                child = d->children[c->child];
        if (c->dots < ARRAY_SIZE(dots) && (!child || strcmp(dots[c->dots], child->name) < 0)) {
                *ret = (struct entry){ .name = dots[c->dots], .node = d };
                if (c->dots++ == 1 && d->parent)
                        ret->node = d->parent;
        } else if (child) {
                *ret = (struct entry){ .name = child->name, .node = child };
                c->child++;
        } else {
                return false;
        }
        ret->length = strlen(ret->name);
        return true;
}

/* The entries that go into the next block: how many, and the bytes they take. */
static size_t block_fill(struct cursor *c, size_t *ret_used)
{
        size_t n = 0, used = 0;

        for (;;) {
                struct cursor before = *c;
                struct entry e;

                if (!cursor_next(c, &e))
                        break;
                if (used + sizeof(struct erofs_dirent) + e.length > EROFS_BLOCK_SIZE) {
                        *c = before;
                        break;
                }
                used += sizeof(struct erofs_dirent) + e.length;
                n++;
        }
        *ret_used = used;
        return n;
}

static int check_name(const struct tree_node *node, struct error *err)
{
        size_t length = strlen(node->name);

        if (length > EROFS_FILE_NAME_MAX)
                return error_set(err, -ENAMETOOLONG, "name '%.32s…' is longer than %d bytes",
                                 node->name, EROFS_FILE_NAME_MAX);
        if (length == 0 || strchr(node->name, '/') || streq(node->name, ".") ||
            streq(node->name, ".."))
                return error_set(err, -EINVAL, "'%s' is not a file name", node->name);
        return 0;
}

int erofs_directory_size(const struct tree_node *directory, uint64_t *ret, struct error *err)
{
        struct cursor c = { .directory = directory };
        uint64_t size = 0;
        size_t used;
        int r;

        for (size_t i = 0; i < directory->n_children; i++) {
                r = check_name(directory->children[i], err);
                if (r < 0)
                        return r;
        }
        while (block_fill(&c, &used) > 0)
                size = ROUND_UP(size, EROFS_BLOCK_SIZE) + used;
        *ret = size;
        return 0;
}

uint8_t erofs_file_type(mode_t mode)
{
        static const uint8_t types[] = {
                [S_IFREG >> 12] = EROFS_FT_REG,     [S_IFDIR >> 12] = EROFS_FT_DIR,
                [S_IFCHR >> 12] = EROFS_FT_CHR,     [S_IFBLK >> 12] = EROFS_FT_BLK,
                [S_IFIFO >> 12] = EROFS_FT_FIFO,    [S_IFSOCK >> 12] = EROFS_FT_SOCK,
                [S_IFLNK >> 12] = EROFS_FT_SYMLINK,
        };
        size_t i = (mode & S_IFMT) >> 12;

        return i < ARRAY_SIZE(types) ? types[i] : 0;
}

/* Writes n entries from the cursor on into one block. */
static void block_encode(const struct erofs_image *image, struct cursor *c, size_t n,
                         uint8_t *block)
{
        size_t name_offset = n * sizeof(struct erofs_dirent);

        for (size_t i = 0; i < n; i++) {
                struct erofs_dirent dirent;
                struct entry e = {};

                cursor_next(c, &e); /* there are n: block_fill() counted them */
                if (e.node == image->top->parent)
                        e.node = image->top; /* ".." of the root is the root */
                dirent = (struct erofs_dirent){
                        .nid = htole64(erofs_item_nid(erofs_item_find(image, e.node->inode))),
                        .nameoff = htole16((uint16_t)name_offset),
                        .file_type = erofs_file_type(e.node->inode->mode),
                };
                memcpy(block + i * sizeof(dirent), &dirent, sizeof(dirent));
                memcpy(block + name_offset, e.name, e.length);
                name_offset += e.length;
        }
}

void erofs_directory_encode(const struct erofs_image *image, const struct erofs_item *item,
                            uint8_t *blocks, uint8_t *tail)
{
        struct cursor sizing = { .directory = item->node }, writing = sizing;
        uint64_t n_blocks = erofs_item_plain_blocks(item);
        size_t n, used;

        for (uint64_t i = 0; (n = block_fill(&sizing, &used)) > 0; i++)
                block_encode(image, &writing, n,
                             i < n_blocks ? blocks + i * EROFS_BLOCK_SIZE : tail);
}
