/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See reboot.h. */

#include <fcntl.h>

#include "digest.h"
#include "io.h"
#include "process.h"
#include "reboot.h"
#include "request.h"
#include "strv.h"

#define STEADY_PATH "/run/slipway/fleetlock-steady"

enum { MACHINE_ID_MAX = 64, ANSWER_MAX = 64 * 1024, ID_SIZE = 32 };

/* The id that the fleet knows this machine by: not the machine's own, which is nobody's business.
 */
static int fleet_id(const struct host_places *places, char ret[SHA256_HEX_SIZE], struct error *err)
{
        _cleanup_free_ char *path = host_path(places, "/etc/machine-id"), *text = NULL,
                            *seed = NULL;
        struct sha256 digest;
        int r = path ? file_read(AT_FDCWD, path, MACHINE_ID_MAX, &text, NULL, err) : error_oom(err);

        if (r < 0)
                return r;
        seed = string_format("slipway fleetlock %s", text);
        if (!seed)
                return error_oom(err);
        sha256_of(seed, strlen(seed), &digest);
        sha256_hex(&digest, ret)[ID_SIZE] = '\0';
        return 0;
}

/* "pre-reboot" or "steady-state". The group's name is one that needs no quotes in JSON (config.c).
 */
static int ask_fleet(const struct update_config *c, const struct host_places *places,
                     const char *what, struct error *err)
{
        _cleanup_free_ char *url = string_format("%s/v1/%s", c->fleetlock_url, what), *body = NULL,
                            *answer = NULL;
        struct request request = { .url = url,
                                   .headers = { "fleet-lock-protocol: true",
                                                "content-type: application/json" },
                                   .limit = ANSWER_MAX };
        char id[SHA256_HEX_SIZE];
        int r = fleet_id(places, id, err);

        if (r < 0)
                return r;
        request.body = body = string_format("{\"client_params\":{\"id\":\"%s\",\"group\":\"%s\"}}",
                                            id, c->fleetlock_group);
        if (!url || !body)
                return error_oom(err);
        return error_prefix(err, request_run(&request, &answer, NULL, err), "FleetLock");
}

static int reboot_now(const struct update_config *c _unused_, const struct host_places *places,
                      const char *version _unused_, struct error *err)
{
        static const char *const argv[] = { "systemctl", "reboot", NULL };

        if (places->root)
                return error_set(err, -EPERM, "this is not the machine that would be rebooted");
        return spawn(argv, NULL, NULL, err);
}

static int reboot_fleet(const struct update_config *c, const struct host_places *places,
                        const char *version, struct error *err)
{
        int r = ask_fleet(c, places, "pre-reboot", err);

        if (r == -EREMOTEIO || r == -ENOENT)
                return error_prefix(err, -EAGAIN, "not rebooted yet");
        return r < 0 ? r : reboot_now(c, places, version, err);
}

static int put_file(const struct host_places *places, const char *path, const char *text,
                    struct error *err)
{
        _cleanup_free_ char *below = host_path(places, path);

        return below ? file_write(AT_FDCWD, below, text, strlen(text), 0644, err) : error_oom(err);
}

static int reboot_marker(const struct update_config *c _unused_, const struct host_places *places,
                         const char *version, struct error *err)
{
        _cleanup_free_ char *packages = string_format("slipway-release-%s\n", version);
        int r = packages ? put_file(places, REBOOT_REQUIRED_PATH ".pkgs", packages, err)
                         : error_oom(err);

        if (r >= 0)
                r = put_file(places, REBOOT_REQUIRED_PATH, "*** System restart required ***\n",
                             err);
        return r;
}

int reboot_request(const struct update_config *c, const struct host_places *places,
                   const char *version, struct error *err)
{
        static int (*const strategies[])(const struct update_config *c,
                                         const struct host_places *places, const char *version,
                                         struct error *err) = {
                [REBOOT_NOW] = reboot_now,
                [REBOOT_FLEETLOCK] = reboot_fleet,
                [REBOOT_MARKER] = reboot_marker,
        };

        if (c->reboot == REBOOT_OFF)
                return 0;
        return error_prefix(err, strategies[c->reboot](c, places, version, err), "reboot");
}

int reboot_announce(const struct update_config *c, const struct host_places *places,
                    const char *version, struct error *err)
{
        return c->reboot == REBOOT_MARKER ? reboot_request(c, places, version, err) : 0;
}

int reboot_steady(const struct update_config *c, const struct host_places *places,
                  struct error *err)
{
        _cleanup_free_ char *path = host_path(places, STEADY_PATH);
        int r;

        if (!path)
                return error_oom(err);
        if (c->reboot != REBOOT_FLEETLOCK || faccessat(AT_FDCWD, path, F_OK, 0) == 0)
                return 0;
        r = ask_fleet(c, places, "steady-state", err);
        return r < 0 ? r : put_file(places, STEADY_PATH, "", err);
}
