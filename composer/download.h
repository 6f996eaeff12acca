/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Downloads over http, https and file URLs: up to 16 at once, resumed where they broke, retried
 * with a growing pause, and checked for size and sha256 before a file gets its name.
 *
 * A file grows as "<name>.part" under a lock (flock). It is kept when a download fails, so that the
 * next run goes on from there. A second process that wants the same file waits for the lock and
 * then finds the file complete. */

#include "digest.h"
#include "strv.h"

enum { DOWNLOAD_CONNECTIONS_MAX = 16, DOWNLOAD_ATTEMPTS_MAX = 5 };

struct download {
        const char *what; /* for messages: "package 'foo'"; borrowed, as all strings here */
        const char *url;
        uint64_t size; /* exactly so many bytes; of a document: at most */

        /* A file: directory, final name, digest. */
        int dir_fd;
        const char *name; /* NULL: a document, read into body */
        struct sha256 sha256;

        /* A document: what the server said about the copy we have (NULL: nothing) … */
        const char *etag, *modified;
        /* … and what it says now. Freed by download_done(). */
        bool unchanged;
        struct buffer body;
        char *new_etag, *new_modified;
};

struct download_options {
        const char *http_proxy, *https_proxy; /* NULL: from the environment, "": none */
        /* Bytes done of the total of all files; NULL: silent. */
        void (*progress)(void *userdata, uint64_t done, uint64_t total);
        void *userdata;
};

/* Fetches all of them; the first one that fails for good ends the rest. */
int download_all(struct download *items, size_t count, const struct download_options *options,
                 struct error *err) _must_check_;
/* Frees what a download brought back. */
void download_done(struct download *d);

/* True when the file is there with that size. One of another size is what a power cut left: it is
 * removed. */
bool download_present(int dir_fd, const char *name, uint64_t size);
