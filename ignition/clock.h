/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Time that only goes forward, and saying how long something takes. */

#include "error.h"

/* Milliseconds since some start, never 0; deadlines are such times, 0 standing for "none". */
uint64_t clock_ms(void);
/* The deadline that far from now; 0 for 0, which means without limit. */
uint64_t clock_deadline(uint64_t ms);
/* The earlier of two deadlines. */
uint64_t clock_earlier(uint64_t a, uint64_t b);
/* What is left until a deadline, 0 when it has passed; UINT64_MAX without one. */
uint64_t clock_left(uint64_t deadline);
/* Sleeps; -EINTR when a caught signal asks to stop. */
int clock_sleep(uint64_t ms, struct error *err) _must_check_;

/* "400ms", "2.5s", "1m58s" */
enum { CLOCK_TEXT_MAX = 32 };
const char *clock_text(uint64_t ms, char text[CLOCK_TEXT_MAX]);
