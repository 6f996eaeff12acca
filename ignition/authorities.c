/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See authorities.h. A bundle is any number of PEM blocks, text may stand before each; every block
 * has to be a certificate, and nothing may follow the last one. So a key, an HTML page of some
 * portal or a cut-off file is an error here, and not a failing handshake later. */

#include <dlfcn.h>
#include <openssl/ssl.h>

#include "authorities.h"
#include "openssl.h"

struct authorities {
        X509 **items;
        size_t count, capacity;
};

void authorities_free(struct authorities *list)
{
        for (size_t i = 0; list && i < list->count; i++)
                openssl()->X509_free(list->items[i]);
        if (list)
                free(list->items);
        free(list);
}

/* Only white space is left. */
static bool at_end(BIO *bio)
{
        const char *rest;
        long n = openssl()->BIO_ctrl(bio, BIO_CTRL_INFO, 0, (void *)&rest);

        while (n > 0 && strchr(" \t\r\n", *rest) && *rest)
                rest++, n--;
        return n <= 0;
}

static void free_openssl(void *memory)
{
        openssl()->CRYPTO_free(memory, __FILE__, __LINE__);
}

static int read_one(struct authorities *list, BIO *bio, struct error *err)
{
        const struct openssl *o = openssl();
        char *name = NULL, *header = NULL;
        unsigned char *data = NULL;
        const unsigned char *p;
        X509 *certificate = NULL;
        long size;

        if (array_reserve(&list->items, &list->capacity, list->count + 1, sizeof(X509 *)) < 0)
                return error_oom(err);
        if (o->PEM_read_bio(bio, &name, &header, &data, &size) != 1) {
                o->ERR_clear_error();
                return error_set(err, -EBADMSG, "unable to decode PEM block %zu", list->count + 1);
        }
        p = data;
        if (streq(name, PEM_STRING_X509))
                certificate = o->d2i_X509(NULL, &p, size);
        if (certificate)
                list->items[list->count++] = certificate;
        else
                error_set(err, -EBADMSG, "PEM block %zu is no certificate: %s", list->count + 1,
                          name);
        free_openssl(name);
        free_openssl(header);
        free_openssl(data);
        o->ERR_clear_error();
        return certificate ? 0 : -EBADMSG;
}

static int read_all(struct authorities *list, BIO *bio, struct error *err)
{
        int r;

        do
                r = read_one(list, bio, err);
        while (r == 0 && !at_end(bio));
        return r;
}

int authorities_add(struct authorities **list, const char *pem, size_t size, struct error *err)
{
        int r = openssl_load(err);
        BIO *bio;

        if (r < 0)
                return r;
        if (!*list)
                *list = calloc(1, sizeof(**list));
        if (!*list || size > INT32_MAX)
                return error_oom(err);
        bio = openssl()->BIO_new_mem_buf(pem, (int)size);
        if (!bio)
                return error_oom(err);
        r = read_all(*list, bio, err);
        openssl()->BIO_free(bio);
        return r;
}

/* libssl is loaded because whoever made the context uses it. */
bool authorities_trust(const struct authorities *list, void *ssl_ctx)
{
        void *libssl = dlopen("libssl.so.3", RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE);
        X509_STORE *(*get_store)(const SSL_CTX *) = NULL;
        X509_STORE *store;

        if (!list)
                return true;
        if (libssl)
                get_store = (__typeof__(get_store))dlsym(libssl, "SSL_CTX_get_cert_store");
        store = get_store ? get_store(ssl_ctx) : NULL;
        for (size_t i = 0; store && i < list->count; i++)
                if (openssl()->X509_STORE_add_cert(store, list->items[i]) != 1)
                        return false;
        return store;
}
