/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the initrd asks before ROOT is mounted: is there a ROOT, and was this machine provisioned?
 * ROOT is the partition labelled "root" on the disk that carries the running /usr. */

#include <sys/types.h>

#include "error.h"

/* A file system that ROOT may have, and how it is told. */
struct root_format {
        const char *name; /* of the type, and of its module */
        uint64_t offset;
        const char *magic;
        uint64_t unfinished; /* offset of a byte that is not 0 while mkfs runs; 0: there is none */
};

enum { ROOT_NAME_MAX = 64 };

/* Name of ROOT in /dev. usr: the device of the file system /usr. false: there is no ROOT. */
bool boot_find_root(const char *sysfs, dev_t usr, char ret[static ROOT_NAME_MAX]);
/* NULL: nothing, or nothing finished. */
const struct root_format *boot_root_format(int fd);

enum boot_state {
        BOOT_PROVISIONED,
        BOOT_FIRST,     /* or asked for by the kernel argument ignition.firstboot */
        BOOT_CAPTURED,  /* the same, and ROOT is another machine's */
        BOOT_UNDECIDED, /* ROOT cannot be read before it was checked */
};

/* Looks at the kernel command line, then for the stamp in ROOT, which is mounted at `where` and
 * where only this process sees it. */
enum boot_state boot_find_state(const char *usr, const char *where, struct error *err);

/* boot-image.c: the image's programs, modules and rules for provisioning. image: its /usr, which is
 * laid over ours. */
int boot_use_image(const char *image, struct error *err) _must_check_;
int boot_leave_image(struct error *err) _must_check_;
/* Network devices and interfaces, for the image's drivers and rules, until udev is done. */
void boot_announce_network(void);
/* Provisioning is complete: told to whoever waits for it. */
void boot_report(const char *root);

/* boot-stamp.c: the stamp in an open ROOT, and what makes a machine the one it is. system_fd: the
 * running system's root; when writing, -1 where machines have no id of their own. */
enum boot_state boot_read_stamp(int root_fd, int system_fd);
int boot_write_stamp(int root_fd, int system_fd, struct error *err) _must_check_;
/* Removes what a machine has for itself alone: the next start makes it anew. */
int boot_forget_machine(int root_fd, struct error *err) _must_check_;
