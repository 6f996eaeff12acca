/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A system extension as a developer describes it: EXT.json, the tree that follows from it, and the
 * image that hosts merge into /usr and /opt (systemd-sysext(8)). docs/sysext.md has an example. */

#include "image.h"
#include "record.h"
#include "signer.h"
#include "tree.h"

enum { EXTENSION_SIZE_MAX = 2047 * 1024 * 1024 /* bytes of files: an archive's are in memory */ };

struct extension {
        char *name, *version, *architecture; /* "amd64", "arm64" */
        char *level;                         /* SYSEXT_LEVEL of the hosts that take it */
        char *id, *version_id;               /* ID and VERSION_ID of these */
        char *source;                        /* directory or tar archive, beside EXT.json */
        char **scope;                        /* "system", "initrd", "portable"; NULL: the default */
        bool reload_manager;                 /* it brings units */
        struct image_settings erofs;
        char *path; /* of EXT.json, absolute; not from the file */
};

extern const struct record extension_record;

int extension_load(const char *path, struct extension *ret, struct error *err) _must_check_;
void extension_done(struct extension *e);
#define _cleanup_extension_ _cleanup_(extension_done)

/* What merging compares with the host's os-release, and what says which extension it is. Caller
 * frees. */
int extension_release_text(const struct extension *e, char **ret, struct error *err) _must_check_;
/* extension-tree.c: the source's files, which all become root's, with that text among them.
 * -EINVAL for what merging would ignore, or what would break the host. */
int extension_tree(const struct extension *e, struct tree **ret, struct error *err) _must_check_;

/* What was built. */
struct extension_image {
        char *name; /* of the file */
        struct sha256 root_hash, sha256;
        struct sha256 certificate;            /* fingerprint; zeros: unsigned */
        uint64_t size, image_size, tree_size; /* bytes: of the file, of what is in it */
};
void extension_image_done(struct extension_image *i);
#define _cleanup_extension_image_ _cleanup_(extension_image_done)

/* extension-image.c: NAME-VERSION-ARCHITECTURE.raw, and the same .json that describes it, in a
 * directory. Equal inputs give equal bytes. signer NULL: unsigned. */
int extension_build(const struct extension *e, const struct signer *signer, unsigned threads,
                    int output_fd, struct extension_image *ret, struct error *err) _must_check_;
