/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What UEFI's Secure Boot variables (PK, KEK, db) hold, and the form in which firmware takes a
 * signed change of them: files for enrolment. */

#include "signer.h"
#include "strv.h"

enum efi_variable { EFI_PK, EFI_KEK, EFI_DB, _EFI_VARIABLE_MAX };

/* "PK", "KEK", "db". */
const char *efi_variable_name(enum efi_variable variable);

/* Appends an EFI_SIGNATURE_LIST with that one certificate. */
int efi_signature_list(struct buffer *list, const struct uuid *owner, X509 *certificate,
                       struct error *err) _must_check_;
/* The signed form of "this variable becomes that list": EFI_VARIABLE_AUTHENTICATION_2 and the list.
 * Firmware takes a change when its time (seconds since 1970) is later than the last one's. Caller
 * frees *ret. */
int efi_variable_sign(enum efi_variable variable, const struct buffer *list, int64_t time,
                      const struct signer *signer, char **ret, size_t *ret_size,
                      struct error *err) _must_check_;

/* Of a file for enrolment that came from outside: -EINVAL unless every length in it fits and it
 * holds X.509 certificates only; says how many. Whether the signature is good is the firmware's
 * business. */
int efi_variable_check(const void *data, size_t size, size_t *ret_certificates,
                       struct error *err) _must_check_;
