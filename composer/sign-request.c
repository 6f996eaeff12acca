/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See sign-request.h. In the directory are, NAME being "boot-loader", "uki", "root-hash",
 * "ipe-policy", "pcr-policy" (further ones of a name: "pcr-policy-2" …):
 *
 *   kind             to be signed   answer             made by, for instance
 *   authenticode     NAME.efi       NAME.signed.efi    sbsign, osslsigncode
 *   pkcs7-detached   NAME.data      NAME.p7s           openssl cms -sign
 *   pkcs7-attached   NAME.data      NAME.p7b           openssl cms -sign -nodetach
 *   rsa-sha256       NAME.data      NAME.sig           openssl dgst -sign
 *
 * and signing.json, which lists them with the digests of the files and a command for each. Names of
 * files follow from name and kind; those in the JSON are for people and checked, so that a list
 * that comes back changed leads nowhere else.
 *
 * From an answer only the signature is taken, and only if it is good for the very bytes that the
 * build has in its hands: what else a signed image may have got on its way is not looked at.
 *
 * The UKI holds the signatures of PCR policies, so it is asked for in a second round, when those
 * are there. */

#include <fcntl.h>

#include "authenticode.h"
#include "io.h"
#include "json.h"
#include "pe-certificate.h"
#include "record.h"
#include "root-hash-signature.h"
#include "sign-request.h"
#include "strv.h"

#define LIST_FILE "signing.json"

enum {
        LIST_FORMAT = 1,
        LIST_SIZE_MAX = 256 * 1024,
        ANSWER_SIZE_MAX = 64 * 1024,
        IMAGE_SIZE_MAX = 512 * 1024 * 1024,
        NAME_MAX_LENGTH = 48,
        REQUESTS_MAX = 64,
};

static const char *const kind_names[] = { "authenticode", "pkcs7-detached", "pkcs7-attached",
                                          "rsa-sha256", NULL };
static const char *const role_names[] = { "db", "verity", "pcr", NULL };

#define CMS_COMMAND                                                                                \
        "openssl cms -sign -binary -noattr -nocerts -md sha256 -outform DER -signer %1$s.crt "     \
        "-inkey %1$s.key -in %2$s -out %3$s"

static const struct {
        const char *file, *answer, *command; /* command: of role, file, answer */
        size_t limit;                        /* of the answer */
} kinds[_SIGN_KIND_MAX] = {
        [SIGN_IMAGE] = { "efi", "signed.efi",
                         "sbsign --key %1$s.key --cert %1$s.crt --output %3$s %2$s",
                         IMAGE_SIZE_MAX },
        [SIGN_DETACHED] = { "data", "p7s", CMS_COMMAND, ANSWER_SIZE_MAX },
        [SIGN_ATTACHED] = { "data", "p7b", CMS_COMMAND " -nodetach", ANSWER_SIZE_MAX },
        [SIGN_RAW] = { "data", "sig", "openssl dgst -sha256 -sign %1$s.key -out %3$s %2$s",
                       ANSWER_SIZE_MAX },
};

int sign_requests_open(const char *directory, struct sign_requests *ret, struct error *err)
{
        int fd = path_open_dir(AT_FDCWD, directory, 0755, err);

        if (fd < 0)
                return fd;
        *ret = (struct sign_requests){ .dir_fd = fd };
        return 0;
}

static void request_done(void *object)
{
        struct sign_request *r = object;

        free(r->name);
        free(r->file);
        free(r->answer);
        free(r->command);
}

void sign_requests_done(struct sign_requests *q)
{
        for (size_t i = 0; i < q->list.count; i++)
                request_done(&q->list.items[i]);
        free(q->list.items);
        if (q->dir_fd > 0)
                close(q->dir_fd);
        *q = (struct sign_requests){};
}

size_t sign_requests_open_count(const struct sign_requests *q)
{
        size_t n = 0;

        for (size_t i = 0; i < q->list.count; i++)
                n += !q->list.items[i].answered;
        return n;
}

/* ---- one request ---- */

/* The texts that follow from name, kind and role. */
static int request_fill(struct sign_request *r, struct error *err)
{
        const char *role = signer_role_name((enum signer_role)r->role);

        r->file = string_format("%s.%s", r->name, kinds[r->kind].file);
        r->answer = string_format("%s.%s", r->name, kinds[r->kind].answer);
        if (!r->file || !r->answer)
                return error_oom(err);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* from the table above */
        r->command = string_format(kinds[r->kind].command, role, r->file, r->answer);
#pragma GCC diagnostic pop
        return r->command ? 0 : error_oom(err);
}

/* "name", or "name-2" when there is one already, and so on. */
static char *free_name(const struct sign_requests *q, const char *name)
{
        size_t n = 1, length = strlen(name);

        for (size_t i = 0; i < q->list.count; i++) {
                const char *other = q->list.items[i].name;

                n += strncmp(other, name, length) == 0 &&
                     (other[length] == '\0' || other[length] == '-');
        }
        return n == 1 ? strdup(name) : string_format("%s-%zu", name, n);
}

static int request_new(struct sign_requests *q, const struct signer *signer, enum sign_kind kind,
                       const char *name, const void *data, size_t size, struct sign_request **ret,
                       struct error *err)
{
        struct sign_request *r;

        if (q->list.count == REQUESTS_MAX)
                return error_set(err, -E2BIG, "more than %d signatures", REQUESTS_MAX);
        if (array_reserve(&q->list.items, &q->list.capacity, q->list.count + 1, sizeof(*r)) < 0)
                return error_oom(err);
        r = &q->list.items[q->list.count];
        *r = (struct sign_request){ .kind = kind, .role = signer->role, .size = size };
        r->name = free_name(q, name);
        if (!r->name)
                return error_oom(err);
        q->list.count++;
        sha256_of(data, size, &r->sha256);
        *ret = r;
        return request_fill(r, err);
}

/* ---- answers ---- */

/* The signature in a signed image that is of our bytes and by our certificate. */
static int image_signature(const struct signer *signer, const void *data, size_t size,
                           const void *answer, size_t answer_size, char **ret, size_t *ret_size,
                           struct error *err)
{
        size_t position = 0, n;
        struct sha256 digest;
        const void *pkcs7;
        struct pe pe;
        int result, r;

        r = pe_digest(data, size, &digest, err);
        if (r >= 0)
                r = pe_read(answer, answer_size, &pe, err);
        if (r < 0)
                return r;
        result = error_set(err, -ENODATA, "it has no signature");
        while ((r = pe_certificate_next(answer, &pe, &position, &pkcs7, &n, err)) > 0) {
                result = authenticode_check(pkcs7, n, &digest, signer->certificate, err);
                if (result < 0)
                        continue;
                *ret = malloc(n);
                if (!*ret)
                        return error_oom(err);
                memcpy(*ret, pkcs7, n);
                *ret_size = n;
                return 0;
        }
        return r < 0 ? r : result;
}

/* Around or beside a text, as the kernel reads it. */
static int check_pkcs7(const struct signer *signer, bool attached, const char *text, size_t size,
                       const char *answer, size_t answer_size, struct error *err)
{
        const struct verity_blob pkcs7 = { (char *)answer, answer_size };
        _cleanup_free_ char *own = strndup(text, size), *content = NULL;
        int r;

        if (!own)
                return error_oom(err);
        r = pkcs7_verify(signer->certificate, &pkcs7, attached ? NULL : own,
                         attached ? &content : NULL, err);
        if (r >= 0 && attached && !streq(content, own))
                r = error_set(err, -EKEYREJECTED, "around another text");
        return r;
}

static int check_answer(const struct signer *signer, enum sign_kind kind, const void *data,
                        size_t size, char **answer, size_t *answer_size, struct error *err)
{
        char *signature;
        int r;

        switch (kind) {
        case SIGN_RAW: return signer_verify(signer, data, size, *answer, *answer_size, err);
        case SIGN_DETACHED:
        case SIGN_ATTACHED:
                return check_pkcs7(signer, kind == SIGN_ATTACHED, data, size, *answer, *answer_size,
                                   err);
        default: break;
        }
        r = image_signature(signer, data, size, *answer, *answer_size, &signature, answer_size,
                            err);
        if (r >= 0) {
                free(*answer);
                *answer = signature;
        }
        return r;
}

/* Returns 1 and the signature, 0 when there is no answer. */
static int read_answer(int dir_fd, const struct sign_request *request, const struct signer *signer,
                       const void *data, size_t size, char **ret, size_t *ret_size,
                       struct error *err)
{
        enum sign_kind kind = (enum sign_kind)request->kind;
        _cleanup_free_ char *answer = NULL;
        size_t n;
        int r;

        if (faccessat(dir_fd, request->answer, F_OK, 0) < 0 && errno == ENOENT)
                return 0;
        r = file_read(dir_fd, request->answer, kinds[kind].limit, &answer, &n, err);
        if (r < 0)
                return r;
        r = check_answer(signer, kind, data, size, &answer, &n, err);
        if (r < 0)
                return error_prefix(err, r, "%s", request->answer);
        *ret = TAKE_PTR(answer);
        *ret_size = n;
        return 1;
}

/* Whether a signature is missing that goes into the UKI. */
static bool incomplete(const struct sign_requests *q, const char *name)
{
        if (!streq(name, "uki"))
                return false;
        for (size_t i = 0; i < q->list.count; i++)
                if (q->list.items[i].kind == SIGN_RAW && !q->list.items[i].answered)
                        return true;
        return false;
}

int sign_request(const struct signer *signer, enum sign_kind kind, const char *name,
                 const void *data, size_t size, char **ret, size_t *ret_size, struct error *err)
{
        struct sign_requests *q = signer->requests;
        struct sign_request *request = NULL;
        int r;

        if (incomplete(q, name))
                return 0;
        r = request_new(q, signer, kind, name, data, size, &request, err);
        if (r >= 0)
                r = read_answer(q->dir_fd, request, signer, data, size, ret, ret_size, err);
        if (r == 0)
                r = file_write(q->dir_fd, request->file, data, size, 0644, err);
        else if (r > 0)
                request->answered = true;
        return error_prefix(err, r, "signature '%s'", name);
}

/* ---- the list ---- */

static int check_request(const struct json_document *d, json_object *value, void *object,
                         struct error *err)
{
        const struct sign_request *r = object;
        struct sign_request own = { .kind = r->kind, .role = r->role };
        int result = 0;

        if (strlen(r->name) > NAME_MAX_LENGTH ||
            r->name[strspn(r->name, "abcdefghijklmnopqrstuvwxyz0123456789-")] != '\0')
                return json_error(d, value, err, -EINVAL, "not a name of a signature");
        own.name = strdup(r->name);
        if (!own.name || request_fill(&own, err) < 0)
                result = error_oom(err);
        else if (!streq(own.file, r->file) || !streq(own.answer, r->answer))
                result = json_error(d, value, err, -EINVAL, "its files are called otherwise");
        request_done(&own);
        return result;
}

#define MEMBER(name) offsetof(struct sign_request, name), FIELD_MANDATORY

static const struct record request_record = {
        "request",
        sizeof(struct sign_request),
        (const struct field[]){
                { "name", field_string, MEMBER(name), "What is signed.", NULL },
                { "kind", field_enum, MEMBER(kind), "How.", kind_names },
                { "role", field_enum, MEMBER(role), "By which key.", role_names },
                { "file", field_string, MEMBER(file), "The bytes to be signed.", NULL },
                { "size", field_uint, MEMBER(size), "Their number.", NULL },
                { "sha256", field_digest, MEMBER(sha256), "Their digest.", NULL },
                { "answer", field_string, MEMBER(answer), "Where the signature belongs.", NULL },
                { "command", field_string, MEMBER(command), "A way to make it.", NULL },
                {},
        },
        request_done,
        check_request,
};
#undef MEMBER

void sign_origin_done(struct sign_origin *o)
{
        free(o->image);
        free(o->version);
        free(o->manifest);
        free(o->architecture);
        free(o->base);
        field_array_done((struct field_array *)&o->requests, &request_record);
        *o = (struct sign_origin){};
}

static void origin_done(void *object)
{
        sign_origin_done(object);
}

static const struct field_range format_range = { LIST_FORMAT, LIST_FORMAT };

#define MEMBER(name) offsetof(struct sign_origin, name)

static const struct record origin_record = {
        "signing",
        sizeof(struct sign_origin),
        (const struct field[]){
                { "format", field_uint, MEMBER(format), FIELD_MANDATORY, "Version of this format.",
                  &format_range },
                { "image", field_string, MEMBER(image), FIELD_MANDATORY, "The image's name.",
                  NULL },
                { "version", field_string, MEMBER(version), FIELD_MANDATORY, "Its version.", NULL },
                { "manifest", field_path, MEMBER(manifest), FIELD_MANDATORY,
                  "What it is made from, on the builder.", NULL },
                { "architecture", field_string, MEMBER(architecture), FIELD_MANDATORY,
                  "Its architecture.", NULL },
                { "base", field_string, MEMBER(base), 0, "The commit it lies like.", NULL },
                { "epoch", field_uint, MEMBER(epoch), FIELD_MANDATORY, "SOURCE_DATE_EPOCH.", NULL },
                { "requests", field_records, MEMBER(requests), FIELD_MANDATORY,
                  "What wants a signature.", &request_record },
                {},
        },
        origin_done,
        NULL,
};
#undef MEMBER

static json_object *request_json(const struct sign_request *r)
{
        json_object *o = json_object_new_object();
        char hex[SHA256_HEX_SIZE];
        const struct {
                const char *key, *value;
        } texts[] = {
                { "name", r->name },
                { "kind", kind_names[r->kind] },
                { "role", role_names[r->role] },
                { "file", r->file },
                { "sha256", sha256_hex(&r->sha256, hex) },
                { "answer", r->answer },
                { "command", r->command },
        };

        for (size_t i = 0; o && i < ARRAY_SIZE(texts); i++)
                json_object_object_add(o, texts[i].key, json_object_new_string(texts[i].value));
        json_object_object_add(o, "size", json_object_new_uint64(r->size));
        return o;
}

static json_object *origin_json(const struct sign_requests *q, const struct sign_origin *origin)
{
        json_object *o = json_object_new_object(), *list = json_object_new_array();
        const struct {
                const char *key, *value;
        } texts[] = {
                { "image", origin->image },       { "version", origin->version },
                { "manifest", origin->manifest }, { "architecture", origin->architecture },
                { "base", origin->base },
        };

        json_object_object_add(o, "format", json_object_new_int(LIST_FORMAT));
        for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
                if (texts[i].value)
                        json_object_object_add(o, texts[i].key,
                                               json_object_new_string(texts[i].value));
        json_object_object_add(o, "epoch", json_object_new_uint64(origin->epoch));
        for (size_t i = 0; i < q->list.count; i++)
                json_object_array_add(list, request_json(&q->list.items[i]));
        json_object_object_add(o, "requests", list);
        return o;
}

int sign_origin_write(const struct sign_requests *q, const struct sign_origin *origin,
                      struct error *err)
{
        json_object *o = origin_json(q, origin);
        const char *text = json_object_to_json_string_ext(
                o,
                JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED | JSON_C_TO_STRING_NOSLASHESCAPE);
        int r = text ? file_write(q->dir_fd, LIST_FILE, text, strlen(text), 0644, err)
                     : error_oom(err);

        json_object_put(o);
        return r;
}

int sign_origin_parse(const char *text, size_t size, struct sign_origin *ret, struct error *err)
{
        _cleanup_json_ struct json_document d = {};
        _cleanup_sign_origin_ struct sign_origin o = {};
        int r = json_load(LIST_FILE, text, size, false, &d, err);

        if (r >= 0)
                r = record_decode(&d, d.root, &origin_record, &o, err);
        if (r < 0)
                return r;
        if (o.requests.count > REQUESTS_MAX)
                return error_set(err, -E2BIG, LIST_FILE ": more than %d requests", REQUESTS_MAX);
        *ret = TAKE_STRUCT(o);
        return 0;
}

int sign_origin_load(const struct sign_requests *q, struct sign_origin *ret, struct error *err)
{
        _cleanup_free_ char *text = NULL;
        size_t size;
        int r = file_read(q->dir_fd, LIST_FILE, LIST_SIZE_MAX, &text, &size, err);

        return r < 0 ? r : sign_origin_parse(text, size, ret, err);
}

/* 1: right, 0: no answer. */
static int verify_request(const struct sign_requests *q, const struct sign_request *request,
                          const struct signers *signers, struct error *err)
{
        const struct signer *signer = &signers->of[request->role];
        _cleanup_free_ char *data = NULL, *signature = NULL;
        struct sha256 digest;
        size_t size, n;
        int r;

        if (!signer->key)
                return error_set(err, -ENOKEY, "%s: the manifest wants no signature by '%s'",
                                 request->name, role_names[request->role]);
        r = file_read(q->dir_fd, request->file, IMAGE_SIZE_MAX, &data, &size, err);
        if (r < 0)
                return r;
        sha256_of(data, size, &digest);
        if (!sha256_equal(&digest, &request->sha256))
                return error_set(err, -EBADMSG, "%s is not as the build left it", request->file);
        return read_answer(q->dir_fd, request, signer, data, size, &signature, &n, err);
}

int sign_origin_verify(const struct sign_requests *q, const struct sign_origin *origin,
                       const struct signers *signers, struct error *err)
{
        _cleanup_buffer_ struct buffer missing = {};

        for (size_t i = 0; i < origin->requests.count; i++) {
                const struct sign_request *request = &origin->requests.items[i];
                int r = verify_request(q, request, signers, err);

                if (r < 0)
                        return r;
                if (r == 0)
                        buffer_printf(&missing, " %s", request->answer);
        }
        if (missing.failed)
                return error_oom(err);
        return missing.size == 0
                       ? 0
                       : error_set(err, -ENODATA, "not signed yet, missing:%s", missing.data);
}
