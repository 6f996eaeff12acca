/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See file-seal.h. */

#include <endian.h>

#include "file-seal.h"

int file_seal_parse(const void *data, size_t size, uint64_t largest, struct file_seal *ret,
                    struct error *err)
{
        struct file_seal s = {};
        uint64_t number;

        if (size < sizeof(number) + ED25519_SIGNATURE_SIZE || size > FILE_SEAL_MAX ||
            (size - sizeof(number)) % ED25519_SIGNATURE_SIZE != 0)
                return error_set(err, -EBADMSG, "signature: of another size");
        memcpy(&number, data, sizeof(number));
        s.size = le64toh(number);
        if (s.size == 0 || s.size > largest)
                return error_set(err, -EBADMSG, "signature: size of the file out of range");
        s.count = (size - sizeof(number)) / ED25519_SIGNATURE_SIZE;
        memcpy(s.signatures, (const uint8_t *)data + sizeof(number), size - sizeof(number));
        *ret = s;
        return 0;
}

size_t file_seal_write(const struct file_seal *s, uint8_t ret[FILE_SEAL_MAX])
{
        uint64_t number = htole64(s->size);

        memcpy(ret, &number, sizeof(number));
        memcpy(ret + sizeof(number), s->signatures, s->count * ED25519_SIGNATURE_SIZE);
        return sizeof(number) + s->count * ED25519_SIGNATURE_SIZE;
}
