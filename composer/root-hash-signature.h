/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Signing a root hash, and judging such a signature without a kernel. */

#include "signer.h"
#include "verity-signature.h"

/* The text for USR-VERITY-SIG: PKCS#7 of the root hash's 64 hex digits, and of the policy of IPE
 * (NULL: none). Equal inputs give equal bytes. Caller frees. */
int root_hash_sign(const struct signer *signer, const struct sha256 *root_hash,
                   const char *ipe_policy, char **ret, struct error *err) _must_check_;

/* Whether the certificate's key made it, as the kernel would say: -EKEYREJECTED when not; -ENOKEY
 * when it is another certificate's; -EBADMSG when it is no such thing. `content` NULL: it is in the
 * PKCS#7 itself, and the caller frees *ret_content (NUL-terminated; may be NULL). */
int pkcs7_verify(X509 *certificate, const struct verity_blob *pkcs7, const char *content,
                 char **ret_content, struct error *err) _must_check_;
