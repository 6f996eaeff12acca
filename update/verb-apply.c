/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* slipway-update apply, by hand; and auto, which the timer starts: it takes what is new within the
 * window, asks for the reboot, and does nothing on a machine that follows no site. */

#include <time.h>

#include "reboot.h"
#include "verbs.h"

static void print_result(const struct arguments *a, const struct upgrade *u, bool applied)
{
        const char *version = u->offer.release.version;
        json_object *root;

        if (!a->json) {
                printf(!applied                ? "release %s %s\n"
                       : a->options.stage_only ? "release %s is staged\n"
                                               : "release %s boots next\n",
                       version,
                       u->verdict == UPGRADE_CURRENT ? "runs already" : "boots next already");
                return;
        }
        root = json_object_new_object();
        add_text(root, "version", version);
        json_object_object_add(root, "applied", json_object_new_boolean(applied));
        add_number(root, "requests", u->requests);
        add_number(root, "fetched", u->fetched);
        print_json(root);
}

/* 1: applied; 0: there was nothing to do. What somebody went back from is not taken again unasked.
 */
static int apply(struct upgrade *u, bool by_hand, struct error *err)
{
        int r = upgrade_check(u, err);

        if (r < 0 || u->verdict == UPGRADE_CURRENT || u->verdict == UPGRADE_PENDING ||
            (u->verdict == UPGRADE_LEFT && !by_hand))
                return r;
        r = upgrade_apply(u, err);
        return r < 0 ? r : 1;
}

int verb_apply(const struct arguments *a, struct error *err)
{
        _cleanup_(upgrade_done) struct upgrade u = UPGRADE_NULL;
        int r = upgrade_open(&a->options, &u, err);

        if (r >= 0)
                r = apply(&u, true, err);
        if (r >= 0)
                print_result(a, &u, r > 0);
        if (r >= 0 && u.verdict != UPGRADE_CURRENT && !a->options.stage_only)
                r = reboot_announce(&u.config, &a->options.places, u.offer.release.version, err);
        return r;
}

static bool window_is_open(const struct update_config *c)
{
        time_t now = time(NULL);
        struct tm local;

        return localtime_r(&now, &local) && update_window_open(&c->window, &local);
}

/* A release that fell back here before is no failure of the unit: it waits for the next one. */
static int run_auto(const struct arguments *a, struct upgrade *u, struct error *err)
{
        const char *version;
        int r;

        if (!window_is_open(&u->config))
                return upgrade_check(u, err);
        r = apply(u, false, err);
        if (r == -EPERM && u->verdict == UPGRADE_FAILED) {
                printf("%s\n", err->message);
                *err = (struct error){};
                return 0;
        }
        if (r < 0)
                return r;
        version = u->offer.release.version;
        if (u->verdict == UPGRADE_LEFT) {
                printf("release %s was rolled back by hand\n", version);
                return 0;
        }
        print_result(a, u, r > 0);
        return u->verdict == UPGRADE_CURRENT
                       ? reboot_steady(&u->config, &a->options.places, err)
                       : reboot_request(&u->config, &a->options.places, version, err);
}

int verb_auto(const struct arguments *a, struct error *err)
{
        _cleanup_(upgrade_done) struct upgrade u = UPGRADE_NULL;
        _cleanup_(update_config_done) struct update_config config = {};
        int r = update_config_load(a->options.places.root, &config, err);

        if (r < 0 || !config.site)
                return r;
        r = upgrade_open(&a->options, &u, err);
        if (r >= 0)
                r = run_auto(a, &u, err);
        if (r == -EAGAIN) { /* the fleet says: later */
                printf("%s\n", err->message);
                return 0;
        }
        return r;
}
