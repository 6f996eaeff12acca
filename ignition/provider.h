/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What providers share: waiting that ends, volumes, and encodings of user data. */

#include "agent.h"
#include "clock.h"

/* Waits for something with growing pauses, says so in the log now and then, and gives up. */
struct patience {
        const char *what; /* for people */
        uint64_t deadline, pause_ms, next_line;
};

/* For at most so long (0: --fetch-timeout), and never beyond the stage's deadline. */
struct patience patience_for(const struct agent *a, const char *what, uint64_t ms);
/* One pause; -ETIMEDOUT when the time is over. */
int patience_wait(struct agent *a, struct patience *p, struct error *err) _must_check_;
/* Until a path exists. */
int patience_path(struct agent *a, const char *path, uint64_t ms, struct error *err) _must_check_;

/* A file system, mounted read-only for a moment, somewhere nobody looks. */
struct volume {
        char dir[sizeof("/run/ignition-device-XXXXXX")];
        struct root root;
        bool mounted;
};
#define VOLUME_NULL                                                                                \
        {                                                                                          \
                .root.fd = -1                                                                      \
        }

int volume_open(struct volume *v, const char *device, struct error *err) _must_check_;
/* A file of at most CONFIG_SIZE_MAX bytes; PROVIDER_NONE: there is none. */
int volume_read(const struct volume *v, const char *path, char **ret, size_t *ret_size,
                struct error *err) _must_check_;
void volume_done(struct volume *v);
#define _cleanup_volume_ _cleanup_(volume_done)

/* Replaces the text by what it stands for. */
int config_text_unbase64(struct config_text *t, struct error *err) _must_check_;
int config_text_gunzip(struct config_text *t, struct error *err) _must_check_;
/* Drops NUL bytes at the end: the padding of devices. */
void config_text_strip(struct config_text *t);

/* The tables of platforms that differ in an address or a label only; NULL: not in it. */
const struct provider *metadata_find(const char *platform);
const struct provider *drive_find(const char *platform);

/* platform-dmi.c: the platform that a directory like /sys/class/dmi/id speaks of; NULL: none. */
const char *platform_from_dmi(const char *directory);
