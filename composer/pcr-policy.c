/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See pcr-policy.h. PCR 11 starts as zeros; "extend with x" is PCR := sha256(PCR ‖ sha256(x)).
 *
 *   systemd-stub   for each section of the UKI that is there, in the order of the table below:
 *                  extend with its name and a NUL, then with its content, as long as it is in
 * memory (https://uapi-group.org/specifications/specs/unified_kernel_image/) systemd        extends
 * with the word of each phase (systemd-pcrphase.service(8))
 *
 * What is signed is the TPM's digest of the policy "PCR 11 has that value" (TPM 2.0 library
 * specification, part 3, TPM2_PolicyPCR):
 *
 *   sha256(32 zeros ‖ TPM_CC_PolicyPCR ‖ TPML_PCR_SELECTION ‖ sha256(PCR 11))
 *
 * .pcrsig itself is not measured, so that it can be made last; .pcrpkey is. The stub's own .sbat
 * counts as well, which is why a finished PE image is read here and not what it was made from. */

#include "pcr-policy.h"
#include "pcr-signature.h"
#include "pe.h"
#include "public-key.h"

static const char key_section[] = ".pcrpkey", signature_section[] = ".pcrsig";

static const char *const measured[] = {
        ".linux",  ".osrel", ".cmdline", ".initrd", ".ucode",
        ".splash", ".dtb",   ".uname",   ".sbat",   key_section,
};

/* Of these the stub picks what fits the machine, or what was chosen in the menu. */
static const char *const unpredictable[] = { ".profile", ".dtbauto", ".hwids", ".efifw" };

static const struct {
        const char *path, *word;
} phases[_PCR_PHASE_MAX] = {
        [PCR_PHASE_KERNEL] = { "", NULL },
        [PCR_PHASE_ENTER_INITRD] = { "enter-initrd", "enter-initrd" },
        [PCR_PHASE_LEAVE_INITRD] = { "enter-initrd:leave-initrd", "leave-initrd" },
        [PCR_PHASE_SYSINIT] = { "enter-initrd:leave-initrd:sysinit", "sysinit" },
        [PCR_PHASE_READY] = { "enter-initrd:leave-initrd:sysinit:ready", "ready" },
};

/* sha256(32 zeros ‖ … up to the digest of the PCRs' values, all numbers big-endian. */
static const uint8_t policy_command[] = {
        0,    0,    1,
        0x7f, /* TPM_CC_PolicyPCR */
        0,    0,    0,
        1,          /* one bank: */
        0,    0x0b, /* TPM_ALG_SHA256 */
        3,    0,    1 << (11 - 8),
        0, /* 24 bits for as many PCRs: 11 */
};

const char *pcr_phase_path(enum pcr_phase phase)
{
        return phases[phase].path;
}

/* ---- prediction ---- */

static void extend_digest(struct sha256 *pcr, const struct sha256 *digest)
{
        const struct sha256 both[] = { *pcr, *digest };

        sha256_of(both, sizeof(both), pcr);
}

static void extend(struct sha256 *pcr, const void *data, size_t size)
{
        struct sha256 digest;

        sha256_of(data, size, &digest);
        extend_digest(pcr, &digest);
}

/* Memory behind what the file has is zeros. */
static int extend_section(struct sha256 *pcr, const uint8_t *uki, const struct pe_section *s,
                          struct error *err)
{
        static const uint8_t zeros[4096];
        _cleanup_hasher_ struct hasher h = {};
        size_t in_file = MIN(s->memory_size, s->file_size);
        struct sha256 digest;
        int r = hasher_init(&h, err);

        if (r < 0)
                return r;
        hasher_update(&h, uki + s->offset, in_file);
        for (size_t left = s->memory_size - in_file; left > 0; left -= MIN(left, sizeof(zeros)))
                hasher_update(&h, zeros, MIN(left, sizeof(zeros)));
        r = hasher_final(&h, &digest, err);
        if (r < 0)
                return r;
        extend(pcr, s->name, strlen(s->name) + 1);
        extend_digest(pcr, &digest);
        return 0;
}

static int predict(const void *uki, const struct pe *pe, struct pcr_prediction *ret,
                   struct error *err)
{
        struct sha256 pcr = {};
        int r;

        for (size_t i = 0; i < ARRAY_SIZE(unpredictable); i++)
                if (pe_find(pe, unpredictable[i]))
                        return error_set(err, -EOPNOTSUPP, "section %s: cannot be predicted",
                                         unpredictable[i]);
        for (size_t i = 0; i < ARRAY_SIZE(measured); i++) {
                const struct pe_section *s = pe_find(pe, measured[i]);

                r = s ? extend_section(&pcr, uki, s, err) : 0;
                if (r < 0)
                        return r;
        }
        for (enum pcr_phase p = 0; p < _PCR_PHASE_MAX; p++) {
                if (phases[p].word)
                        extend(&pcr, phases[p].word, strlen(phases[p].word));
                ret->values[p] = pcr;
        }
        return 0;
}

int pcr_predict(const void *uki, size_t size, struct pcr_prediction *ret, struct error *err)
{
        struct pe pe;
        int r = pe_read(uki, size, &pe, err);

        return r < 0 ? r : predict(uki, &pe, ret, err);
}

void pcr_policy_digest(const struct pcr_prediction *prediction, struct sha256 *ret)
{
        struct {
                struct sha256 before;
                uint8_t command[sizeof(policy_command)];
                struct sha256 values;
        } _packed_ policy = {};

        memcpy(policy.command, policy_command, sizeof(policy_command));
        sha256_of(&prediction->values[PCR_PHASE_SIGNED], SHA256_SIZE, &policy.values);
        sha256_of(&policy, sizeof(policy), ret);
}

/* ---- signature ---- */

/* What a section holds, without what pads it; NULL: there is no such section. */
static const char *section_text(const void *uki, const struct pe *pe, const char *name,
                                size_t *ret_size)
{
        const struct pe_section *s = pe_find(pe, name);

        if (!s)
                return NULL;
        *ret_size = MIN(s->memory_size, s->file_size);
        return (const char *)uki + s->offset;
}

static int read_key(const void *uki, const struct pe *pe, struct public_key *ret, struct error *err)
{
        size_t size;
        const char *text = section_text(uki, pe, key_section, &size);
        int r;

        if (!text)
                return error_set(err, -ENOKEY, "no section %s", key_section);
        r = public_key_read(text, size, ret, err);
        return error_prefix(err, r, "%s", key_section);
}

/* The signature is tried before it is packed: one that is of something else would be noticed by a
 * machine that does not boot. */
static int make_text(const struct public_key *key, struct pcr_signature *s, char **ret,
                     struct error *err)
{
        int r = public_key_verify(key, s->policy.bytes, SHA256_SIZE, s->signature, s->size, err);

        if (r >= 0)
                r = public_key_fingerprint(key, &s->key, err);
        return r < 0 ? r : pcr_signature_text(s, ret, err);
}

static int attach(const void *uki, size_t size, const struct pe *pe, struct pcr_signature *s,
                  char **ret, size_t *ret_size, struct error *err)
{
        _cleanup_public_key_ struct public_key key = {};
        struct uki_section section = { .name = signature_section };
        _cleanup_free_ char *text = NULL;
        int r;

        r = read_key(uki, pe, &key, err);
        if (r >= 0)
                r = make_text(&key, s, &text, err);
        if (r < 0)
                return r;
        section.data = text;
        section.size = strlen(text);
        return pe_append(uki, size, &section, 1, ret, ret_size, err);
}

int pcr_policy_attach(const void *uki, size_t size, const void *signature, size_t signature_size,
                      char **ret, size_t *ret_size, struct error *err)
{
        /* Borrowed for as long as this takes. */
        struct pcr_signature s = { .signature = (char *)signature, .size = signature_size };
        struct pcr_prediction prediction;
        struct pe pe;
        int r;

        r = pe_read(uki, size, &pe, err);
        if (r >= 0)
                r = predict(uki, &pe, &prediction, err);
        if (r >= 0) {
                pcr_policy_digest(&prediction, &s.policy);
                r = attach(uki, size, &pe, &s, ret, ret_size, err);
        }
        return error_prefix(err, r, "PCR policy");
}

int pcr_policy_sign(const void *uki, size_t size, const struct pcr_prediction *prediction,
                    const struct signer *signer, char **ret, size_t *ret_size, struct error *err)
{
        _cleanup_(pcr_signature_done) struct pcr_signature s = {};
        struct pe pe;
        int r;

        pcr_policy_digest(prediction, &s.policy);
        r = pe_read(uki, size, &pe, err);
        if (r >= 0)
                r = signer_sign(signer, s.policy.bytes, SHA256_SIZE, &s.signature, &s.size, err);
        if (r >= 0)
                r = s.size > 0 ? attach(uki, size, &pe, &s, ret, ret_size, err)
                               : pe_append(uki, size, NULL, 0, ret, ret_size, err);
        return error_prefix(err, r, "PCR policy");
}

/* ---- check ---- */

static int check_signature(const void *uki, const struct pe *pe, const struct public_key *key,
                           const struct sha256 *fingerprint, const struct sha256 *policy,
                           struct error *err)
{
        _cleanup_pcr_signatures_ struct pcr_signatures signatures = {};
        const struct pcr_signature *s;
        size_t size;
        const char *text = section_text(uki, pe, signature_section, &size);
        int r;

        if (!text)
                return error_set(err, -ENOKEY, "no section %s", signature_section);
        r = pcr_signatures_parse(text, size, &signatures, err);
        if (r < 0)
                return r;
        s = pcr_signatures_find(&signatures, fingerprint, policy);
        if (!s)
                return error_set(err, -EKEYREJECTED,
                                 "no signature by the key in %s for what will be measured",
                                 key_section);
        return public_key_verify(key, policy->bytes, SHA256_SIZE, s->signature, s->size, err);
}

static int check(const void *uki, size_t size, struct pcr_prediction *prediction,
                 struct sha256 *fingerprint, struct error *err)
{
        _cleanup_public_key_ struct public_key key = {};
        struct sha256 policy;
        struct pe pe;
        int r;

        r = pe_read(uki, size, &pe, err);
        if (r >= 0)
                r = predict(uki, &pe, prediction, err);
        if (r >= 0)
                r = read_key(uki, &pe, &key, err);
        if (r >= 0)
                r = public_key_fingerprint(&key, fingerprint, err);
        if (r < 0)
                return r;
        pcr_policy_digest(prediction, &policy);
        return check_signature(uki, &pe, &key, fingerprint, &policy, err);
}

int pcr_policy_check(const void *uki, size_t size, struct pcr_prediction *ret,
                     struct sha256 *ret_key, struct error *err)
{
        struct pcr_prediction prediction;
        struct sha256 fingerprint;
        int r = check(uki, size, &prediction, &fingerprint, err);

        if (r < 0)
                return error_prefix(err, r, "PCR policy");
        *ret = prediction;
        *ret_key = fingerprint;
        return 0;
}
