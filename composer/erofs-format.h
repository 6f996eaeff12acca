/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* EROFS on disk: the part of the format that Linux 5.4 introduced and every later kernel reads. All
 * numbers are little-endian; names are those of the format's documentation. */

#include <assert.h>
#include <linux/types.h>

#include "macro.h"

enum {
        EROFS_MAGIC = 0xE0F5E1E2U,
        EROFS_SUPER_OFFSET = 1024,
        EROFS_SLOT_SIZE = 32, /* node ids count slots of the metadata zone */
        EROFS_BLOCK_BITS = 12,
        EROFS_FILE_NAME_MAX = 255,
        EROFS_SYMLINK_MAX = 4095, /* the kernel reads targets of less than a page */
        EROFS_LABEL_SIZE = 16,    /* the last byte is NUL */
};

enum erofs_feature_compat {
        EROFS_COMPAT_CHECKSUM = 1 << 0, /* crc32c over the rest of the superblock's block */
        EROFS_COMPAT_MTIME = 1 << 1,    /* times are modification times */
};

struct erofs_superblock {
        __le32 magic, checksum, feature_compat;
        __u8 blkszbits, sb_extslots;
        __le16 root_nid;
        __le64 inos, build_time;
        __le32 build_time_nsec, blocks, meta_blkaddr, xattr_blkaddr;
        __u8 uuid[16];
        __u8 volume_name[EROFS_LABEL_SIZE];
        __le32 feature_incompat;
        __le16 available_compr_algs, extra_devices, devt_slotoff;
        __u8 dirblkbits, xattr_prefix_count;
        __le32 xattr_prefix_start;
        __le64 packed_nid;
        __u8 reserved[24];
} _packed_;
static_assert(sizeof(struct erofs_superblock) == 128, "EROFS superblock");

/* i_format: bit 0 tells extended from compact, bits 1 to 3 hold the data layout. */
enum { EROFS_FORMAT_EXTENDED = 1, EROFS_FORMAT_LAYOUT_SHIFT = 1 };

enum erofs_data_layout {
        EROFS_FLAT_PLAIN = 0,  /* whole blocks from i_blkaddr on */
        EROFS_FLAT_INLINE = 2, /* the same, but the last, partial block follows the inode */
};

struct erofs_inode_compact {
        __le16 i_format, i_xattr_icount, i_mode, i_nlink;
        __le32 i_size, i_reserved;
        __le32 i_u; /* first block, or device number */
        __le32 i_ino;
        __le16 i_uid, i_gid;
        __le32 i_reserved2;
} _packed_;
static_assert(sizeof(struct erofs_inode_compact) == 32, "EROFS compact inode");

struct erofs_inode_extended {
        __le16 i_format, i_xattr_icount, i_mode, i_reserved;
        __le64 i_size;
        __le32 i_u, i_ino, i_uid, i_gid;
        __le64 i_mtime;
        __le32 i_mtime_nsec, i_nlink;
        __u8 i_reserved2[16];
} _packed_;
static_assert(sizeof(struct erofs_inode_extended) == 64, "EROFS extended inode");

/* Behind an inode that has xattrs: this header, then entries, each padded to 4 bytes. The area is
 * sizeof(header) + (i_xattr_icount - 1) * 4 bytes long. */
struct erofs_xattr_header {
        __le32 h_reserved;
        __u8 h_shared_count;
        __u8 h_reserved2[7];
} _packed_;
static_assert(sizeof(struct erofs_xattr_header) == 12, "EROFS xattr header");

struct erofs_xattr_entry {
        __u8 e_name_len, e_name_index;
        __le16 e_value_size;
} _packed_;
static_assert(sizeof(struct erofs_xattr_entry) == 4, "EROFS xattr entry");

enum { EROFS_XATTR_ALIGN = 4, EROFS_XATTR_ICOUNT_MAX = 65535 };

/* A directory block: dirents, then their names without separators. The first nameoff tells the
 * number of dirents; a last name that does not reach the block's end is followed by NUL. */
struct erofs_dirent {
        __le64 nid;
        __le16 nameoff;
        __u8 file_type;
        __u8 reserved;
} _packed_;
static_assert(sizeof(struct erofs_dirent) == 12, "EROFS dirent");

enum erofs_file_type {
        EROFS_FT_REG = 1,
        EROFS_FT_DIR,
        EROFS_FT_CHR,
        EROFS_FT_BLK,
        EROFS_FT_FIFO,
        EROFS_FT_SOCK,
        EROFS_FT_SYMLINK,
};
