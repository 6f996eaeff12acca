/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* LUKS2 volumes (libcryptsetup). Only luks-volume.c includes the library. */

#include "config.h"

struct luks_key {
        const char *data;
        size_t size;
};

/* How far a volume that is there has come. */
enum luks_found {
        LUKS_NONE,       /* no LUKS header */
        LUKS_OLD,        /* version 1 */
        LUKS_UNFINISHED, /* made by a provisioning that did not come to its end */
        LUKS_VOLUME,
};

int luks_inspect(const char *node, enum luks_found *ret, struct error *err) _must_check_;
/* Makes a LUKS2 volume, marked as unfinished, with one key. */
int luks_make(const char *node, const struct luks *luks, const struct luks_key *key,
              struct error *err) _must_check_;
/* Whether label and UUID are as wanted and the key opens it; reason in err when not. */
bool luks_is_wanted(const char *node, const struct luks *luks, const struct luks_key *key,
                    struct error *err);
/* Opens it as /dev/mapper/<name>, its flags stored in the volume. */
int luks_open(const char *node, const struct luks *luks, const struct luks_key *key,
              struct error *err) _must_check_;
int luks_uuid(const char *node, char ret[64], struct error *err) _must_check_;
/* Takes a key away again. */
int luks_remove_key(const char *node, const struct luks_key *key, struct error *err) _must_check_;
/* Closes /dev/mapper/<name> when it is open and lies on the node. */
int luks_close(const char *name, const char *node, bool *ret_closed,
               struct error *err) _must_check_;
/* Takes the mark off; nothing when it has none. */
int luks_unmark(const char *node, struct error *err) _must_check_;
