/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the commit-site*.c files share. Who includes it includes commit-internal.h before. */

#include "commit-site.h"

struct site_repo {
        OstreeRepo *ostree;
        int fd;
        struct repo commits; /* the same, for those that read */
};

enum { SIGNATURES_MAX = 4 * SITE_KEYS_MAX };

struct signatures {
        struct ed25519_signature items[SIGNATURES_MAX];
        size_t count;
};

bool signatures_have(const struct signatures *s, const struct ed25519_signature *signature);
/* Unless it is there, or there is no room. */
void signatures_add(struct signatures *s, const struct ed25519_signature *signature);
/* Adds those that a dictionary has, which may be NULL. */
void signatures_load(GVariant *dictionary, struct signatures *ret);
/* Adds those of every key, of which ed25519 makes the same one each time. */
int signatures_make(const struct site_keys *keys, const void *data, size_t size,
                    struct signatures *ret, struct error *err) _must_check_;
/* The dictionary (may be NULL) with these signatures and no others; referenced. */
GVariant *signatures_variant(GVariant *dictionary, const struct signatures *s);
