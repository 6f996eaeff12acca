/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See parallel.h. */

#include <pthread.h>
#include <sched.h>

#include "interrupt.h"
#include "parallel.h"

enum { THREADS_MAX = 64 };

struct job {
        parallel_fn fn;
        void *context;
        size_t count, next;
        size_t failed_index;
        int code;
        struct error error;
        pthread_mutex_t lock;
};

static bool job_take(struct job *job, size_t *ret)
{
        bool more;

        pthread_mutex_lock(&job->lock);
        more = job->code == 0 && job->next < job->count;
        if (more)
                *ret = job->next++;
        pthread_mutex_unlock(&job->lock);
        return more;
}

static void job_fail(struct job *job, size_t index, int code, const struct error *error)
{
        pthread_mutex_lock(&job->lock);
        if (job->code == 0 || index < job->failed_index) {
                job->code = code;
                job->failed_index = index;
                job->error = *error;
        }
        pthread_mutex_unlock(&job->lock);
}

static void *worker(void *argument)
{
        struct job *job = argument;
        struct error error = {};
        size_t index;
        int r;

        while (job_take(job, &index)) {
                r = interrupt_check(&error);
                if (r == 0)
                        r = job->fn(job->context, index, &error);
                if (r < 0)
                        job_fail(job, index, r, &error);
        }
        return NULL;
}

unsigned parallel_cpus(void)
{
        cpu_set_t set;

        if (sched_getaffinity(0, sizeof(set), &set) < 0)
                return 1;
        return MAX((unsigned)CPU_COUNT(&set), 1U);
}

int parallel_for(size_t count, unsigned threads, parallel_fn fn, void *context, struct error *err)
{
        struct job job = { .fn = fn, .context = context, .count = count };
        pthread_t ids[THREADS_MAX];
        unsigned started = 0;

        threads = MIN(threads ?: parallel_cpus(), (unsigned)THREADS_MAX);
        threads = (unsigned)MIN((size_t)threads, count);
        pthread_mutex_init(&job.lock, NULL);
        /* The calling thread works too; a thread that cannot be had is only less speed. */
        while (started + 1 < threads && pthread_create(&ids[started], NULL, worker, &job) == 0)
                started++;
        worker(&job);
        for (unsigned i = 0; i < started; i++)
                pthread_join(ids[i], NULL);
        pthread_mutex_destroy(&job.lock);
        if (job.code < 0 && err)
                *err = job.error;
        return job.code;
}
