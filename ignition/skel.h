/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What every new home begins with (/etc/skel): read once, written for each user. */

#include "root.h"

struct home;

struct skel_entry {
        char *name;
        mode_t mode;
        char *content; /* of a file; target of a symlink */
        size_t size;
        bool mapped;
        struct skel_entry *entries; /* of a directory */
        size_t count, capacity;
};

struct skel {
        char *path; /* resolved; NULL: not read */
        struct skel_entry top;
};

/* There need be none. */
int skel_read(const struct root *root, const char *path, struct skel *ret,
              struct error *err) _must_check_;
void skel_done(struct skel *skel);
/* Into an open directory, for the home's owner. */
int skel_write(const struct skel *skel, int dir_fd, const struct home *home,
               struct error *err) _must_check_;
