/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Measured boot: what PCR 11 of the TPM holds after systemd-stub has started a UKI and systemd has
 * passed the phases of the boot; and the signature of the policy "PCR 11 is that" in the UKI. A
 * secret bound to the key (not to a PCR's value) opens under every UKI that this key has signed. */

#include "signer.h"

/* Moments of a boot, each after the words of those before were measured, too. */
enum pcr_phase {
        PCR_PHASE_KERNEL, /* the UKI alone */
        PCR_PHASE_ENTER_INITRD,
        PCR_PHASE_LEAVE_INITRD,
        PCR_PHASE_SYSINIT,
        PCR_PHASE_READY,
        _PCR_PHASE_MAX,
        /* The only one whose value is signed: ROOT is made and opened in the initrd, and nobody
         * else shall have its key. */
        PCR_PHASE_SIGNED = PCR_PHASE_ENTER_INITRD,
};

/* As systemd writes a path of phases: "", "enter-initrd", "enter-initrd:leave-initrd", … */
const char *pcr_phase_path(enum pcr_phase phase);

struct pcr_prediction {
        struct sha256 values[_PCR_PHASE_MAX]; /* of PCR 11, bank sha256 */
};

/* -EINVAL for what is no PE image; -EOPNOTSUPP when it has a section of which only the machine
 * knows whether it is measured. */
int pcr_predict(const void *uki, size_t size, struct pcr_prediction *ret,
                struct error *err) _must_check_;
/* The digest of TPM2_PolicyPCR for the phase that is signed: these 32 bytes are what a key that is
 * elsewhere has to sign (RSA, SHA-256, PKCS#1 v1.5). */
void pcr_policy_digest(const struct pcr_prediction *prediction, struct sha256 *ret);

/* A copy of the UKI with .pcrsig: the signature of its policy digest by the key in its .pcrpkey.
 * -EKEYREJECTED when it is none, -ENOKEY without .pcrpkey. Caller frees *ret. */
int pcr_policy_attach(const void *uki, size_t size, const void *signature, size_t signature_size,
                      char **ret, size_t *ret_size, struct error *err) _must_check_;
/* The same with a signer, of what was predicted for that UKI. One whose signatures are made
 * elsewhere has none (0 bytes) at first: then it is a copy without .pcrsig. */
int pcr_policy_sign(const void *uki, size_t size, const struct pcr_prediction *prediction,
                    const struct signer *signer, char **ret, size_t *ret_size,
                    struct error *err) _must_check_;

/* Checks a finished UKI: .pcrsig signs what PCR 11 will hold, by the key in .pcrpkey, whose
 * fingerprint (as systemd computes it) comes back with the prediction. -ENOKEY when one of the two
 * sections is not there, -EKEYREJECTED when they do not agree. */
int pcr_policy_check(const void *uki, size_t size, struct pcr_prediction *ret,
                     struct sha256 *ret_key, struct error *err) _must_check_;
