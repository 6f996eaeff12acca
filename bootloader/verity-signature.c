/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See verity-signature.h.
 * https://uapi-group.org/specifications/specs/discoverable_partitions_specification, "Verity":
 *
 *   { "rootHash": "<64 hex digits>", "certificateFingerprint": "<64 hex digits>",
 *     "signature": "<base64>", "ipePolicy": "<base64>" }
 *
 * What is in the signature is the kernel's business, or OpenSSL's: here it is bytes. */

#include "base64.h"
#include "io.h"
#include "record.h"
#include "strv.h"
#include "verity-signature.h"

static int decode_blob(const struct json_document *d, json_object *value, const struct field *field,
                       void *member, struct error *err)
{
        const struct field_range *range = field->argument;
        struct verity_blob *blob = member;
        _cleanup_free_ char *text = NULL, *data = NULL;
        size_t size = 0;
        int r = field_string(d, value, &(struct field){ .key = field->key }, &text, err);

        if (r < 0)
                return r;
        r = base64_decode(text, strlen(text), &data, &size);
        if (r == -ENOMEM)
                return error_oom(err);
        if (r < 0)
                return json_error(d, value, err, -EINVAL, "\"%s\" is not base64", field->key);
        if (size < range->min || size > range->max)
                return json_error(d, value, err, -EINVAL, "\"%s\" has %zu bytes, not %ju to %ju",
                                  field->key, size, (uintmax_t)range->min, (uintmax_t)range->max);
        *blob = (struct verity_blob){ TAKE_PTR(data), size };
        return 0;
}

static const struct field_range range_pkcs7 = { 1, VERITY_SIGNATURE_PKCS7_MAX },
                                range_policy = { 1, VERITY_SIGNATURE_POLICY_MAX };

static void done(void *object)
{
        verity_signature_done(object);
}

#define MEMBER(member) offsetof(struct verity_signature, member)

static const struct record signature_record = {
        "root hash signature",
        sizeof(struct verity_signature),
        (const struct field[]){
                { "rootHash", field_digest, MEMBER(root_hash), FIELD_MANDATORY,
                  "Of the image's hash tree.", NULL },
                { "certificateFingerprint", field_digest, MEMBER(fingerprint), 0,
                  "Of the signer's certificate.", NULL },
                { "signature", decode_blob, MEMBER(signature), FIELD_MANDATORY,
                  "PKCS#7 over the root hash.", &range_pkcs7 },
                { "ipePolicy", decode_blob, MEMBER(ipe_policy), 0, "PKCS#7 around a policy of IPE.",
                  &range_policy },
                {},
        },
        done,
        NULL,
};

int verity_signature_parse(const char *name, const char *text, size_t size,
                           struct verity_signature *ret, struct error *err)
{
        _cleanup_verity_signature_ struct verity_signature s = {};
        _cleanup_json_ struct json_document d = {};
        size_t length = strnlen(text, size);
        int r;

        if (length > VERITY_SIGNATURE_TEXT_MAX)
                return error_set(err, -EFBIG, "%s: larger than %d bytes", name,
                                 VERITY_SIGNATURE_TEXT_MAX);
        if (!memory_is_zero(text + length, size - length))
                return error_set(err, -EINVAL, "%s: something follows behind the text", name);
        r = json_load(name, text, length, false, &d, err);
        if (r < 0)
                return r;
        record_drop_unknown(d.root, &signature_record);
        r = record_decode(&d, d.root, &signature_record, &s, err);
        if (r < 0)
                return r;
        *ret = TAKE_STRUCT(s);
        return 0;
}

int verity_signature_read(const char *name, int fd, uint64_t offset, uint64_t size,
                          struct verity_signature *ret, struct error *err)
{
        uint64_t room = MIN(size, (uint64_t)VERITY_SIGNATURE_TEXT_MAX);
        _cleanup_free_ char *text = malloc(room + 1);
        size_t n;
        int r;

        if (!text)
                return error_oom(err);
        r = io_pread(fd, text, room, offset, &n, err);
        if (r < 0)
                return error_prefix(err, r, "%s", name);
        if (memory_is_zero(text, n))
                return 0;
        r = verity_signature_parse(name, text, n, ret, err);
        return r < 0 ? r : 1;
}

/* ---- signature → text ---- */

static json_object *put_digest(const struct sha256 *digest)
{
        char hex[SHA256_HEX_SIZE];

        hex_encode(digest->bytes, SHA256_SIZE, hex);
        return json_object_new_string(hex);
}

static int put_blob(json_object *object, const char *key, const struct verity_blob *blob,
                    struct error *err)
{
        _cleanup_free_ char *text = NULL;

        if (blob->size == 0)
                return 0;
        text = base64_encode(blob->data, blob->size);
        if (!text)
                return error_oom(err);
        json_object_object_add(object, key, json_object_new_string(text));
        return 0;
}

static int put(const struct verity_signature *s, json_object *root, char **ret, struct error *err)
{
        const char *text;
        int r;

        json_object_object_add(root, "rootHash", put_digest(&s->root_hash));
        if (!memory_is_zero(&s->fingerprint, sizeof(s->fingerprint)))
                json_object_object_add(root, "certificateFingerprint", put_digest(&s->fingerprint));
        r = put_blob(root, "signature", &s->signature, err);
        if (r >= 0)
                r = put_blob(root, "ipePolicy", &s->ipe_policy, err);
        if (r < 0)
                return r;
        text = json_object_to_json_string_ext(root, JSON_C_TO_STRING_PLAIN |
                                                            JSON_C_TO_STRING_NOSLASHESCAPE);
        *ret = text ? string_format("%s\n", text) : NULL;
        return *ret ? 0 : error_oom(err);
}

int verity_signature_text(const struct verity_signature *s, char **ret, struct error *err)
{
        _cleanup_verity_signature_ struct verity_signature again = {};
        json_object *root = json_object_new_object();
        _cleanup_free_ char *text = NULL;
        int r = put(s, root, &text, err);

        json_object_put(root);
        if (r >= 0)
                r = verity_signature_parse("root hash signature", text, strlen(text), &again, err);
        if (r >= 0)
                *ret = TAKE_PTR(text);
        return r;
}

void verity_signature_done(struct verity_signature *s)
{
        free(s->signature.data);
        free(s->ipe_policy.data);
        memset(s, 0, sizeof(*s));
}
