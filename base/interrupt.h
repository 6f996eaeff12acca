/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Ending early: a program that calls interrupt_catch() is asked by SIGINT, SIGTERM and SIGHUP to
 * stop, and what takes long fails then with -EINTR, so that everything is cleaned up on the usual
 * ways out. A second signal ends the program at once. Without interrupt_catch() nothing changes. */

#include "error.h"

void interrupt_catch(void);
/* -EINTR once a signal came, else 0. For loops that may run long. */
int interrupt_check(struct error *err) _must_check_;
/* At the very end: dies by the signal that came, as whoever sent it expects; returns when none. */
void interrupt_die(void);
