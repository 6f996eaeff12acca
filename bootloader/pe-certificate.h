/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The signatures of PE images: what they are of, where they are, how one is added. What is in them
 * is composer/authenticode.h's. */

#include "digest.h"
#include "pe.h"

/* SHA-256 as Authenticode wants it: all but the checksum and the signatures. -EINVAL when bytes lie
 * between sections or in two of them: verifiers differ in what they do with these. */
int pe_digest(const void *data, size_t size, struct sha256 *ret, struct error *err) _must_check_;

/* The next PKCS#7 signature; *position is 0 at first. Returns 1, or 0 behind the last one. The
 * bytes belong to the image; zeros may follow the signature in them. */
int pe_certificate_next(const void *data, const struct pe *pe, size_t *position, const void **ret,
                        size_t *ret_size, struct error *err) _must_check_;

/* A copy of the image with one more PKCS#7 signature; caller frees *ret. */
int pe_attach(const void *data, size_t size, const void *pkcs7, size_t pkcs7_size, char **ret,
              size_t *ret_size, struct error *err) _must_check_;
