/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The signature of a root hash, as a USR-VERITY-SIG partition has it and an update site beside an
 * image: the JSON object of the Discoverable Partitions Specification, with one key of ours. The
 * composer writes it, the update agent copies it, the initrd hands what is in it to the kernel. */

#include "digest.h"
#include "json.h"

enum {
        VERITY_SIGNATURE_TEXT_MAX = 64 * 1024, /* of the object; the partition has a MiB and more */
        VERITY_SIGNATURE_PKCS7_MAX = 8 * 1024, /* RSA-4096 and a long name of the certificate */
        VERITY_SIGNATURE_POLICY_MAX = 32 * 1024,
};

struct verity_blob {
        char *data;
        size_t size;
};

struct verity_signature {
        struct sha256 root_hash;
        struct sha256 fingerprint;     /* of the certificate's DER form; zeros: not said */
        struct verity_blob signature;  /* DER PKCS#7, detached, over the 64 hex digits */
        struct verity_blob ipe_policy; /* DER PKCS#7 around a policy of IPE; empty: none */
};

/* The object in so many bytes, behind which there are zeros only; keys that nobody knows are passed
 * over. -EINVAL, -EFBIG. */
int verity_signature_parse(const char *name, const char *text, size_t size,
                           struct verity_signature *ret, struct error *err) _must_check_;
/* The same of a range of a file or device: 1; or 0 when there are zeros only. */
int verity_signature_read(const char *name, int fd, uint64_t offset, uint64_t size,
                          struct verity_signature *ret, struct error *err) _must_check_;
/* The text, with a line end, if verity_signature_parse() takes it. Caller frees. */
int verity_signature_text(const struct verity_signature *s, char **ret,
                          struct error *err) _must_check_;
void verity_signature_done(struct verity_signature *s);
#define _cleanup_verity_signature_ _cleanup_(verity_signature_done)
