/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See pcr-signature.h. */

#include "base64.h"
#include "pcr-signature.h"
#include "strv.h"

enum { PCR_KERNEL_BOOT = 11 };

void pcr_signature_done(struct pcr_signature *s)
{
        free(s->signature);
        *s = (struct pcr_signature){};
}

static void signature_done(void *object)
{
        pcr_signature_done(object);
}

/* ---- reading ---- */

static int field_pcrs(const struct json_document *d, json_object *value, const struct field *field,
                      void *member _unused_, struct error *err)
{
        json_object *only = NULL;

        if (json_object_is_type(value, json_type_array) && json_object_array_length(value) == 1)
                only = json_object_array_get_idx(value, 0);
        if (!json_object_is_type(only, json_type_int) ||
            json_object_get_int64(only) != PCR_KERNEL_BOOT)
                return json_error(d, value, err, -EINVAL, "\"%s\" is not [11]", field->key);
        return 0;
}

static int field_signature(const struct json_document *d, json_object *value,
                           const struct field *field, void *member, struct error *err)
{
        struct pcr_signature *s = member;
        _cleanup_free_ char *bytes = NULL;
        size_t size = 0;

        if (!json_object_is_type(value, json_type_string) ||
            base64_decode(json_object_get_string(value), (size_t)json_object_get_string_len(value),
                          &bytes, &size) < 0)
                return json_error(d, value, err, -EINVAL, "\"%s\" is not base64", field->key);
        if (size == 0 || size > PCR_SIGNATURE_SIZE_MAX)
                return json_error(d, value, err, -EINVAL, "\"%s\" has %zu bytes", field->key, size);
        free(s->signature);
        s->signature = TAKE_PTR(bytes);
        s->size = size;
        return 0;
}

static const struct record signature_record = {
        "signature",
        sizeof(struct pcr_signature),
        (const struct field[]){
                { "pcrs", field_pcrs, 0, FIELD_MANDATORY, "PCRs of the policy.", NULL },
                { "pkfp", field_digest, offsetof(struct pcr_signature, key), FIELD_MANDATORY,
                  "Whose key signed it.", NULL },
                { "pol", field_digest, offsetof(struct pcr_signature, policy), FIELD_MANDATORY,
                  "Digest of the policy.", NULL },
                { "sig", field_signature, 0, FIELD_MANDATORY, "The signature.", NULL },
                {},
        },
        signature_done,
        NULL,
};

static int check_count(const struct json_document *d, json_object *value, void *object,
                       struct error *err)
{
        const struct pcr_signatures *s = object;

        if (s->list.count == 0 || s->list.count > PCR_SIGNATURES_MAX)
                return json_error(d, value, err, -EINVAL, "not 1 to %d signatures",
                                  PCR_SIGNATURES_MAX);
        return 0;
}

static const struct record signatures_record = {
        "PCR signatures",
        sizeof(struct pcr_signatures),
        (const struct field[]){
                { "sha256", field_records, offsetof(struct pcr_signatures, list), FIELD_MANDATORY,
                  "Signatures for the bank sha256.", &signature_record },
                {},
        },
        NULL,
        check_count,
};

void pcr_signatures_done(struct pcr_signatures *s)
{
        field_array_done(&s->list, &signature_record);
}

int pcr_signatures_parse(const char *text, size_t size, struct pcr_signatures *ret,
                         struct error *err)
{
        _cleanup_pcr_signatures_ struct pcr_signatures s = {};
        _cleanup_json_ struct json_document d = {};
        int r;

        if (size > PCR_SIGNATURE_TEXT_MAX)
                return error_set(err, -EFBIG, ".pcrsig: more than %d bytes",
                                 PCR_SIGNATURE_TEXT_MAX);
        r = json_load(".pcrsig", text, size, false, &d, err);
        if (r >= 0)
                r = record_decode(&d, d.root, &signatures_record, &s, err);
        if (r < 0)
                return r;
        *ret = TAKE_STRUCT(s);
        return 0;
}

const struct pcr_signature *pcr_signatures_find(const struct pcr_signatures *s,
                                                const struct sha256 *key,
                                                const struct sha256 *policy)
{
        const struct pcr_signature *items = s->list.items;

        for (size_t i = 0; i < s->list.count; i++)
                if (sha256_equal(&items[i].key, key) && sha256_equal(&items[i].policy, policy))
                        return &items[i];
        return NULL;
}

/* ---- writing ---- */

int pcr_signature_text(const struct pcr_signature *s, char **ret, struct error *err)
{
        _cleanup_free_ char *signature = base64_encode(s->signature, s->size);
        char key[SHA256_HEX_SIZE], policy[SHA256_HEX_SIZE];
        char *text;

        if (!signature)
                return error_oom(err);
        text = string_format("{\"sha256\":[{\"pcrs\":[%d],\"pkfp\":\"%s\",\"pol\":\"%s\","
                             "\"sig\":\"%s\"}]}",
                             PCR_KERNEL_BOOT, sha256_hex(&s->key, key),
                             sha256_hex(&s->policy, policy), signature);
        if (!text)
                return error_oom(err);
        *ret = text;
        return 0;
}
