/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* /usr and its signature, while a machine boots: which devices, where the signature is, and what
 * the kernel says of it. */

#include "verity-signature.h"

#define USR_SIGNATURE_PATH  "/run/slipway/usr.p7s" /* where systemd-veritysetup gets it from */
#define USR_IPE_POLICY_PATH "/run/slipway/ipe.p7b"

/* What the kernel command line says of /usr. */
struct usr_volume {
        struct sha256 root_hash;
        char *data, *tree; /* devices */
        char *options;     /* of veritytab(5); "" for none */
};

/* -ENODATA: it says nothing. */
int usr_volume_parse(const char *command_line, struct usr_volume *ret,
                     struct error *err) _must_check_;
void usr_volume_done(struct usr_volume *v);
#define _cleanup_usr_volume_ _cleanup_(usr_volume_done)

/* The signature of the volume's root hash, in a partition of the disk that has the data: 1; 0: none
 * is there. */
int usr_signature_find(const struct usr_volume *v, struct verity_signature *ret,
                       struct error *err) _must_check_;
/* What the kernel says: 0, it is good; -ENOKEY, -EINVAL and -ENOPKG: it cannot tell, for want of
 * the certificate, of any certificates, of an algorithm; else it is bad. */
int usr_signature_try(const struct usr_volume *v, const struct verity_blob *pkcs7,
                      struct error *err) _must_check_;
bool usr_signature_unjudged(int code);
