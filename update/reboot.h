/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What follows when a release waits for its boot: nothing, a reboot, a reboot when a FleetLock
 * server allows it (https://coreos.github.io/zincati/development/fleetlock/protocol/), or a marker
 * for who reboots machines here (kured and others look for /run/reboot-required). */

#include "config.h"
#include "host.h"

#define REBOOT_REQUIRED_PATH "/run/reboot-required"

/* -EAGAIN: not now; asked again with the next run. */
int reboot_request(const struct update_config *c, const struct host_places *places,
                   const char *version, struct error *err) _must_check_;
/* For an update by hand: nothing is rebooted, but who reboots machines here finds the marker. */
int reboot_announce(const struct update_config *c, const struct host_places *places,
                    const char *version, struct error *err) _must_check_;
/* A machine that is up gives its place in the fleet back; once a boot. */
int reboot_steady(const struct update_config *c, const struct host_places *places,
                  struct error *err) _must_check_;
