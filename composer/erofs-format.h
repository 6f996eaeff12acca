/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* EROFS on disk: the part of the format that Linux 5.4 introduced and every later kernel reads, and
 * compressed files as the kernel's zmap.c reads them (big physical clusters: 5.13, zstd: 6.10). All
 * numbers are little-endian; names are those of the kernel's erofs_fs.h. */

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

/* The kernel refuses an image with a bit that it does not know. */
enum erofs_feature_incompat {
        EROFS_INCOMPAT_ZERO_PADDING = 1 << 0, /* compressed data ends where its last block ends */
        EROFS_INCOMPAT_COMPR_CFGS = 1 << 1,   /* algorithms are described behind the superblock */
        EROFS_INCOMPAT_BIG_PCLUSTER = 1 << 1, /* of several blocks: the same bit */
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
        EROFS_FLAT_PLAIN = 0,         /* whole blocks from i_blkaddr on */
        EROFS_FLAT_INLINE = 2,        /* the same, but the last, partial block follows the inode */
        EROFS_COMPRESSED_COMPACT = 3, /* a map of logical clusters follows the inode */
};

struct erofs_inode_compact {
        __le16 i_format, i_xattr_icount, i_mode, i_nlink;
        __le32 i_size, i_reserved;
        __le32 i_u; /* first block, number of blocks of a compressed file, or device number */
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

/* ---- compressed files ---- */

/* Bits of available_compr_algs, and in map headers: those of the kernel. */
enum erofs_algorithm { EROFS_ALGORITHM_LZ4 = 0, EROFS_ALGORITHM_ZSTD = 3 };

/* Behind the superblock, in the order of the algorithms' bits: the length of what follows, and
 * that. Each starts at a multiple of 4. */
struct erofs_lz4_config {
        __le16 length; /* 14 */
        __le16 max_distance /* 0: 64 KiB */, max_pcluster_blocks;
        __u8 reserved[10];
} _packed_;
static_assert(sizeof(struct erofs_lz4_config) == 16, "EROFS LZ4 configuration");

struct erofs_zstd_config {
        __le16 length;   /* 6 */
        __u8 format;     /* 0: frames with their magic number */
        __u8 window_log; /* less 10 */
        __u8 reserved[4];
} _packed_;
static_assert(sizeof(struct erofs_zstd_config) == 8, "EROFS zstd configuration");

/* The map of a compressed file: this header at the next multiple of 8 behind inode and xattrs, then
 * the packs. A physical cluster (pcluster) is what is compressed as one; the logical clusters
 * (lclusters) are the file's blocks. */
struct erofs_map_header {
        __le32 h_reserved;
        __le16 h_advise;
        __u8 h_algorithmtype; /* enum erofs_algorithm of heads */
        __u8 h_clusterbits;   /* of lclusters, less the block's */
} _packed_;
static_assert(sizeof(struct erofs_map_header) == 8, "EROFS map header");

enum erofs_advise {
        EROFS_ADVISE_COMPACTED_2B = 1 << 0,
        EROFS_ADVISE_BIG_PCLUSTER_1 = 1 << 1,
        EROFS_ADVISE_BIG_PCLUSTER_2 = 1 << 2, /* must be like the first */
};

enum erofs_lcluster_type {
        EROFS_LCLUSTER_PLAIN = 0,   /* begins a pcluster of one block, not compressed */
        EROFS_LCLUSTER_HEAD = 1,    /* begins a compressed one */
        EROFS_LCLUSTER_NONHEAD = 2, /* goes on */
};

/* Entries have EROFS_LCLUSTER_LOW_BITS bits of their own, then the type in two bits: of a head,
 * where in the lcluster it begins; of the first one behind a head, this flag and the pcluster's
 * blocks; of others the distance to their head, or, of the last one in a pack, to the next head.
 *
 * A pack ends with a block address: that of its first head, less the blocks of a pcluster whose
 * count the pack begins with. Packs of 2 entries in 8 bytes stand where one of 16 entries in 32
 * bytes would not be aligned or not be full. */
enum {
        EROFS_LCLUSTER_LOW_BITS = 12,
        EROFS_LCLUSTER_BLOCK_COUNT = 1 << 11,
        EROFS_PACK_SMALL = 2,
        EROFS_PACK_SMALL_SIZE = 8,
        EROFS_PACK_LARGE = 16,
        EROFS_PACK_LARGE_SIZE = 32,
};
