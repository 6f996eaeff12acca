/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a manifest's "trust" says: which links of the chain from firmware to the last byte of /usr
 * the image has. Which keys make them is not the manifest's business: those are files beside the
 * build, see signer.h. */

#include "record.h"

enum root_hash_trust {
        ROOT_HASH_UNSIGNED,
        ROOT_HASH_SIGNED,  /* checked by a kernel that has the certificate; others boot, too */
        ROOT_HASH_REQUIRED /* the kernel opens no hash tree without a signature */
};

enum corruption_action {
        CORRUPTION_ERROR /* to the reader */,
        CORRUPTION_RESTART,
        CORRUPTION_PANIC
};

enum root_encryption {
        ROOT_PLAIN,
        ROOT_TPM2,           /* no TPM: the first boot fails */
        ROOT_TPM2_IF_PRESENT /* no TPM: ROOT is plain */
};

enum ipe_mode { IPE_OFF, IPE_AUDIT, IPE_ENFORCE };

struct trust_config {
        bool secure_boot;   /* boot loader and UKI carry Authenticode signatures */
        bool shim;          /* in front of the boot loader, with Microsoft's signature */
        int root_hash;      /* enum root_hash_trust */
        int on_corruption;  /* enum corruption_action */
        bool measured_boot; /* the UKI carries a signed policy for PCR 11 */
        int root;           /* enum root_encryption */
        int ipe;            /* enum ipe_mode */
        bool lockdown;      /* kernel lockdown=integrity, only signed modules */
};

extern const struct record trust_record;

/* Whether anything there wants a key. */
bool trust_wants_keys(const struct trust_config *trust);
/* Fragments of kernel-config/ that the kernel must satisfy; caller frees with strv_free(). */
int trust_kernel_fragments(const struct trust_config *trust, char ***ret,
                           struct error *err) _must_check_;
/* Words of the kernel command line that follow; caller frees with strv_free(). */
int trust_kernel_options(const struct trust_config *trust, char ***ret,
                         struct error *err) _must_check_;
