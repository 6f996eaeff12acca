/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The keys that releases may be signed with: every *.ed25519 file in the directories of the
 * configuration, one key a line, '#' begins a comment; less those that were revoked. */

#include "ed25519.h"
#include "strv.h"

enum { KEYRING_KEYS_MAX = 64, KEYRING_FILE_MAX = 16 * 1024 };

struct keyring {
        struct ed25519_public keys[KEYRING_KEYS_MAX];
        size_t count;
};

/* -ENOKEY when none is left. root: prefix of all paths, or NULL. */
int keyring_load(const char *root, char **directories, char **revoked, struct keyring *ret,
                 struct error *err) _must_check_;
/* 0 when at least one signature is one of the keys'; -EKEYREJECTED. */
int keyring_verify(const struct keyring *k, const void *data, size_t size,
                   const struct ed25519_signature *signatures, size_t count,
                   struct error *err) _must_check_;
