/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One suite of one repository: its InRelease in the cache, and what that says. */

#include "download.h"
#include "manifest.h"
#include "mirror.h"
#include "suite-release.h"
#include "workdir.h"

struct suite {
        const struct repository_config *config; /* the manifest's */
        const char *name;                       /* the manifest's string */
        char *url;                              /* of dists/<suite>; NULL: offline */
        char key[SHA256_HEX_SIZE];              /* of the cached files: "<key>.InRelease" … */
        char *etag, *modified;                  /* the server's words about the cached InRelease */
        char *what;                             /* for messages */
        struct buffer cached;                   /* the cached InRelease; empty: none */
        struct suite_release release;
};

/* Reads what the cache has. mirrors NULL: offline. */
int suite_open(const struct workdir *w, const struct mirrors *mirrors,
               const struct repository_config *config, const char *name, struct suite *ret,
               struct error *err) _must_check_;
void suite_done(struct suite *s);

/* The conditional download of the InRelease, into `d`. */
int suite_prepare(const struct suite *s, char **url, struct download *d,
                  struct error *err) _must_check_;
/* Verifies and parses what came (d NULL: what is cached), and remembers it in the cache. */
int suite_accept(const struct workdir *w, struct suite *s, const struct download *d,
                 struct error *err) _must_check_;
/* Is it the suite that was asked for, and valid today? Warnings are added to *warnings. */
int suite_check(const struct workdir *w, const struct mirrors *mirrors, const struct suite *s,
                char ***warnings, struct error *err) _must_check_;
