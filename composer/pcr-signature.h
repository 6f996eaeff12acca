/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The text in a UKI's .pcrsig, which systemd's programs look into when they open a secret:
 *
 *   {"sha256":[{"pcrs":[11],"pkfp":HEX,"pol":HEX,"sig":BASE64}]}
 *
 * One object for each signed policy: its PCRs, whose key signed it, its digest, the signature. */

#include "digest.h"
#include "record.h"

enum {
        PCR_SIGNATURE_TEXT_MAX = 64 * 1024,
        PCR_SIGNATURES_MAX = 64, /* several keys, several phases: a handful */
        PCR_SIGNATURE_SIZE_MAX = 512 /* RSA of 4096 bits */,
};

struct pcr_signature {
        struct sha256 key;    /* fingerprint, see public-key.h */
        struct sha256 policy; /* digest of TPM2_PolicyPCR */
        char *signature;
        size_t size;
};
void pcr_signature_done(struct pcr_signature *s);

struct pcr_signatures {
        struct field_array list; /* of struct pcr_signature */
};
void pcr_signatures_done(struct pcr_signatures *s);
#define _cleanup_pcr_signatures_ _cleanup_(pcr_signatures_done)

/* Takes the form above and nothing else: one bank, PCR 11. Errors name line and column. */
int pcr_signatures_parse(const char *text, size_t size, struct pcr_signatures *ret,
                         struct error *err) _must_check_;
/* The signature of that policy by that key; NULL: there is none. */
const struct pcr_signature *pcr_signatures_find(const struct pcr_signatures *s,
                                                const struct sha256 *key,
                                                const struct sha256 *policy);
/* The text of one; caller frees. */
int pcr_signature_text(const struct pcr_signature *s, char **ret, struct error *err) _must_check_;
