/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The machine as an update finds it: what runs, the slots of its disk, the boot entries. With other
 * places than the machine's own it is a disk image and directories, which takes no privileges. */

#include "entries.h"
#include "slot.h"

#define STATE_DIRECTORY "/var/lib/slipway"

/* Where things are; what is NULL is the machine's own. */
struct host_places {
        const char *root;         /* prefix of configuration, state and os-release */
        const char *disk;         /* device or image */
        const char *esp;          /* directory */
        const char *command_line; /* file */
};

/* os-release of what runs. */
struct host_release {
        char *image, *version; /* IMAGE_ID, IMAGE_VERSION */
        char *version_id;      /* VERSION_ID; "" */
        char *sysext_level;    /* SYSEXT_LEVEL; NULL: none */
        uint64_t timestamp;    /* SLIPWAY_TIMESTAMP; 0: it does not say */
};

int host_release_parse(const char *text, struct host_release *ret, struct error *err) _must_check_;
void host_release_done(struct host_release *r);

struct host {
        struct host_places places; /* borrowed */
        struct host_release release;
        struct sha256 root_hash; /* of the running /usr */
        char *disk;
        struct slots slots;
        const struct slot *running, *idle; /* among the slots; NULL: there is none such */
        int esp_fd;                        /* -1: not looked at, or not there */
        struct entries entries;
};
#define HOST_NULL                                                                                  \
        {                                                                                          \
                .esp_fd = -1                                                                       \
        }

/* Command line, disk and slots. */
int host_load(const struct host_places *places, struct host *ret, struct error *err) _must_check_;
/* os-release, which an update needs. -ENODATA: it does not say which image this is. */
int host_load_release(struct host *h, struct error *err) _must_check_;
/* The ESP and its entries; again, to see what changed. */
int host_load_entries(struct host *h, struct error *err) _must_check_;
void host_done(struct host *h);

/* "amd64": Debian's name of what this program was made for. */
const char *host_architecture(void);
/* A path below the root. NULL: out of memory. */
char *host_path(const struct host_places *places, const char *path) _must_check_;
