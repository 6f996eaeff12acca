/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See pe-certificate.h. Behind the sections' bytes, at the end of the file, where the fifth data
 * directory ("certificate table") says by file offset and size, lie one behind the other:
 *
 *   0  u32  dwLength, of this header and what follows
 *   4  u16  wRevision: 0x0200
 *   6  u16  wCertificateType: 2 for PKCS#7
 *   8       the signature; each begins at a multiple of 8
 *
 * The digest (Microsoft's "Windows Authenticode Portable Executable Signature Format") goes from
 * the headers over the sections, in the file's order, to what is behind them. Where no byte lies
 * between sections that is the file as it is, so we take no other file. Skipped are the checksum,
 * that directory's entry and the table. The file ends at a multiple of 8 before it is signed: zeros
 * that fill it up count. */

#include <assert.h>
#include <endian.h>

#include "pe-certificate.h"

enum {
        WIN_CERT_REVISION_2_0 = 0x0200,
        WIN_CERT_TYPE_PKCS_SIGNED_DATA = 0x0002,
        CERTIFICATE_ALIGN = 8,
        CHECKSUM_SIZE = 4,
        DIRECTORY_SIZE = 8,
        /* A signature with its certificates has a few KiB; timestamped ones some more. */
        CERTIFICATE_SIZE_MAX = 1024 * 1024,
};

struct win_certificate {
        uint32_t length;
        uint16_t revision, type;
} _packed_;
static_assert(sizeof(struct win_certificate) == 8, "WIN_CERTIFICATE");

static int malformed(struct error *err, const char *what)
{
        return error_set(err, -EINVAL, "Not a sound PE32+ image: %s", what);
}

/* ---- digest ---- */

static int by_offset(const void *a, const void *b)
{
        const struct pe_section *x = a, *y = b;

        return x->offset < y->offset ? -1 : x->offset > y->offset;
}

static int check_sections(const struct pe *pe, struct error *err)
{
        struct pe_section sorted[PE_SECTIONS_MAX];
        uint64_t end = pe->headers_size;

        memcpy(sorted, pe->sections, pe->n_sections * sizeof(*sorted));
        qsort(sorted, pe->n_sections, sizeof(*sorted), by_offset);
        for (size_t i = 0; i < pe->n_sections; i++) {
                if (sorted[i].file_size == 0)
                        continue;
                if (sorted[i].offset != end)
                        return malformed(err, "sections do not lie one behind the other");
                end += sorted[i].file_size;
        }
        return 0;
}

static size_t body_size(const struct pe *pe, size_t size)
{
        return pe->certificates_size > 0 ? pe->certificates_offset : size;
}

static int check_signable(const struct pe *pe, struct error *err)
{
        if (pe->security_offset == 0)
                return malformed(err, "no place for a signature in its data directories");
        return check_sections(pe, err);
}

static int digest_of(const void *data, size_t size, const struct pe *pe, struct sha256 *ret,
                     struct error *err)
{
        const size_t end = body_size(pe, size);
        const struct {
                size_t from, to;
        } ranges[] = {
                { 0, pe->checksum_offset },
                { pe->checksum_offset + CHECKSUM_SIZE, pe->security_offset },
                { pe->security_offset + DIRECTORY_SIZE, end },
        };
        _cleanup_hasher_ struct hasher h = {};
        int r = hasher_init(&h, err);

        if (r < 0)
                return r;
        for (size_t i = 0; i < ARRAY_SIZE(ranges); i++)
                hasher_update(&h, (const uint8_t *)data + ranges[i].from,
                              ranges[i].to - ranges[i].from);
        hasher_update(&h, (const uint8_t[CERTIFICATE_ALIGN]){},
                      ROUND_UP(end, CERTIFICATE_ALIGN) - end);
        return hasher_final(&h, ret, err);
}

int pe_digest(const void *data, size_t size, struct sha256 *ret, struct error *err)
{
        struct pe pe;
        int r = pe_read(data, size, &pe, err);

        if (r >= 0)
                r = check_signable(&pe, err);
        return r < 0 ? r : digest_of(data, size, &pe, ret, err);
}

/* ---- table ---- */

int pe_certificate_next(const void *data, const struct pe *pe, size_t *position, const void **ret,
                        size_t *ret_size, struct error *err)
{
        while (*position < pe->certificates_size) {
                const uint8_t *at = (const uint8_t *)data + pe->certificates_offset + *position;
                size_t left = pe->certificates_size - *position, length;
                struct win_certificate head;

                if (left < sizeof(head))
                        return malformed(err, "the certificate table is cut off");
                memcpy(&head, at, sizeof(head));
                length = le32toh(head.length);
                if (length <= sizeof(head) || length > left || length > CERTIFICATE_SIZE_MAX)
                        return malformed(err, "a certificate does not fit its table");
                *position += MIN(ROUND_UP(length, (size_t)CERTIFICATE_ALIGN), left);
                if (le16toh(head.revision) != WIN_CERT_REVISION_2_0 ||
                    le16toh(head.type) != WIN_CERT_TYPE_PKCS_SIGNED_DATA)
                        continue;
                *ret = at + sizeof(head);
                *ret_size = length - sizeof(head);
                return 1;
        }
        return 0;
}

static void put_certificate(char *image, const struct pe *pe, size_t at, size_t end,
                            const void *pkcs7, size_t size)
{
        const struct win_certificate head = {
                .length = htole32((uint32_t)(sizeof(head) + size)),
                .revision = htole16(WIN_CERT_REVISION_2_0),
                .type = htole16(WIN_CERT_TYPE_PKCS_SIGNED_DATA),
        };
        const size_t table = pe->certificates_size > 0 ? pe->certificates_offset : at;
        const uint32_t directory[] = { htole32((uint32_t)table), htole32((uint32_t)(end - table)) };

        memcpy(image + at, &head, sizeof(head));
        memcpy(image + at + sizeof(head), pkcs7, size);
        memcpy(image + pe->security_offset, directory, sizeof(directory));
        memset(image + pe->checksum_offset, 0, CHECKSUM_SIZE);
}

int pe_attach(const void *data, size_t size, const void *pkcs7, size_t pkcs7_size, char **ret,
              size_t *ret_size, struct error *err)
{
        const size_t at = ROUND_UP(size, (size_t)CERTIFICATE_ALIGN);
        struct pe pe;
        size_t end;
        char *image;
        int r = pe_read(data, size, &pe, err);

        if (r >= 0)
                r = check_signable(&pe, err);
        if (r < 0)
                return r;
        if (pkcs7_size == 0 || pkcs7_size > CERTIFICATE_SIZE_MAX - sizeof(struct win_certificate) ||
            size > PE_FILE_SIZE_MAX - 2 * CERTIFICATE_SIZE_MAX)
                return error_set(err, -EFBIG, "A signature, or the image, is too large");
        end = at + ROUND_UP(sizeof(struct win_certificate) + pkcs7_size, (size_t)CERTIFICATE_ALIGN);
        image = calloc(1, end);
        if (!image)
                return error_oom(err);
        memcpy(image, data, size);
        put_certificate(image, &pe, at, end, pkcs7, pkcs7_size);
        *ret = image;
        *ret_size = end;
        return 0;
}
