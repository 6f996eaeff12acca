/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Keys for signing releases, as files: NAME.secret, which never leaves whoever publishes, and
 * NAME.ed25519, for images. One line each, in libostree's text form. */

#include "ed25519.h"

/* Makes a pair; -EEXIST when one of the files is there. */
int key_generate(const char *name, struct ed25519_public *ret, struct error *err) _must_check_;
/* Wipe it when it is no longer needed. */
int key_load(const char *path, struct ed25519_secret *ret, struct error *err) _must_check_;
