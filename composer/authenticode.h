/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Signatures that firmware checks before it starts an image: Microsoft's Authenticode, as much of
 * it as UEFI's Secure Boot takes. */

#include "signer.h"

/* A copy of a PE image with a signature behind those that it has; caller frees *ret. Equal images
 * and keys give equal bytes. `name` is what it is called when the signature is made elsewhere;
 * while there is none the copy is just that. -EINVAL for what pe_digest() refuses. */
int authenticode_sign(const struct signer *signer, const char *name, const void *image, size_t size,
                      char **ret, size_t *ret_size, struct error *err) _must_check_;

/* Whether the image carries a signature by that very certificate (no chains), and is what was
 * signed. -ENODATA without any signature, -EKEYREJECTED without a valid one by this certificate,
 * -EBADMSG when there is one but of other bytes, -EINVAL when it is no sound PE image. Dates are
 * not looked at, as firmware has no clock to trust. */
int authenticode_verify(const void *image, size_t size, X509 *certificate,
                        struct error *err) _must_check_;

/* The DER PKCS#7 of the same two. */
int authenticode_make(const struct signer *signer, const struct sha256 *digest, char **ret,
                      size_t *ret_size, struct error *err) _must_check_;
int authenticode_check(const void *pkcs7, size_t size, const struct sha256 *digest,
                       X509 *certificate, struct error *err) _must_check_;
