/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The system extensions of an update site: extensions/<sha256>.raw, and for each channel a signed
 * index beside what is said of its releases (extension-index.h). */

#include "channel.h"
#include "commit-site.h"
#include "extension-index.h"

struct site_extensions {
        const char *path; /* of the channel, below the site */
        const char *image, *architecture, *channel;
        char *const *files; /* NAME.raw, with the NAME.json of `slipway sysext` beside each */
        const struct site_keys *keys;
};

/* The architecture that the description of an extension's file names; caller frees. */
int site_extension_architecture(const char *file, char **ret, struct error *err) _must_check_;
/* -EEXIST: the channel has that version with other bytes; -EINVAL: it is for another architecture;
 * -EBADMSG: the file is not the one that is described. */
int site_extensions_add(int site_fd, const struct site_extensions *x, bool *ret_changed,
                        struct error *err) _must_check_;

/* Digests of the files that a channel's index names, added to an array. */
struct site_extensions_needed {
        struct sha256 *items;
        size_t count, capacity;
};
int site_extensions_need(int site_fd, const char *path, struct site_extensions_needed *n,
                         struct error *err) _must_check_;
/* Removes the files that no index names; *ret: how many. */
int site_extensions_prune(int site_fd, const struct site_extensions_needed *n, uint64_t *ret,
                          struct error *err) _must_check_;
