/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See site-seal.h. */

#include <assert.h>

#include "io.h"
#include "site-seal.h"
#include "strv.h"

static_assert((int)SITE_KEYS_MAX <= (int)FILE_SEAL_SIGNATURES_MAX, "room for each key's signature");

bool site_seal_holds(const struct site_keys *keys, const struct file_seal *seal, const void *data,
                     size_t size)
{
        for (size_t i = 0; i < keys->count; i++)
                for (size_t k = 0; k < seal->count; k++) {
                        struct ed25519_public public;

                        ed25519_public_of(&keys->items[i], &public);
                        if (ed25519_verify(&public, data, size, &seal->signatures[k]) == 0)
                                return true;
                }
        return false;
}

int site_seal_load(int dir_fd, const char *name, uint64_t largest, struct file_seal *ret,
                   struct error *err)
{
        _cleanup_free_ char *beside = string_format("%s" FILE_SEAL_SUFFIX, name), *bytes = NULL;
        size_t size;
        int r = beside ? file_read(dir_fd, beside, FILE_SEAL_MAX, &bytes, &size, err)
                       : error_oom(err);

        return r < 0 ? r : file_seal_parse(bytes, size, largest, ret, err);
}

static bool is_there(int dir_fd, const char *name, const void *bytes, size_t size)
{
        _cleanup_free_ char *there = NULL;
        struct error ignored;
        size_t n;

        return file_read(dir_fd, name, FILE_SEAL_MAX, &there, &n, &ignored) >= 0 && n == size &&
               memcmp(there, bytes, n) == 0;
}

int site_seal_save(const struct site_keys *keys, int dir_fd, const char *name, const void *data,
                   size_t size, bool *ret_changed, struct error *err)
{
        _cleanup_free_ char *beside = string_format("%s" FILE_SEAL_SUFFIX, name);
        struct file_seal seal = { .size = size };
        uint8_t bytes[FILE_SEAL_MAX];
        size_t n;
        int r = beside ? 0 : error_oom(err);

        for (; r >= 0 && seal.count < keys->count; seal.count++)
                r = ed25519_sign(&keys->items[seal.count], data, size, &seal.signatures[seal.count],
                                 err);
        if (r < 0)
                return r;
        n = file_seal_write(&seal, bytes);
        if (is_there(dir_fd, beside, bytes, n))
                return 0;
        *ret_changed = true;
        return file_write(dir_fd, beside, bytes, n, 0644, err);
}
