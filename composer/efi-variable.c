/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See efi-variable.h. Everything by the UEFI specification, 2.10; integers are little-endian, GUIDs
 * have their first three fields swapped:
 *
 *   EFI_SIGNATURE_LIST (32.4.1 "Signature Database")
 *     0   GUID   SignatureType: EFI_CERT_X509_GUID
 *     16  u32    SignatureListSize, with this header
 *     20  u32    SignatureHeaderSize: 0
 *     24  u32    SignatureSize: of every EFI_SIGNATURE_DATA that follows
 *     28         EFI_SIGNATURE_DATA: GUID SignatureOwner, then the DER certificate
 *
 *   EFI_VARIABLE_AUTHENTICATION_2 (8.2.2 "Using the EFI_VARIABLE_AUTHENTICATION_2 descriptor")
 *     0   16     EFI_TIME TimeStamp; all but date and time of day are 0
 *     16  u32    WIN_CERTIFICATE.dwLength, of what follows from here
 *     20  u16    wRevision: 0x0200
 *     22  u16    wCertificateType: WIN_CERT_TYPE_EFI_GUID
 *     24  GUID   CertType: EFI_CERT_TYPE_PKCS7_GUID
 *     40         CertData: DER SignedData, with its certificate, without attributes
 *   and behind it the new content. What is signed is one after the other: the name in UTF-16
 * without its end, the vendor's GUID, the attributes, the time, the new content. */

#include <assert.h>
#include <endian.h>
#include <openssl/x509.h>
#include <time.h>

#include "efi-variable.h"

enum {
        WIN_CERTIFICATE_REVISION = 0x0200,
        WIN_CERT_TYPE_EFI_GUID = 0x0ef1,
        /* 8.2: kept in flash, for boot services and the system, changed by who can sign. */
        NON_VOLATILE = 0x01,
        BOOTSERVICE_ACCESS = 0x02,
        RUNTIME_ACCESS = 0x04,
        TIME_BASED_AUTHENTICATED_WRITE_ACCESS = 0x20,
        ATTRIBUTES = NON_VOLATILE | BOOTSERVICE_ACCESS | RUNTIME_ACCESS |
                     TIME_BASED_AUTHENTICATED_WRITE_ACCESS,
};

struct efi_guid {
        uint8_t bytes[16];
};
static_assert(sizeof(struct efi_guid) == 16, "EFI_GUID");

struct efi_time {
        uint16_t year;
        uint8_t month, day, hour, minute, second, pad1;
        uint32_t nanosecond;
        int16_t time_zone;
        uint8_t daylight, pad2;
} _packed_;
static_assert(sizeof(struct efi_time) == 16, "EFI_TIME");

struct signature_list {
        struct efi_guid type;
        uint32_t list_size, header_size, signature_size;
} _packed_;
static_assert(sizeof(struct signature_list) == 28, "EFI_SIGNATURE_LIST");

struct authentication {
        struct efi_time time;
        uint32_t length;
        uint16_t revision, certificate_type;
        struct efi_guid type;
} _packed_;
static_assert(sizeof(struct authentication) == 40, "EFI_VARIABLE_AUTHENTICATION_2");

#define LE16(n) (n) & 0xff, (n) >> 8
#define LE32(n) (n) & 0xff, (n) >> 8 & 0xff, (n) >> 16 & 0xff, (n) >> 24
#define GUID(a, b, c, ...)                                                                         \
        {                                                                                          \
                {                                                                                  \
                        LE32(a), LE16(b), LE16(c), __VA_ARGS__                                     \
                }                                                                                  \
        }

static const struct efi_guid x509_guid =
        GUID(0xa5c059a1, 0x94e4, 0x4aa7, 0x87, 0xb5, 0xab, 0x15, 0x5c, 0x2b, 0xf0, 0x72);
static const struct efi_guid pkcs7_guid =
        GUID(0x4aafd29d, 0x68df, 0x49ee, 0x8a, 0xa9, 0x34, 0x7d, 0x37, 0x56, 0x65, 0xa7);

/* 3.3 "Globally Defined Variables" and 32.6.1 "UEFI Image Variable GUID & Variable Name". */
static const struct {
        const char *name;
        struct efi_guid vendor;
} variables[_EFI_VARIABLE_MAX] = {
        [EFI_PK] = { "PK", GUID(0x8be4df61, 0x93ca, 0x11d2, 0xaa, 0x0d, 0x00, 0xe0, 0x98, 0x03,
                                0x2b, 0x8c) },
        [EFI_KEK] = { "KEK", GUID(0x8be4df61, 0x93ca, 0x11d2, 0xaa, 0x0d, 0x00, 0xe0, 0x98, 0x03,
                                  0x2b, 0x8c) },
        [EFI_DB] = { "db", GUID(0xd719b2cb, 0x3d3a, 0x4596, 0xa3, 0xbc, 0xda, 0xd0, 0x0e, 0x67,
                                0x65, 0x6f) },
};

const char *efi_variable_name(enum efi_variable variable)
{
        return variables[variable].name;
}

/* ---- writing ---- */

/* Ours are in the order in which they are printed. */
static struct efi_guid guid_of(const struct uuid *uuid)
{
        static const uint8_t order[UUID_SIZE] = { 3, 2, 1,  0,  5,  4,  7,  6,
                                                  8, 9, 10, 11, 12, 13, 14, 15 };
        struct efi_guid guid;

        for (size_t i = 0; i < UUID_SIZE; i++)
                guid.bytes[i] = uuid->bytes[order[i]];
        return guid;
}

int efi_signature_list(struct buffer *list, const struct uuid *owner, X509 *certificate,
                       struct error *err)
{
        struct efi_guid guid = guid_of(owner);
        uint8_t *der = NULL;
        int size = i2d_X509(certificate, &der);
        struct signature_list head;

        if (size <= 0)
                return signer_error(err, -EIO, "certificate");
        head = (struct signature_list){
                .type = x509_guid,
                .list_size = htole32((uint32_t)(sizeof(head) + sizeof(guid)) + (uint32_t)size),
                .signature_size = htole32((uint32_t)sizeof(guid) + (uint32_t)size),
        };
        buffer_append(list, &head, sizeof(head));
        buffer_append(list, &guid, sizeof(guid));
        buffer_append(list, der, (size_t)size);
        OPENSSL_free(der);
        return list->failed ? error_oom(err) : 0;
}

static struct efi_time time_of(int64_t seconds)
{
        time_t time = (time_t)seconds;
        struct tm t = {};

        gmtime_r(&time, &t);
        return (struct efi_time){
                .year = htole16((uint16_t)(t.tm_year + 1900)),
                .month = (uint8_t)(t.tm_mon + 1),
                .day = (uint8_t)t.tm_mday,
                .hour = (uint8_t)t.tm_hour,
                .minute = (uint8_t)t.tm_min,
                .second = (uint8_t)MIN(t.tm_sec, 59),
        };
}

static void put_signed_bytes(struct buffer *b, enum efi_variable variable,
                             const struct efi_time *time, const struct buffer *list)
{
        const uint32_t attributes = htole32(ATTRIBUTES);

        for (const char *c = variables[variable].name; *c; c++)
                buffer_append(b, (const char[]){ *c, '\0' }, 2);
        buffer_append(b, &variables[variable].vendor, sizeof(struct efi_guid));
        buffer_append(b, &attributes, sizeof(attributes));
        buffer_append(b, time, sizeof(*time));
        buffer_append(b, list->data, list->size);
}

int efi_variable_sign(enum efi_variable variable, const struct buffer *list, int64_t time,
                      const struct signer *signer, char **ret, size_t *ret_size, struct error *err)
{
        struct authentication head = {
                .time = time_of(time),
                .revision = htole16(WIN_CERTIFICATE_REVISION),
                .certificate_type = htole16(WIN_CERT_TYPE_EFI_GUID),
                .type = pkcs7_guid,
        };
        _cleanup_buffer_ struct buffer text = {}, out = {};
        _cleanup_free_ char *signature = NULL;
        size_t size;
        int r;

        put_signed_bytes(&text, variable, &head.time, list);
        if (text.failed)
                return error_oom(err);
        r = signer_signed_data(signer, text.data, text.size, &signature, &size, err);
        if (r < 0)
                return r;
        head.length = htole32((uint32_t)(sizeof(head) - sizeof(head.time) + size));
        buffer_append(&out, &head, sizeof(head));
        buffer_append(&out, signature, size);
        buffer_append(&out, list->data, list->size);
        return buffer_take(&out, ret, ret_size) < 0 ? error_oom(err) : 0;
}

/* ---- checking ---- */

static int malformed(struct error *err, const char *what)
{
        return error_set(err, -EINVAL, "Not a signed UEFI variable: %s", what);
}

/* One DER certificate that fills its place. */
static bool is_certificate(const uint8_t *data, size_t size)
{
        const uint8_t *end = data;
        X509 *certificate = d2i_X509(NULL, &end, (long)size);
        bool whole = certificate && end == data + size;

        X509_free(certificate);
        signer_forget_errors();
        return whole;
}

/* One list at the begin of the bytes; returns its size. */
static int check_list(const uint8_t *data, size_t size, size_t *ret_size, size_t *certificates,
                      struct error *err)
{
        const size_t owner = sizeof(struct efi_guid);
        struct signature_list head;
        size_t list, each;

        if (size < sizeof(head))
                return malformed(err, "a list is cut off");
        memcpy(&head, data, sizeof(head));
        list = le32toh(head.list_size);
        each = le32toh(head.signature_size);
        if (memcmp(&head.type, &x509_guid, sizeof(x509_guid)) != 0 || head.header_size != 0)
                return malformed(err, "a list is not of certificates");
        if (list <= sizeof(head) || list > size)
                return malformed(err, "a list does not fit");
        if (each <= owner || (list - sizeof(head)) % each != 0)
                return malformed(err, "certificates do not fill their list");
        for (size_t at = sizeof(head); at < list; at += each) {
                if (!is_certificate(data + at + owner, each - owner))
                        return malformed(err, "no certificate where one must be");
                (*certificates)++;
        }
        *ret_size = list;
        return 0;
}

int efi_variable_check(const void *data, size_t size, size_t *ret_certificates, struct error *err)
{
        const uint8_t *bytes = data;
        size_t at, length, certificates = 0;
        struct authentication head;

        if (size < sizeof(head))
                return malformed(err, "too short");
        memcpy(&head, data, sizeof(head));
        if (memcmp(&head.type, &pkcs7_guid, sizeof(pkcs7_guid)) != 0 ||
            le16toh(head.revision) != WIN_CERTIFICATE_REVISION ||
            le16toh(head.certificate_type) != WIN_CERT_TYPE_EFI_GUID)
                return malformed(err, "not signed by PKCS#7");
        length = le32toh(head.length);
        if (length <= sizeof(head) - sizeof(head.time) || length > size - sizeof(head.time))
                return malformed(err, "the signature does not fit");
        for (at = sizeof(head.time) + length; at < size; at += length) {
                int r = check_list(bytes + at, size - at, &length, &certificates, err);

                if (r < 0)
                        return r;
        }
        *ret_certificates = certificates;
        return 0;
}
