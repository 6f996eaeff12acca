/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See trust.h. */

#include "strv.h"
#include "trust.h"

static const char *const root_hash_names[] = { "unsigned", "signed", "required", NULL };
static const char *const corruption_names[] = { "error", "restart", "panic", NULL };
static const char *const root_names[] = { "plain", "tpm2", "tpm2-if-present", NULL };
static const char *const ipe_names[] = { "off", "audit", "enforce", NULL };

#define MEMBER(name) offsetof(struct trust_config, name), 0

/* Who signs root hashes can sign a policy, and reports break nothing: that is IPE's default. A link
 * holds only on those before it. */
static int trust_check(const struct json_document *d, json_object *value, void *object,
                       struct error *err)
{
        struct trust_config *t = object;
        const struct {
                bool wrong;
                const char *key, *why;
        } rules[] = {
                { t->shim && !t->secure_boot, "shim", "\"shim\" needs \"secureBoot\"" },
                { t->ipe != IPE_OFF && t->root_hash == ROOT_HASH_UNSIGNED, "ipe",
                  "\"ipe\" needs a signed \"rootHash\"" },
                { t->root != ROOT_PLAIN && !t->measured_boot, "root",
                  "an encrypted \"root\" needs \"measuredBoot\"" },
        };

        if (t->root_hash != ROOT_HASH_UNSIGNED && !json_object_object_get(value, "ipe"))
                t->ipe = IPE_AUDIT;
        for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
                if (rules[i].wrong)
                        return json_error(d, json_object_object_get(value, rules[i].key), err,
                                          -EINVAL, "%s", rules[i].why);
        return 0;
}

const struct record trust_record = {
        "trust",
        sizeof(struct trust_config),
        (const struct field[]){
                { "secureBoot", field_bool, MEMBER(secure_boot),
                  "Sign boot loader and UKI for Secure Boot.", NULL },
                { "shim", field_bool, MEMBER(shim), "Put Debian's shim before the boot loader.",
                  NULL },
                { "rootHash", field_enum, MEMBER(root_hash),
                  "Whether the root hash of /usr is signed, and must be.", root_hash_names },
                { "onCorruption", field_enum, MEMBER(on_corruption),
                  "What the kernel does about a block of /usr that does not match.",
                  corruption_names },
                { "measuredBoot", field_bool, MEMBER(measured_boot),
                  "Sign what PCR 11 will hold, so that secrets can be bound to it.", NULL },
                { "root", field_enum, MEMBER(root), "Whether ROOT is encrypted, bound to the TPM.",
                  root_names },
                { "ipe", field_enum, MEMBER(ipe),
                  "Policy that only code from the verified /usr is executed; audit by default where "
                  "the root hash is signed.",
                  ipe_names },
                { "lockdown", field_bool, MEMBER(lockdown),
                  "Kernel lockdown (integrity), and only signed modules.", NULL },
                {},
        },
        NULL,
        trust_check,
};

bool trust_wants_keys(const struct trust_config *t)
{
        return t->secure_boot || t->root_hash != ROOT_HASH_UNSIGNED || t->measured_boot;
}

struct word {
        bool wanted;
        const char *word;
};

static int wanted_words(const struct word *words, size_t count, char ***ret, struct error *err)
{
        _cleanup_strv_ char **list = NULL;

        for (size_t i = 0; i < count; i++)
                if (words[i].wanted && strv_extend(&list, words[i].word) < 0)
                        return error_oom(err);
        *ret = TAKE_PTR(list);
        return 0;
}

int trust_kernel_fragments(const struct trust_config *t, char ***ret, struct error *err)
{
        const struct word words[] = {
                { trust_wants_keys(t) || t->ipe != IPE_OFF || t->lockdown, "trust" },
                { t->ipe != IPE_OFF, "ipe" },
                { t->measured_boot, "tpm" },
        };

        return wanted_words(words, ARRAY_SIZE(words), ret, err);
}

int trust_kernel_options(const struct trust_config *t, char ***ret, struct error *err)
{
        const struct word words[] = {
                { t->root_hash == ROOT_HASH_REQUIRED, "dm_verity.require_signatures=1" },
                { t->on_corruption == CORRUPTION_RESTART,
                  "systemd.verity_usr_options=restart-on-corruption" },
                { t->on_corruption == CORRUPTION_PANIC,
                  "systemd.verity_usr_options=panic-on-corruption" },
                { t->root == ROOT_TPM2, "slipway.root=tpm2" },
                { t->root == ROOT_TPM2_IF_PRESENT, "slipway.root=tpm2-if-present" },
                { t->ipe == IPE_AUDIT, "ipe.enforce=0" },
                { t->ipe == IPE_ENFORCE, "ipe.enforce=1" },
                { t->lockdown, "lockdown=integrity" },
                { t->lockdown, "module.sig_enforce=1" },
        };

        return wanted_words(words, ARRAY_SIZE(words), ret, err);
}
