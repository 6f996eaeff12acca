/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The OSTree repository of an update site: archive mode, commits and summary signed with ed25519 in
 * libostree's own format, so that a libostree that was built with it verifies the site too. */

#include "commit.h"
#include "ed25519.h"

enum { SITE_KEYS_MAX = 8 };

struct site_keys {
        struct ed25519_secret items[SITE_KEYS_MAX];
        size_t count;
};

struct site_repo;

/* Opens the repository below the site's directory, creating it when it is not there. */
int site_repo_open(int site_fd, struct site_repo **ret, struct error *err) _must_check_;
void site_repo_free(struct site_repo *s);
DEFINE_CLEANUP(struct site_repo, site_repo_free)
#define _cleanup_site_repo_ _cleanup_(site_repo_free_p)

/* Copies a commit with everything it needs; whoever finds the commit finds the rest. */
int site_repo_copy(struct site_repo *s, struct repo *from, const struct sha256 *commit,
                   unsigned threads, struct error *err) _must_check_;
/* Every key's signature in the commit's detached metadata. *ret_changed becomes true when something
 * was written, here and below. */
int site_repo_sign(struct site_repo *s, const struct sha256 *commit, const struct site_keys *keys,
                   bool *ret_changed, struct error *err) _must_check_;
/* The commit that a ref names; -ENOENT: none. */
int site_repo_ref(struct site_repo *s, const char *ref, struct sha256 *ret,
                  struct error *err) _must_check_;
/* Its commits, for repo_metadata() and repo_load_tree(); borrowed. */
struct repo *site_repo_commits(struct site_repo *s);
/* Its objects, unpacked, as contents. */
struct content_store site_repo_contents(struct site_repo *s);
int site_repo_set_ref(struct site_repo *s, const char *ref, const struct sha256 *commit,
                      bool *ret_changed, struct error *err) _must_check_;

struct site_summary {
        uint64_t now, lifetime; /* seconds */
        bool renew;             /* also when nothing else changed: for a later date */
};
/* Makes the summary that of the refs, signed with every key; a good one is left alone. */
int site_repo_summarize(struct site_repo *s, const struct site_summary *summary,
                        const struct site_keys *keys, bool *ret_changed,
                        struct error *err) _must_check_;

/* Removes all objects but those of these commits and of the refs'; *ret: how many. */
int site_repo_prune(struct site_repo *s, const struct sha256 *commits, size_t count, uint64_t *ret,
                    struct error *err) _must_check_;
