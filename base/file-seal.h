/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The file beside a signed file of an update site, ".sig" behind its name: how long that is, so
 * that a reader can say whether it is worth fetching (little-endian, 8 bytes), and signatures of
 * its bytes by one key or more. */

#include "ed25519.h"

#define FILE_SEAL_SUFFIX ".sig"

enum {
        FILE_SEAL_SIGNATURES_MAX = 8,
        FILE_SEAL_MAX = 8 + FILE_SEAL_SIGNATURES_MAX * ED25519_SIGNATURE_SIZE,
};

struct file_seal {
        uint64_t size;
        struct ed25519_signature signatures[FILE_SEAL_SIGNATURES_MAX];
        size_t count;
};

/* Sizes are checked (the file's: 1 to largest), signatures are not. */
int file_seal_parse(const void *data, size_t size, uint64_t largest, struct file_seal *ret,
                    struct error *err) _must_check_;
/* Writes into ret and returns how many bytes. */
size_t file_seal_write(const struct file_seal *s, uint8_t ret[FILE_SEAL_MAX]);
