/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The verbs below `slipway kernel`, each in its verb-kernel-*.c; verb-kernel.c has their table. */

#include "cli.h"

int verb_kernel_check(int argc, char *argv[], struct error *err);
int verb_kernel_merge(int argc, char *argv[], struct error *err);
int verb_kernel_modules(int argc, char *argv[], struct error *err);
