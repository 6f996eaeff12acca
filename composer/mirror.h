/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Where this builder gets packages from: logical repository names → URLs, and what its apt says
 * about proxies and dates. URLs stay here and in messages; no artifact or lock file holds one. */

#include "error.h"

struct mirrors {
        char **given;     /* --mirror NAME=URL; borrowed */
        char **apt_urls;  /* of enabled deb sources, in apt's order */
        char *http_proxy; /* apt's; NULL: the environment decides, "": none */
        char *https_proxy;
        bool check_valid_until, check_date; /* Acquire::Check-Valid-Until, Acquire::Check-Date */
};

/* Reads apt's configuration and sources; a builder without apt has none, which is no error. */
int mirrors_load(char **given, struct mirrors *ret, struct error *err) _must_check_;
void mirrors_done(struct mirrors *m);
#define _cleanup_mirrors_ _cleanup_(mirrors_done)

/* The URL of a repository, no slash at its end: --mirror, SLIPWAY_MIRROR_<NAME>, then the apt
 * source whose path's last component is the name (the shortest such path, then the first). Caller
 * frees. */
int mirrors_url(const struct mirrors *m, const char *name, char **ret,
                struct error *err) _must_check_;

/* "<url>/<path>" with what a URL cannot hold percent-encoded in path; NULL: out of memory. */
char *url_join(const char *url, const char *path);
/* A path below a repository's URL, from outside: relative, printable, no empty, "." or ".."
 * component, at most 1024 bytes. */
bool url_path_valid(const char *path);

/* Appends the URLs of the enabled deb sources in a text of a *.sources or *.list file. */
int apt_sources_parse_deb822(const char *text, size_t size, char ***urls,
                             struct error *err) _must_check_;
int apt_sources_parse_list(const char *text, size_t size, char ***urls,
                           struct error *err) _must_check_;
