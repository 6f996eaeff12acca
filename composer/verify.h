/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Checks the chain of trust of a finished disk, link by link, and what else a build left behind;
 * and derives images from commits again. */

#include <openssl/types.h>

#include "workdir.h"

/* Who may have signed what. Without certificates for a kind, a signature of that kind is only said
 * to be there; with some, one of them must have made it, and there must be one. */
enum verify_kind { VERIFY_BOOT /* boot loader and UKIs */, VERIFY_ROOT_HASH, _VERIFY_KIND_MAX };
enum { VERIFY_CERTIFICATES_MAX = 16 };

struct verify_trust {
        struct {
                X509 *items[VERIFY_CERTIFICATES_MAX];
                size_t count;
        } of[_VERIFY_KIND_MAX];
};
/* A PEM or DER file; _VERIFY_KIND_MAX: for everything. */
int verify_trust_add(struct verify_trust *t, enum verify_kind kind, const char *path,
                     struct error *err) _must_check_;
/* Those of a directory of keys (signer.h). -ENOENT when it has none. */
int verify_trust_add_keys(struct verify_trust *t, const char *directory,
                          struct error *err) _must_check_;
void verify_trust_done(struct verify_trust *t);
#define _cleanup_verify_trust_ _cleanup_(verify_trust_done)

enum verify_state {
        VERIFY_HOLDS,
        VERIFY_UNSIGNED,  /* nothing signs it, and nobody wanted that */
        VERIFY_UNCHECKED, /* there is a signature, and no certificate to check it with */
        VERIFY_BROKEN,    /* comes last */
        _VERIFY_STATE_MAX,
};

/* Called after each check, with the link's name and a sentence. */
typedef void (*verify_said_fn)(void *userdata, const char *link, enum verify_state state,
                               const char *what);

struct verify_options {
        const struct verify_trust *trust;
        verify_said_fn said;
        void *userdata;
};

/* A raw disk, or the image of an extension, by itself: partition table, ESP, boot loader, and of
 * each UKI there everything down to the blocks of its slot. Stops at the first link that does not
 * hold; the message begins with its name. */
int verify_disk(const char *path, const struct verify_options *options,
                struct error *err) _must_check_;

/* A build's output directory: digests of the artifacts, the disk, and the commit when the
 * repository has it. */
int verify_build(const struct workdir *w, const char *directory,
                 const struct verify_options *options, struct error *err) _must_check_;

/* A commit: derives image and root hash from it and compares with its metadata. */
int verify_commit(const struct workdir *w, const char *ref_or_checksum,
                  const struct verify_options *options, struct error *err) _must_check_;
