/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Makes the keys that a chain of trust begins with, in the files that `--keys` (signer.h) and
 * firmware read. */

#include "error.h"

/* Fills a directory that is not there yet, or is empty; else -EEXIST. All files or none. */
int trust_keys_generate(const char *directory, struct error *err) _must_check_;
