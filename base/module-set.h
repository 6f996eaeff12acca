/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The kernel modules of a release: all *.ko.xz below /usr/lib/modules, sorted by path. Its digest
 * is that of the list as sha256sum prints it ("<hex digits>  <path>\n" a line), of files as they
 * are, compressed; so equal sets have equal bytes in equal places. */

#include "digest.h"

#define MODULE_DIRECTORY "/usr/lib/modules"
#define MODULE_SUFFIX    ".ko.xz"

enum {
        MODULES_MAX = 16384, /* Debian's kernels have up to 4500 */
        MODULE_PATH_MAX = 255,
        MODULE_SIZE_MAX = 12 * 1024 * 1024, /* unpacked; graphics drivers may have more */
};

struct module {
        char *path; /* below MODULE_DIRECTORY: "6.12.118/kernel/fs/xfs/xfs.ko.xz" */
        struct sha256 digest;
};

struct module_set {
        struct module *items;
        size_t count, capacity;
        struct sha256 digest; /* after module_set_close() */
};

/* A file of that name belongs to the set. */
bool module_is(const char *name);
/* -E2BIG: too many, or too long a path. */
int module_set_add(struct module_set *s, const char *path, const struct sha256 *digest,
                   struct error *err) _must_check_;
/* Sorts, and computes the digest. */
int module_set_close(struct module_set *s, struct error *err) _must_check_;
void module_set_done(struct module_set *s);
#define _cleanup_module_set_ _cleanup_(module_set_done)

/* All of a directory like MODULE_DIRECTORY. An absent one has none. */
int module_set_load(int dir_fd, const char *path, struct module_set *ret,
                    struct error *err) _must_check_;
