/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* SHA-256 (OpenSSL, which uses the CPU's instructions). Hex digits are in uuid.h. */

#include "error.h"
#include "uuid.h"

enum { SHA256_SIZE = 32, SHA256_HEX_SIZE = 65 /* with NUL */ };

struct sha256 {
        uint8_t bytes[SHA256_SIZE];
};

/* Running digest. */
struct hasher {
        void *context;
};

int hasher_init(struct hasher *h, struct error *err) _must_check_;
void hasher_update(struct hasher *h, const void *data, size_t size);
/* Ends the digest; a failure inside OpenSSL during any update shows here. */
int hasher_final(struct hasher *h, struct sha256 *ret, struct error *err) _must_check_;
void hasher_done(struct hasher *h);
#define _cleanup_hasher_ _cleanup_(hasher_done)

/* One shot; aborts only without OpenSSL, or on a broken one. */
void sha256_of(const void *data, size_t size, struct sha256 *ret);
/* The same of `count` pieces of `size` bytes each, one behind the other: quicker than one by one.
 */
void sha256_each(const void *data, size_t size, size_t count, struct sha256 *ret);
/* Digest of size bytes of the file from offset; size UINT64_MAX means to its end. */
int sha256_fd(int fd, uint64_t offset, uint64_t size, struct sha256 *ret,
              struct error *err) _must_check_;

/* Hex form of the digest in ret (SHA256_HEX_SIZE bytes); returns ret. */
char *sha256_hex(const struct sha256 *s, char *ret);

static inline bool sha256_equal(const struct sha256 *a, const struct sha256 *b)
{
        return memcmp(a->bytes, b->bytes, SHA256_SIZE) == 0;
}
