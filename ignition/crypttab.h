/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The part of the files stage by which the running system opens its encrypted volumes: lines in
 * /etc/crypttab, and their keys in /etc/luks. */

#include "files.h"

int crypttab_plan(struct work *w, struct error *err) _must_check_;
int crypttab_apply(struct work *w, struct error *err) _must_check_;
