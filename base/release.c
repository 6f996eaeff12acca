/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See release.h. Keys that this version does not know are passed over, because the machine that
 * reads is older than the release: what may not be passed over raises the format. Sizes must agree
 * with each other here, so that nobody who uses them has to doubt them again. */

#include "blocks.h"
#include "record.h"
#include "release.h"
#include "strv.h"
#include "version.h"

#define IMAGE_SIZE_MAX                                                                             \
        (1ULL << 40) /* of a file system whose blocks are counted in 32 bits, plenty */
#define UKI_SIZE_MAX  (1ULL << 30)    /* what an ESP may hold */
#define TIMESTAMP_MAX 253402300799ULL /* the year 9999 ends */

/* ---- texts ---- */

struct text_rule {
        size_t max;
        const char *characters; /* NULL: all that can be printed */
};

static const struct text_rule rules_image = { 64, "abcdefghijklmnopqrstuvwxyz0123456789-._+" },
                              rules_architecture = { 32, "abcdefghijklmnopqrstuvwxyz0123456789" },
                              rules_version = { VERSION_MAX, VERSION_CHARACTERS },
                              rules_kernel = { 128, VERSION_CHARACTERS "+" },
                              rules_check = { 127, NULL }, rules_level = { 64, NULL };

static bool is_printable(const char *text)
{
        for (; *text; text++)
                if ((unsigned char)*text < ' ' || *text == 0x7f)
                        return false;
        return true;
}

/* Those with a list of characters become parts of paths. */
static bool obeys(const char *text, const struct text_rule *rule)
{
        size_t n = strlen(text);

        if (n == 0 || n > rule->max)
                return false;
        if (!rule->characters)
                return is_printable(text);
        return *text != '.' && *text != '-' && strspn(text, rule->characters) == n;
}

static int decode_text(const struct json_document *d, json_object *value, const struct field *field,
                       void *member, struct error *err)
{
        int r = field_string(d, value, &(struct field){ .key = field->key }, member, err);

        if (r >= 0 && !obeys(*(char **)member, field->argument))
                return json_error(d, value, err, -EINVAL, "\"%s\" is not valid", field->key);
        return r;
}

static int decode_texts(const struct json_document *d, json_object *value,
                        const struct field *field, void *member, struct error *err)
{
        int r = field_strings(d, value, &(struct field){ .key = field->key }, member, err);

        if (r < 0)
                return r;
        if (strv_length(*(char ***)member) > RELEASE_CHECKS_MAX)
                return json_error(d, value, err, -EINVAL, "\"%s\" has more than %d items",
                                  field->key, RELEASE_CHECKS_MAX);
        STRV_FOREACH (text, *(char ***)member)
                if (!obeys(*text, field->argument))
                        return json_error(d, value, err, -EINVAL,
                                          "\"%s\" has an item that is not "
                                          "valid",
                                          field->key);
        return 0;
}

/* ---- the tables ---- */

static const struct field_range range_format = { RELEASE_FORMAT, RELEASE_FORMAT },
                                range_timestamp = { 1, TIMESTAMP_MAX },
                                range_image = { BLOCK_SIZE, IMAGE_SIZE_MAX },
                                range_uki = { 1, UKI_SIZE_MAX },
                                range_signature = { 1, RELEASE_SIGNATURE_MAX };

#define ROW(key, decode, type, member, help, argument)                                             \
        {                                                                                          \
                key, decode, offsetof(struct type, member), FIELD_MANDATORY, help, argument        \
        }

static const struct field layout_fields[] = {
        ROW("usr", field_uint, release_layout, usr, "Bytes of a slot's image.", &range_image),
        ROW("usrVerity", field_uint, release_layout, usr_verity, "Bytes of its hash tree.",
            &range_image),
        ROW("esp", field_uint, release_layout, esp, "Bytes of the ESP.", &range_image),
        {},
};

static void layout_done(void *object _unused_)
{
}

static const struct record layout_record = {
        "layout", sizeof(struct release_layout), layout_fields, layout_done, NULL,
};

static const struct field release_fields[] = {
        ROW("format", field_uint, release, format, "Of this object.", &range_format),
        ROW("image", decode_text, release, image, "The manifest's name.", &rules_image),
        ROW("version", decode_text, release, version, "Of the image.", &rules_version),
        ROW("architecture", decode_text, release, architecture, "As Debian names it.",
            &rules_architecture),
        ROW("timestamp", field_uint, release, timestamp, "Seconds since the epoch.",
            &range_timestamp),
        ROW("kernel", decode_text, release, kernel, "The kernel's version.", &rules_kernel),
        ROW("rootHash", field_digest, release, root_hash, "Of the image's hash tree.", NULL),
        ROW("usrSize", field_uint, release, usr_size, "Bytes of the image.", &range_image),
        ROW("treeSize", field_uint, release, tree_size, "Bytes of its hash tree.", &range_image),
        ROW("ukiRootHash", field_digest, release, uki_root_hash, "Of the UKI's hash tree.", NULL),
        ROW("ukiSize", field_uint, release, uki_size, "Bytes of the UKI.", &range_uki),
        { "modules", field_digest, offsetof(struct release, modules), 0,
          "Of its set of kernel modules.", NULL },
        { "usrSignature", field_digest, offsetof(struct release, usr_signature), 0,
          "Of the file with the root hash's signature.", NULL },
        { "usrSignatureSize", field_uint, offsetof(struct release, usr_signature_size), 0,
          "Bytes of it.", &range_signature },
        ROW("layout", field_record, release, layout, "The smallest partitions that take it.",
            &layout_record),
        ROW("health", decode_texts, release, health, "Names of its health checks.", &rules_check),
        ROW("sysextLevels", decode_texts, release, sysext_levels,
            "SYSEXT_LEVEL that extensions may name.", &rules_level),
        {},
};

static void done(void *object)
{
        release_done(object);
}

static int check(const struct json_document *d, json_object *value, void *object, struct error *err)
{
        const struct release *r = object;
        struct hash_tree_shape shape;

        if (release_signed(r) == memory_is_zero(&r->usr_signature, SHA256_SIZE))
                return json_error(d, value, err, -EINVAL,
                                  "one of \"usrSignature\" and \"usrSignatureSize\" is missing");
        if (hash_tree_shape(r->usr_size, &shape) < 0)
                return json_error(d, value, err, -EINVAL, "\"usrSize\" is not in whole blocks");
        if (r->tree_size != shape.size)
                return json_error(d, value, err, -EINVAL, "\"treeSize\" must be %ju for this image",
                                  (uintmax_t)shape.size);
        if (r->layout.usr < r->usr_size || r->layout.usr_verity < r->tree_size ||
            r->layout.esp < r->uki_size)
                return json_error(d, value, err, -EINVAL,
                                  "\"layout\" is too small for the release");
        return 0;
}

static const struct record release_record = {
        "release", sizeof(struct release), release_fields, done, check,
};

/* ---- text → release ---- */

int release_parse(const char *name, const char *text, size_t size, struct release *ret,
                  struct error *err)
{
        _cleanup_release_ struct release release = {};
        _cleanup_json_ struct json_document d = {};
        int r;

        if (size > RELEASE_TEXT_MAX)
                return error_set(err, -EFBIG, "%s: larger than %d bytes", name, RELEASE_TEXT_MAX);
        r = json_load(name, text, size, false, &d, err);
        if (r < 0)
                return r;
        record_drop_unknown(d.root, &release_record);
        r = record_decode(&d, d.root, &release_record, &release, err);
        if (r < 0)
                return r;
        *ret = TAKE_STRUCT(release);
        return 0;
}

/* ---- release → text ---- */

static json_object *put_text(const char *value)
{
        return json_object_new_string(value ?: "");
}

static json_object *put_texts(char **values)
{
        json_object *list = json_object_new_array();

        STRV_FOREACH (value, values)
                json_object_array_add(list, json_object_new_string(*value));
        return list;
}

static json_object *put_digest(const struct sha256 *digest)
{
        char hex[SHA256_HEX_SIZE];

        return json_object_new_string(sha256_hex(digest, hex));
}

static json_object *put_layout(const struct release_layout *layout)
{
        json_object *object = json_object_new_object();

        json_object_object_add(object, "usr", json_object_new_uint64(layout->usr));
        json_object_object_add(object, "usrVerity", json_object_new_uint64(layout->usr_verity));
        json_object_object_add(object, "esp", json_object_new_uint64(layout->esp));
        return object;
}

/* What is optional and zero is not said. */
static bool is_said(const struct field *f, const void *member)
{
        size_t size = f->decode == field_digest ? SHA256_SIZE : sizeof(uint64_t);

        return (f->flags & FIELD_MANDATORY) || !memory_is_zero(member, size);
}

/* A member's way back to JSON, by its decoder. */
static json_object *put(const struct field *f, const void *member)
{
        if (f->decode == field_uint)
                return json_object_new_uint64(*(const uint64_t *)member);
        if (f->decode == field_digest)
                return put_digest(member);
        if (f->decode == field_record)
                return put_layout(member);
        return f->decode == decode_text ? put_text(*(char *const *)member)
                                        : put_texts(*(char **const *)member);
}

int release_text(const struct release *r, char **ret, struct error *err)
{
        json_object *root = json_object_new_object();
        _cleanup_release_ struct release again = {};
        _cleanup_free_ char *copy = NULL;
        const char *text;
        int result;

        for (const struct field *f = release_fields; f->key; f++)
                if (is_said(f, (const char *)r + f->offset))
                        json_object_object_add(root, f->key, put(f, (const char *)r + f->offset));
        text = json_object_to_json_string_ext(root, JSON_C_TO_STRING_PRETTY |
                                                            JSON_C_TO_STRING_NOSLASHESCAPE);
        copy = text ? string_format("%s\n", text) : NULL;
        json_object_put(root);
        if (!copy)
                return error_oom(err);
        result = release_parse("release", copy, strlen(copy), &again, err);
        if (result < 0)
                return result;
        *ret = TAKE_PTR(copy);
        return 0;
}

void release_done(struct release *r)
{
        free(r->image);
        free(r->version);
        free(r->architecture);
        free(r->kernel);
        strv_free(r->health);
        strv_free(r->sysext_levels);
        memset(r, 0, sizeof(*r));
}

int release_compare_age(uint64_t timestamp_a, const char *version_a, uint64_t timestamp_b,
                        const char *version_b)
{
        if (timestamp_a != timestamp_b)
                return timestamp_a > timestamp_b ? 1 : -1;
        return version_compare(version_a, version_b);
}
