/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* /etc/slipway/update.json (pristine in /usr/etc): where releases come from and when they are
 * taken. */

#include <time.h>

#include "record.h"

#define UPDATE_CONFIG_PATH "/etc/slipway/update.json"

enum { UPDATE_URL_MAX = 1024 };

enum reboot_strategy { REBOOT_OFF, REBOOT_NOW, REBOOT_FLEETLOCK, REBOOT_MARKER };

struct update_window {
        char **days; /* "Mon" …; empty: all */
        char *start; /* "HH:MM", local time */
        uint64_t length_minutes;
};

struct update_config {
        char *site;    /* URL of the update site; NULL: updates are off */
        char *channel; /* "stable" */
        char **keys;   /* directories with *.ed25519 (public keys); default /usr/lib/slipway/keys.d,
                          /etc/slipway/keys.d */
        char **revoked; /* the same, of keys that no longer count; default …/revoked.d */
        struct update_window window;
        int reboot;          /* enum reboot_strategy */
        char *fleetlock_url; /* with REBOOT_FLEETLOCK */
        char *fleetlock_group;
};

extern const struct record update_config_record;
/* Defaults where the file is absent or silent. */
int update_config_load(const char *root, struct update_config *ret, struct error *err) _must_check_;
/* Zeroed is fine. */
void update_config_done(struct update_config *c);

/* Minutes after midnight of "HH:MM"; ret_minutes may be NULL. false: it is not that. */
bool update_window_start(const char *text, unsigned *ret_minutes);
/* Whether the window is open at this local time. One without a start is open all day. */
bool update_window_open(const struct update_window *w, const struct tm *now);
