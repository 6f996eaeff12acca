/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See hash-thread.h. One piece is handed over at a time; `data` is the piece that is not hashed
 * yet. When no thread can be had, the caller hashes. */

#include <pthread.h>

#include "hash-thread.h"

struct hash_thread {
        struct hasher hasher;
        pthread_t id;
        bool running, end;
        const void *data;
        size_t size;
        pthread_mutex_t lock;
        pthread_cond_t changed;
};

static void *work(void *argument)
{
        struct hash_thread *h = argument;

        pthread_mutex_lock(&h->lock);
        for (;;) {
                while (!h->data && !h->end)
                        pthread_cond_wait(&h->changed, &h->lock);
                if (!h->data)
                        break;
                pthread_mutex_unlock(&h->lock);
                hasher_update(&h->hasher, h->data, h->size);
                pthread_mutex_lock(&h->lock);
                h->data = NULL;
                pthread_cond_signal(&h->changed);
        }
        pthread_mutex_unlock(&h->lock);
        return NULL;
}

int hash_thread_new(struct hash_thread **ret, struct error *err)
{
        _cleanup_(hash_thread_free_p) struct hash_thread *h = calloc(1, sizeof(*h));
        int r;

        if (!h)
                return error_oom(err);
        pthread_mutex_init(&h->lock, NULL);
        pthread_cond_init(&h->changed, NULL);
        r = hasher_init(&h->hasher, err);
        if (r < 0)
                return r;
        h->running = pthread_create(&h->id, NULL, work, h) == 0;
        *ret = TAKE_PTR(h);
        return 0;
}

void hash_thread_add(struct hash_thread *h, const void *data, size_t size)
{
        if (!h->running) {
                hasher_update(&h->hasher, data, size);
                return;
        }
        pthread_mutex_lock(&h->lock);
        while (h->data)
                pthread_cond_wait(&h->changed, &h->lock);
        h->data = data;
        h->size = size;
        pthread_cond_signal(&h->changed);
        pthread_mutex_unlock(&h->lock);
}

/* The thread finishes the piece that it has. */
static void stop(struct hash_thread *h)
{
        if (!h->running)
                return;
        pthread_mutex_lock(&h->lock);
        h->end = true;
        pthread_cond_signal(&h->changed);
        pthread_mutex_unlock(&h->lock);
        pthread_join(h->id, NULL);
        h->running = false;
}

int hash_thread_end(struct hash_thread *h, struct sha256 *ret, struct error *err)
{
        stop(h);
        return hasher_final(&h->hasher, ret, err);
}

void hash_thread_free(struct hash_thread *h)
{
        if (!h)
                return;
        stop(h);
        hasher_done(&h->hasher);
        pthread_cond_destroy(&h->changed);
        pthread_mutex_destroy(&h->lock);
        free(h);
}
