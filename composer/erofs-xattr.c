/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Extended attributes of an EROFS inode: all of them follow their inode, in the tree's order. The
 * format could share equal ones between inodes; container hosts carry a handful of capabilities, so
 * sharing would save nothing and couple distant parts of the metadata. */

#include <endian.h>

#include "erofs-internal.h"

static const struct {
        const char *prefix;
        __u8 index;
        bool whole; /* the prefix is the entire name */
} namespaces[] = {
        { "user.", 1, false },
        { "system.posix_acl_access", 2, true },
        { "system.posix_acl_default", 3, true },
        { "trusted.", 4, false },
        { "security.", 6, false },
};

enum { XATTR_NAME_LENGTH_MAX = 255 /* the kernel's, with prefix */ };

/* The part of the name that is stored, and its namespace; NULL when EROFS has none for it. */
static const char *split_name(const char *name, __u8 *ret_index)
{
        for (size_t i = 0; i < ARRAY_SIZE(namespaces); i++) {
                const char *rest = startswith(name, namespaces[i].prefix);

                if (!rest || namespaces[i].whole != (*rest == '\0'))
                        continue;
                *ret_index = namespaces[i].index;
                return rest;
        }
        return NULL;
}

static uint64_t entry_size(const struct tree_xattr *x, const char *rest)
{
        return ROUND_UP(sizeof(struct erofs_xattr_entry) + strlen(rest) + x->size,
                        EROFS_XATTR_ALIGN);
}

int erofs_xattr_size(const struct tree_inode *inode, uint32_t *ret, struct error *err)
{
        uint64_t size = sizeof(struct erofs_xattr_header);
        const uint64_t limit = size + (EROFS_XATTR_ICOUNT_MAX - 1) * EROFS_XATTR_ALIGN;

        for (size_t i = 0; i < inode->n_xattrs; i++) {
                const struct tree_xattr *x = &inode->xattrs[i];
                const char *rest;
                __u8 index;

                if (strlen(x->name) > XATTR_NAME_LENGTH_MAX)
                        return error_set(err, -ENAMETOOLONG,
                                         "xattr '%.32s…': name longer than %d bytes", x->name,
                                         XATTR_NAME_LENGTH_MAX);
                rest = split_name(x->name, &index);
                if (!rest)
                        return error_set(err, -EOPNOTSUPP, "xattr '%s': EROFS cannot hold it",
                                         x->name);
                if (x->size > TREE_XATTR_VALUE_MAX)
                        return error_set(err, -E2BIG, "xattr '%s': value larger than %d bytes",
                                         x->name, TREE_XATTR_VALUE_MAX);
                size += entry_size(x, rest);
                if (size > limit)
                        return error_set(err, -E2BIG, "xattrs: more than %llu bytes together",
                                         (unsigned long long)limit);
        }
        *ret = inode->n_xattrs > 0 ? (uint32_t)size : 0;
        return 0;
}

void erofs_xattr_encode(const struct tree_inode *inode, uint8_t *area)
{
        area += sizeof(struct erofs_xattr_header); /* all zeros: nothing shared, no filter */
        for (size_t i = 0; i < inode->n_xattrs; i++) {
                const struct tree_xattr *x = &inode->xattrs[i];
                struct erofs_xattr_entry entry = { .e_value_size = htole16((uint16_t)x->size) };
                const char *rest = split_name(x->name, &entry.e_name_index);
                size_t length = strlen(rest);

                entry.e_name_len = (__u8)length;
                memcpy(area, &entry, sizeof(entry));
                memcpy(area + sizeof(entry), rest, length);
                if (x->size > 0)
                        memcpy(area + sizeof(entry) + length, x->value, x->size);
                area += entry_size(x, rest);
        }
}
