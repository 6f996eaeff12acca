/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See luks-volume.h. A new volume carries a LUKS2 token, the mark, from the moment it is formatted
 * until provisioning has come to its end. By it a later attempt knows that the volume was made by
 * one before, whose key (when it was generated) is lost and whose content was never used. A volume
 * that was formatted but has no key slot yet is of the same kind.
 *
 * Of the options that `cryptsetup luksFormat` and `open` take, those in the tables are understood;
 * an unknown one is refused, because a volume made otherwise than asked for is worse than none. */

#include <inttypes.h>
#include <libcryptsetup.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "library.h"
#include "luks-volume.h"

#define MARK_TYPE "slipway-unfinished"
#define MARK_JSON "{\"type\":\"" MARK_TYPE "\",\"keyslots\":[]}"

enum { TOKENS_MAX = 32, DEFAULT_KEY_BITS = 512 };

/* What is used of libcryptsetup, which brings eight other libraries along. */
#define CRYPTSETUP_LIBRARY "libcryptsetup.so.12"

struct cryptsetup {
        __typeof__(crypt_free) *free;
        __typeof__(crypt_init) *init;
        __typeof__(crypt_set_log_callback) *set_log_callback;
        __typeof__(crypt_load) *load;
        __typeof__(crypt_token_status) *token_status;
        __typeof__(crypt_keyslot_max) *keyslot_max;
        __typeof__(crypt_keyslot_status) *keyslot_status;
        __typeof__(crypt_get_type) *get_type;
        __typeof__(crypt_get_uuid) *get_uuid;
        __typeof__(crypt_get_label) *get_label;
        __typeof__(crypt_activate_by_passphrase) *activate_by_passphrase;
        __typeof__(crypt_get_pbkdf_type_params) *get_pbkdf_type_params;
        __typeof__(crypt_set_pbkdf_type) *set_pbkdf_type;
        __typeof__(crypt_format) *format;
        __typeof__(crypt_token_json_set) *token_json_set;
        __typeof__(crypt_keyslot_add_by_volume_key) *keyslot_add_by_volume_key;
        __typeof__(crypt_persistent_flags_set) *persistent_flags_set;
        __typeof__(crypt_status) *status;
        __typeof__(crypt_init_by_name) *init_by_name;
        __typeof__(crypt_get_device_name) *get_device_name;
        __typeof__(crypt_deactivate) *deactivate;
        __typeof__(crypt_keyslot_destroy) *keyslot_destroy;
};

#define SYMBOL(name) LIBRARY_SYMBOL(cryptsetup, "crypt_", name)
static const struct library_symbol symbols[] = {
        SYMBOL(free),
        SYMBOL(init),
        SYMBOL(set_log_callback),
        SYMBOL(load),
        SYMBOL(token_status),
        SYMBOL(keyslot_max),
        SYMBOL(keyslot_status),
        SYMBOL(get_type),
        SYMBOL(get_uuid),
        SYMBOL(get_label),
        SYMBOL(activate_by_passphrase),
        SYMBOL(get_pbkdf_type_params),
        SYMBOL(set_pbkdf_type),
        SYMBOL(format),
        SYMBOL(token_json_set),
        SYMBOL(keyslot_add_by_volume_key),
        SYMBOL(persistent_flags_set),
        SYMBOL(status),
        SYMBOL(init_by_name),
        SYMBOL(get_device_name),
        SYMBOL(deactivate),
        SYMBOL(keyslot_destroy),
};
LIBRARY_NOTE("luks", "Encrypted volumes", CRYPTSETUP_LIBRARY);

/* The library says why by calling back. */
static void on_message(int level, const char *message, void *userdata)
{
        char *text = userdata;

        if (level == CRYPT_LOG_ERROR)
                snprintf(text, ERROR_MESSAGE_MAX / 2, "%.*s", (int)strcspn(message, "\n"), message);
}

struct volume {
        struct cryptsetup crypt;
        struct crypt_device *device;
        char message[ERROR_MESSAGE_MAX / 2];
};

static void volume_done(struct volume *v)
{
        if (v->crypt.free)
                v->crypt.free(v->device);
}

static int failed(struct volume *v, struct error *err, int r, const char *what)
{
        if (r >= 0)
                return 0;
        return error_set(err, r, "LUKS: %s: %s", what, *v->message ? v->message : strerror(-r));
}

static int volume_library(struct volume *v, struct error *err)
{
        return library_load(CRYPTSETUP_LIBRARY, symbols, ARRAY_SIZE(symbols), &v->crypt, err);
}

static int volume_init(struct volume *v, const char *node, struct error *err)
{
        int r = volume_library(v, err);

        if (r < 0)
                return r;
        r = v->crypt.init(&v->device, node);
        if (r < 0)
                return failed(v, err, r, "open");
        v->crypt.set_log_callback(v->device, on_message, v->message);
        return 0;
}

static int volume_load(struct volume *v, const char *node, struct error *err)
{
        int r = volume_init(v, node, err);

        return r < 0 ? r
                     : failed(v, err, v->crypt.load(v->device, CRYPT_LUKS2, NULL),
                              "read the header");
}

/* ---- what is there ---- */

static int find_mark(struct volume *v)
{
        const char *type;

        for (int i = 0; i < TOKENS_MAX; i++)
                if (v->crypt.token_status(v->device, i, &type) >= CRYPT_TOKEN_INTERNAL && type &&
                    streq(type, MARK_TYPE))
                        return i;
        return -1;
}

static bool has_keys(struct volume *v)
{
        int count = v->crypt.keyslot_max(CRYPT_LUKS2);

        for (int i = 0; i < count; i++)
                if (v->crypt.keyslot_status(v->device, i) >= CRYPT_SLOT_ACTIVE)
                        return true;
        return false;
}

int luks_inspect(const char *node, enum luks_found *ret, struct error *err)
{
        _cleanup_(volume_done) struct volume v = {};
        int r;

        r = volume_init(&v, node, err);
        if (r < 0)
                return r;
        if (v.crypt.load(v.device, CRYPT_LUKS, NULL) < 0)
                *ret = LUKS_NONE;
        else if (!streq(v.crypt.get_type(v.device), CRYPT_LUKS2))
                *ret = LUKS_OLD;
        else
                *ret = find_mark(&v) >= 0 || !has_keys(&v) ? LUKS_UNFINISHED : LUKS_VOLUME;
        return 0;
}

int luks_uuid(const char *node, char ret[64], struct error *err)
{
        _cleanup_(volume_done) struct volume v = {};
        int r = volume_load(&v, node, err);

        if (r >= 0)
                snprintf(ret, 64, "%s", v.crypt.get_uuid(v.device) ?: "");
        return r;
}

bool luks_is_wanted(const char *node, const struct luks *luks, const struct luks_key *key,
                    struct error *err)
{
        _cleanup_(volume_done) struct volume v = {};
        const char *label, *uuid;
        int r;

        if (volume_load(&v, node, err) < 0)
                return false;
        label = v.crypt.get_label(v.device) ?: "";
        uuid = v.crypt.get_uuid(v.device) ?: "";
        if (luks->label && !streq(luks->label, label))
                r = error_set(err, -EEXIST, "label did not match (specified \"%s\", got \"%s\")",
                              luks->label, label);
        else if (!string_is_empty(luks->uuid) && strcasecmp(luks->uuid, uuid) != 0)
                r = error_set(err, -EEXIST, "UUID did not match (specified \"%s\", got \"%s\")",
                              luks->uuid, uuid);
        else
                r = failed(&v, err,
                           v.crypt.activate_by_passphrase(v.device, NULL, CRYPT_ANY_SLOT, key->data,
                                                          key->size, 0),
                           "the key does not open it");
        return r >= 0;
}

/* ---- options ---- */

struct format_options {
        char cipher[64], mode[64];
        const char *hash, *pbkdf;
        uint32_t key_bits, sector_size, iter_time_ms, pbkdf_memory, pbkdf_parallel, iterations;
};

enum option_kind { OPTION_NUMBER, OPTION_STRING, OPTION_CIPHER, OPTION_IGNORED, OPTION_SWITCH };

static const struct format_option {
        const char *name, *letter;
        enum option_kind kind;
        size_t offset;
} format_table[] = {
        { "--cipher", "-c", OPTION_CIPHER, 0 },
        { "--key-size", "-s", OPTION_NUMBER, offsetof(struct format_options, key_bits) },
        { "--hash", "-h", OPTION_STRING, offsetof(struct format_options, hash) },
        { "--pbkdf", NULL, OPTION_STRING, offsetof(struct format_options, pbkdf) },
        { "--iter-time", "-i", OPTION_NUMBER, offsetof(struct format_options, iter_time_ms) },
        { "--pbkdf-memory", NULL, OPTION_NUMBER, offsetof(struct format_options, pbkdf_memory) },
        { "--pbkdf-parallel", NULL, OPTION_NUMBER,
          offsetof(struct format_options, pbkdf_parallel) },
        { "--pbkdf-force-iterations", NULL, OPTION_NUMBER,
          offsetof(struct format_options, iterations) },
        { "--sector-size", NULL, OPTION_NUMBER, offsetof(struct format_options, sector_size) },
        { "--use-random", NULL, OPTION_SWITCH, 0 },
        { "--use-urandom", NULL, OPTION_SWITCH, 0 },
        { "--batch-mode", "-q", OPTION_SWITCH, 0 },
        { "--verbose", "-v", OPTION_SWITCH, 0 },
        { "--type", "-M", OPTION_IGNORED, 0 },
};

/* The option that `word` is, and its value: behind '=' or in the next word. */
static const struct format_option *find_option(const char *word, const char *next,
                                               const char **ret_value, bool *ret_took_next)
{
        size_t n = strcspn(word, "=");

        for (size_t i = 0; i < ARRAY_SIZE(format_table); i++) {
                const struct format_option *o = &format_table[i];
                bool exact = (strlen(o->name) == n && strncmp(o->name, word, n) == 0) ||
                             (o->letter && streq(o->letter, word));

                if (!exact)
                        continue;
                *ret_took_next = o->kind != OPTION_SWITCH && word[n] != '=';
                *ret_value = word[n] == '=' ? word + n + 1 : next;
                return o;
        }
        return NULL;
}

static bool set_option(const struct format_option *option, const char *value,
                       struct format_options *o)
{
        void *member = (char *)o + option->offset;
        char rest;

        switch (option->kind) {
        case OPTION_SWITCH: return true;
        case OPTION_IGNORED: return value && streq(value, "luks2");
        case OPTION_NUMBER:
                return value && sscanf(value, "%" SCNu32 "%c", (uint32_t *)member, &rest) == 1;
        case OPTION_STRING: *(const char **)member = value; return value && *value;
        case OPTION_CIPHER: return value && sscanf(value, "%63[^-]-%63s", o->cipher, o->mode) == 2;
        }
        return false;
}

static int parse_options(const struct luks *luks, struct format_options *ret, struct error *err)
{
        const struct config_strings *words = &luks->options;

        for (size_t i = 0; i < words->count; i++) {
                const char *word = words->items[i], *value = NULL;
                bool took = false;
                const struct format_option *option = find_option(
                        word, i + 1 < words->count ? words->items[i + 1] : NULL, &value, &took);

                if (!option || !set_option(option, value, ret))
                        return error_set(err, -EOPNOTSUPP, "luksFormat option \"%s\"%s", word,
                                         option ? " has a bad value" : " is not supported");
                i += took;
        }
        return 0;
}

/* ---- making ---- */

static int set_pbkdf(struct volume *v, const struct format_options *o, struct error *err)
{
        const char *type = o->pbkdf ?: CRYPT_KDF_ARGON2ID;
        const struct crypt_pbkdf_type *defaults = v->crypt.get_pbkdf_type_params(type);
        struct crypt_pbkdf_type pbkdf;

        if (!defaults)
                return error_set(err, -EINVAL, "LUKS: unknown pbkdf \"%s\"", type);
        pbkdf = *defaults;
        pbkdf.hash = o->hash ?: pbkdf.hash;
        pbkdf.time_ms = o->iter_time_ms ?: pbkdf.time_ms;
        pbkdf.max_memory_kb = o->pbkdf_memory ?: pbkdf.max_memory_kb;
        pbkdf.parallel_threads = o->pbkdf_parallel ?: pbkdf.parallel_threads;
        if (o->iterations > 0) {
                pbkdf.iterations = o->iterations;
                pbkdf.flags |= CRYPT_PBKDF_NO_BENCHMARK;
        }
        return failed(v, err, v->crypt.set_pbkdf_type(v->device, &pbkdf), "pbkdf");
}

static int format(struct volume *v, const struct luks *luks, const struct format_options *o,
                  struct error *err)
{
        struct crypt_params_luks2 params = {
                .label = luks->label,
                .sector_size = o->sector_size ?: 512,
        };
        size_t key_bits = o->key_bits ?: DEFAULT_KEY_BITS;

        return failed(v, err,
                      v->crypt.format(v->device, CRYPT_LUKS2, *o->cipher ? o->cipher : "aes",
                                      *o->mode ? o->mode : "xts-plain64",
                                      string_is_empty(luks->uuid) ? NULL : luks->uuid, NULL,
                                      key_bits / 8, &params),
                      "format");
}

int luks_make(const char *node, const struct luks *luks, const struct luks_key *key,
              struct error *err)
{
        _cleanup_(volume_done) struct volume v = {};
        struct format_options options = {};
        int r;

        r = parse_options(luks, &options, err);
        if (r >= 0)
                r = volume_init(&v, node, err);
        if (r >= 0)
                r = set_pbkdf(&v, &options, err);
        if (r >= 0)
                r = format(&v, luks, &options, err);
        if (r >= 0)
                r = failed(&v, err, v.crypt.token_json_set(v.device, CRYPT_ANY_TOKEN, MARK_JSON),
                           "mark");
        if (r >= 0)
                r = failed(&v, err,
                           v.crypt.keyslot_add_by_volume_key(v.device, CRYPT_ANY_SLOT, NULL, 0,
                                                             key->data, key->size),
                           "add the key");
        return r;
}

/* ---- opening and closing ---- */

static const struct {
        const char *name;
        uint32_t flag;
} open_flags[] = {
        { "--allow-discards", CRYPT_ACTIVATE_ALLOW_DISCARDS },
        { "--perf-same_cpu_crypt", CRYPT_ACTIVATE_SAME_CPU_CRYPT },
        { "--perf-submit_from_crypt_cpus", CRYPT_ACTIVATE_SUBMIT_FROM_CRYPT_CPUS },
        { "--perf-no_read_workqueue", CRYPT_ACTIVATE_NO_READ_WORKQUEUE },
        { "--perf-no_write_workqueue", CRYPT_ACTIVATE_NO_WRITE_WORKQUEUE },
        { "--persistent", 0 }, /* always */
};

static int parse_open_options(const struct luks *luks, uint32_t *ret, struct error *err)
{
        *ret = config_is_true(&luks->discard) ? CRYPT_ACTIVATE_ALLOW_DISCARDS : 0;
        for (size_t i = 0; i < luks->open_options.count; i++) {
                const char *word = luks->open_options.items[i];
                size_t k = 0;

                while (k < ARRAY_SIZE(open_flags) && !streq(open_flags[k].name, word))
                        k++;
                if (k == ARRAY_SIZE(open_flags))
                        return error_set(err, -EOPNOTSUPP, "open option \"%s\" is not supported",
                                         word);
                *ret |= open_flags[k].flag;
        }
        return 0;
}

int luks_open(const char *node, const struct luks *luks, const struct luks_key *key,
              struct error *err)
{
        _cleanup_(volume_done) struct volume v = {};
        uint32_t flags = 0;
        int r;

        r = parse_open_options(luks, &flags, err);
        if (r >= 0)
                r = volume_load(&v, node, err);
        if (r >= 0)
                r = failed(&v, err,
                           v.crypt.activate_by_passphrase(v.device, luks->name, CRYPT_ANY_SLOT,
                                                          key->data, key->size, flags),
                           "activate");
        if (r >= 0)
                r = failed(&v, err,
                           v.crypt.persistent_flags_set(v.device, CRYPT_FLAGS_ACTIVATION, flags),
                           "store the flags");
        return r;
}

static bool same_device(const char *a, const char *b)
{
        struct stat x, y;

        return a && stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_rdev == y.st_rdev;
}

int luks_close(const char *name, const char *node, bool *ret_closed, struct error *err)
{
        _cleanup_(volume_done) struct volume v = {};
        int r;

        *ret_closed = false;
        r = volume_library(&v, err);
        if (r < 0)
                return r;
        if (v.crypt.status(NULL, name) == CRYPT_INACTIVE ||
            v.crypt.init_by_name(&v.device, name) < 0 ||
            !same_device(v.crypt.get_device_name(v.device), node))
                return 0;
        v.crypt.set_log_callback(v.device, on_message, v.message);
        r = v.crypt.deactivate(v.device, name);
        *ret_closed = r >= 0;
        return r == -EBUSY ? 0 : failed(&v, err, r, "close");
}

int luks_remove_key(const char *node, const struct luks_key *key, struct error *err)
{
        _cleanup_(volume_done) struct volume v = {};
        int slot, r;

        r = volume_load(&v, node, err);
        if (r < 0)
                return r;
        slot = v.crypt.activate_by_passphrase(v.device, NULL, CRYPT_ANY_SLOT, key->data, key->size,
                                              0);
        if (slot >= 0)
                slot = v.crypt.keyslot_destroy(v.device, slot);
        return failed(&v, err, slot, "remove the key");
}

int luks_unmark(const char *node, struct error *err)
{
        _cleanup_(volume_done) struct volume v = {};
        int mark, r;

        r = volume_load(&v, node, err);
        if (r < 0)
                return r;
        mark = find_mark(&v);
        return mark < 0 ? 0
                        : failed(&v, err, v.crypt.token_json_set(v.device, mark, NULL), "unmark");
}
