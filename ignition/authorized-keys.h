/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* SSH keys of a user of the root, in a file of their own below ~/.ssh/authorized_keys.d, so that
 * people's file and other programs' keys stay as they are. */

#include "userdb.h"

/* Where a user's keys are, in the root. fragment: the file's name there; NULL:
 * ~/.ssh/authorized_keys itself. Caller frees. */
int authorized_keys_path(struct userdb *a, const char *user, const char *fragment, char **ret,
                         struct error *err) _must_check_;
/* Notes in the journal what will be written. */
int authorized_keys_note(struct userdb *a, const char *user, const char *fragment,
                         struct error *err) _must_check_;
/* All keys of the file, once the home directory is there. */
int authorized_keys_write(struct userdb *a, const char *user, const struct config_strings *keys,
                          const char *fragment, struct error *err) _must_check_;
