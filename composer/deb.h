/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Reads a Debian package (.deb, format 2), or a tar archive, as a tree. deb.c is the only file that
 * includes libarchive. A package is hostile input: nothing is ever written to a path it names,
 * because it becomes nodes in memory and contents that the caller stores. */

#include "tree.h"

/* More than any package of Debian 13 has by a factor of at least ten. */
enum { DEB_ENTRIES_MAX = 1000 * 1000 };
#define DEB_SIZE_MAX (16 * GIB) /* unpacked bytes of one package */

/* Gives the next bytes of the file being read, at most size; 0 at its end, or a negative errno. */
typedef ssize_t (*deb_read_fn)(void *reader, void *data, size_t size, struct error *err);
/* Stores inode->size bytes and notes in the inode where they are. Only called for regular files
 * that are not empty. Owner, mode and xattrs of the inode are set. */
typedef int (*deb_store_fn)(void *userdata, struct tree_inode *inode, deb_read_fn read,
                            void *reader, struct error *err);

/* Reads the .deb from fd (at its start). The tree has /control (the files of control.tar) and /data
 * (the files of data.tar). ret_newest (may be NULL) is the newest mtime in data.tar, seconds.
 * Messages name the member and the entry: "data.tar.xz: usr/bin/x: …". */
int deb_read(int fd, deb_store_fn store, void *userdata, struct tree **ret, uint64_t *ret_newest,
             struct error *err) _must_check_;

/* The same of a tar archive (name: *.tar, *.tar.gz, *.tar.xz or *.tar.zst), whose root is the
 * tree's, with the same limits. */
int tar_read(int fd, const char *name, deb_store_fn store, void *userdata, struct tree **ret,
             struct error *err) _must_check_;
