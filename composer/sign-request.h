/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Signatures that are made elsewhere: a build leaves what it wants signed in a directory, and a
 * later one finds the answers there. A signer (signer.h) that has requests signs nothing itself. */

#include "signer.h"

/* The exact packages and ids of the build, beside the requests. */
#define SIGN_LOCK_FILE "packages.lock.json"

enum sign_kind {
        SIGN_IMAGE,    /* a PE image; the answer is the same image with its signature */
        SIGN_DETACHED, /* PKCS#7 without the data in it */
        SIGN_ATTACHED, /* PKCS#7 around the data */
        SIGN_RAW,      /* PKCS#1 v1.5 of the data's SHA-256 */
        _SIGN_KIND_MAX,
};

struct sign_request {
        char *name; /* "uki", "root-hash" …; of the files, which have suffixes by kind */
        int kind;   /* enum sign_kind */
        int role;   /* enum signer_role */
        struct sha256 sha256; /* of the file to be signed */
        uint64_t size;
        char *file, *answer, *command; /* names; how OpenSSL or sbsign would answer */
        bool answered;
};

struct sign_requests {
        int dir_fd;
        struct {
                struct sign_request *items;
                size_t count, capacity;
        } list; /* of this run */
};

/* What a build was made from, so that it can be made again with its signatures. */
struct sign_origin {
        uint64_t format;
        char *image, *version;
        char *manifest, *architecture, *base; /* base NULL: none */
        uint64_t epoch;
        struct sign_request_array {
                struct sign_request *items;
                size_t count;
        } requests;
};

int sign_requests_open(const char *directory, struct sign_requests *ret,
                       struct error *err) _must_check_;
void sign_requests_done(struct sign_requests *q);
#define _cleanup_sign_requests_ _cleanup_(sign_requests_done)

/* Returns 1 and a verified answer (of an image its PKCS#7; caller frees *ret), or 0 when there is
 * none yet: then what wants a signature is in the directory. An answer that is there but wrong is
 * an error. */
int sign_request(const struct signer *signer, enum sign_kind kind, const char *name,
                 const void *data, size_t size, char **ret, size_t *ret_size,
                 struct error *err) _must_check_;
/* How many have no answer. */
size_t sign_requests_open_count(const struct sign_requests *q);

/* The list of requests with their origin, "signing.json". Writing borrows origin's strings. */
int sign_origin_write(const struct sign_requests *q, const struct sign_origin *origin,
                      struct error *err) _must_check_;
int sign_origin_parse(const char *text, size_t size, struct sign_origin *ret,
                      struct error *err) _must_check_;
int sign_origin_load(const struct sign_requests *q, struct sign_origin *ret,
                     struct error *err) _must_check_;
void sign_origin_done(struct sign_origin *o);
#define _cleanup_sign_origin_ _cleanup_(sign_origin_done)
/* Whether every request of the list has an answer that is right. -ENODATA names those without,
 * other errors the first that is wrong. */
int sign_origin_verify(const struct sign_requests *q, const struct sign_origin *origin,
                       const struct signers *signers, struct error *err) _must_check_;
