/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What one stage leaves for the next besides the cache: a small JSON file (--state-file), readable
 * by root only because it may hold keys. Members and their names are the original's; what we do
 * not know is kept. A stage that fails saves nothing.
 *
 *   fetchedConfigs       [{kind: "base"|"user", source, referenced}]
 *   notatedDirectories   ["/var/x"]                 made by mount below --root, for homes
 *   luksPersistKeyFiles  {"NAME": "data:…"}         for files: keys that go into /etc/luks
 *   luksPersistVolumeKeyFiles {"NAME": "data:…"}    (cex)
 *   providerOutputFiles  [{path, mode, contents: "data:…"}]
 * and ours:
 *   positions            where each setting was written, see origin.h
 *   wiped                true: contents and keys are gone from cache and state, see wipe.c */

#include "json.h"

struct state {
        json_object *root; /* never NULL after state_load() or the first state_…() that adds */
};

/* An absent file is an empty state. */
int state_load(const char *path, struct state *ret, struct error *err) _must_check_;
void state_done(struct state *s);
/* Atomically, mode 0600, parents made. */
int state_save(struct state *s, const char *path, struct error *err) _must_check_;

/* 0 or -ENOMEM, as for all that add. */
int state_add_config(struct state *s, const char *kind, const char *source,
                     bool referenced) _must_check_;
int state_add_directory(struct state *s, const char *path) _must_check_;
/* which: "luksPersistKeyFiles" or "luksPersistVolumeKeyFiles". */
int state_set_key(struct state *s, const char *which, const char *name,
                  const char *url) _must_check_;

/* Sets a member; the value is the state's from here on. */
int state_set(struct state *s, const char *key, json_object *value) _must_check_;
int state_set_wiped(struct state *s) _must_check_;
bool state_is_wiped(const struct state *s);

/* The member when it is there and has the type, else NULL. Borrowed. */
json_object *state_get(const struct state *s, const char *key, json_type type);
/* Whether there is a user's configuration at all. */
bool state_has_user_config(const struct state *s);
