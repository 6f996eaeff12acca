/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A file on its way into the cache: "<name>.part", locked, growing, then checked and renamed. */

#include "digest.h"

struct part {
        int dir_fd; /* borrowed */
        int fd;     /* -1: not open */
        const char *name;
        uint64_t size;   /* of the complete file */
        uint64_t offset; /* bytes that are there */
        bool resumed;    /* some of them were there before */
        struct hasher hasher;
};

/* Opens and locks the part and reads what is there. -EAGAIN: another process has it; -EEXIST: the
 * complete file is there under its name. */
int part_open(int dir_fd, const char *name, uint64_t size, struct part *ret,
              struct error *err) _must_check_;
/* -EFBIG when more than `size` bytes arrive. */
int part_append(struct part *p, const void *data, size_t size, struct error *err) _must_check_;
/* Back to an empty file. */
int part_restart(struct part *p, struct error *err) _must_check_;
/* Checks the digest and publishes. -EBADMSG: another digest, the part is removed. */
int part_publish(struct part *p, const struct sha256 *want, struct error *err) _must_check_;
/* Closes; the part stays for the next time. */
void part_done(struct part *p);
