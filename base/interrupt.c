/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See interrupt.h. A signal handler can reach nothing but a variable of its own. */

#include <signal.h>

#include "interrupt.h"

static const int caught[] = { SIGINT, SIGTERM, SIGHUP };
static volatile sig_atomic_t received;

static void on_signal(int number)
{
        received = number;
}

void interrupt_catch(void)
{
        struct sigaction action = { .sa_handler = on_signal,
                                    .sa_flags = SA_RESTART | (int)SA_RESETHAND };
        struct sigaction old;

        for (size_t i = 0; i < ARRAY_SIZE(caught); i++)
                if (sigaction(caught[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
                        sigaction(caught[i], &action, NULL);
}

int interrupt_check(struct error *err)
{
        return received ? error_set(err, -EINTR, "stopped by signal %d", (int)received) : 0;
}

void interrupt_die(void)
{
        if (received) {
                signal(received, SIG_DFL);
                raise(received);
        }
}
