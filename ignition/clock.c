/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See clock.h. */

#include <inttypes.h>
#include <time.h>

#include "clock.h"
#include "interrupt.h"

uint64_t clock_ms(void)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000 + 1;
}

uint64_t clock_deadline(uint64_t ms)
{
        uint64_t now = clock_ms();

        return ms == 0 ? 0 : ms > UINT64_MAX - now ? UINT64_MAX : now + ms;
}

uint64_t clock_earlier(uint64_t a, uint64_t b)
{
        return a == 0 || (b > 0 && b < a) ? b : a;
}

uint64_t clock_left(uint64_t deadline)
{
        uint64_t now = clock_ms();

        return deadline == 0 ? UINT64_MAX : deadline > now ? deadline - now : 0;
}

int clock_sleep(uint64_t ms, struct error *err)
{
        uint64_t end = clock_ms() + ms;
        int r = interrupt_check(err);

        for (uint64_t left = ms; r == 0 && left > 0; left = clock_left(end)) {
                const struct timespec t = { (time_t)(left / 1000), (long)(left % 1000) * 1000000 };

                nanosleep(&t, NULL);
                r = interrupt_check(err);
        }
        return r;
}

const char *clock_text(uint64_t ms, char text[CLOCK_TEXT_MAX])
{
        uint64_t s = (ms + 500) / 1000;

        if (ms < 1000)
                snprintf(text, CLOCK_TEXT_MAX, "%" PRIu64 "ms", ms);
        else if (ms < 10000)
                snprintf(text, CLOCK_TEXT_MAX, "%.3gs", (double)ms / 1000);
        else if (s < 60)
                snprintf(text, CLOCK_TEXT_MAX, "%" PRIu64 "s", s);
        else
                snprintf(text, CLOCK_TEXT_MAX, "%" PRIu64 "m%" PRIu64 "s", s / 60, s % 60);
        return text;
}
