/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Files: reading with a limit, writing completely, and publishing atomically. Paths are relative to
 * a directory fd (AT_FDCWD allowed). All fds are O_CLOEXEC. */

#include <sys/stat.h>

#include "error.h"

/* Reads until size bytes or end of file; *ret_size (may be NULL) says how many. Retries EINTR. */
int io_read(int fd, void *data, size_t size, size_t *ret_size, struct error *err) _must_check_;
int io_pread(int fd, void *data, size_t size, uint64_t offset, size_t *ret_size,
             struct error *err) _must_check_;
/* Writes everything or fails. */
int io_write(int fd, const void *data, size_t size, struct error *err) _must_check_;
int io_pwrite(int fd, const void *data, size_t size, uint64_t offset,
              struct error *err) _must_check_;
/* Has the kernel begin to write all that was written to the file to the disk, for the fsync that
 * comes later; it need not. */
void io_sync_ahead(int fd);
/* A second descriptor of an open file, for large data that nobody reads again soon: it passes by
 * the page cache where the file system can do that, else it is like the first. Memory, sizes and
 * offsets must be multiples of IO_DIRECT_ALIGN. */
enum { IO_DIRECT_ALIGN = 4096 };
int io_reopen_direct(int fd, struct error *err) _must_check_;
/* Copies size bytes between two files by the kernel's fastest way (reflink, copy_file_range,
 * buffer); holes of the source stay holes when the target range is one. -ENODATA when the source
 * ends early. */
int io_copy(int in, uint64_t in_offset, int out, uint64_t out_offset, uint64_t size,
            struct error *err) _must_check_;

/* Reads a whole regular file of at most limit bytes (-EFBIG beyond) into *ret, NUL-terminated. The
 * message names the path. */
int file_read(int dir_fd, const char *path, size_t limit, char **ret, size_t *ret_size,
              struct error *err) _must_check_;
/* Writes a small file atomically and durably (temporary file, fsync, rename). */
int file_write(int dir_fd, const char *path, const void *data, size_t size, mode_t mode,
               struct error *err) _must_check_;

/* mkdir -p with the given mode for missing components. */
int path_mkdirs(int dir_fd, const char *path, mode_t mode, struct error *err) _must_check_;
/* mkdir -p, then opens the directory (O_PATH is not used). Returns the fd. */
int path_open_dir(int dir_fd, const char *path, mode_t mode, struct error *err) _must_check_;
/* rm -rf; a missing path is fine. Never follows symlinks. */
int path_remove_tree(int dir_fd, const char *path, struct error *err) _must_check_;
/* Reads a symlink of any length into *ret. */
int path_readlink(int dir_fd, const char *path, char **ret, struct error *err) _must_check_;

/* A file being written that nobody sees under its name before publish. */
struct draft {
        int dir_fd; /* borrowed */
        int fd;     /* open for reading and writing; -1 when not in use */
        char *name; /* final name */
        char *temp; /* temporary name, same directory */
        uid_t uid;  /* what it has got now */
        gid_t gid;
        mode_t mode;
};
#define DRAFT_NULL                                                                                 \
        {                                                                                          \
                .dir_fd = -1, .fd = -1                                                             \
        }

/* Creates "<dir>/.<name>.XXXXXX" with the given mode (umask ignored). */
int draft_open(struct draft *d, int dir_fd, const char *name, mode_t mode,
               struct error *err) _must_check_;
/* Gives the draft an owner and a mode. */
int draft_own(struct draft *d, uid_t uid, gid_t gid, mode_t mode, struct error *err) _must_check_;
/* fsync, rename over the final name, fsync the directory. The fd stays open until draft_done(). */
int draft_publish(struct draft *d, struct error *err) _must_check_;
/* The name alone, for those who sync everything at their end. */
int draft_name(struct draft *d, struct error *err) _must_check_;
/* Unlinks the temporary file when it was not published; closes the fd. */
void draft_done(struct draft *d);
/* Unlinks drafts in the directory whose writers are no more. */
void drafts_sweep(int dir_fd);
#define _cleanup_draft_ _cleanup_(draft_done)
