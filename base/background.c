/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See background.h. */

#include <pthread.h>

#include "background.h"

struct background {
        pthread_t id;
        bool running, end;
        background_fn fn; /* NULL: there is no job */
        void *job;
        int code; /* of the job that failed */
        struct error error;
        pthread_mutex_t lock;
        pthread_cond_t changed;
};

static void *work(void *argument)
{
        struct background *b = argument;

        pthread_mutex_lock(&b->lock);
        for (;;) {
                int r;

                while (!b->fn && !b->end)
                        pthread_cond_wait(&b->changed, &b->lock);
                if (!b->fn)
                        break;
                pthread_mutex_unlock(&b->lock);
                r = b->fn(b->job, &b->error);
                pthread_mutex_lock(&b->lock);
                b->code = MIN(r, 0);
                b->fn = NULL;
                pthread_cond_signal(&b->changed);
        }
        pthread_mutex_unlock(&b->lock);
        return NULL;
}

int background_new(struct background **ret, struct error *err)
{
        struct background *b = calloc(1, sizeof(*b));

        if (!b)
                return error_oom(err);
        pthread_mutex_init(&b->lock, NULL);
        pthread_cond_init(&b->changed, NULL);
        b->running = pthread_create(&b->id, NULL, work, b) == 0;
        *ret = b;
        return 0;
}

int background_wait(struct background *b, struct error *err)
{
        pthread_mutex_lock(&b->lock);
        while (b->fn)
                pthread_cond_wait(&b->changed, &b->lock);
        pthread_mutex_unlock(&b->lock);
        if (b->code < 0 && err)
                *err = b->error;
        return b->code;
}

int background_start(struct background *b, background_fn fn, void *job, struct error *err)
{
        int r = background_wait(b, err);

        if (r < 0)
                return r;
        if (!b->running) {
                b->code = MIN(fn(job, &b->error), 0);
                return background_wait(b, err);
        }
        pthread_mutex_lock(&b->lock);
        b->fn = fn;
        b->job = job;
        pthread_cond_signal(&b->changed);
        pthread_mutex_unlock(&b->lock);
        return 0;
}

void background_free(struct background *b)
{
        if (!b)
                return;
        pthread_mutex_lock(&b->lock);
        b->end = true;
        pthread_cond_signal(&b->changed);
        pthread_mutex_unlock(&b->lock);
        if (b->running)
                pthread_join(b->id, NULL);
        pthread_cond_destroy(&b->changed);
        pthread_mutex_destroy(&b->lock);
        free(b);
}
