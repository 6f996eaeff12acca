/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* slipway-update check: what the channel offers. */

#include "verbs.h"

static void print_check(const struct upgrade *u)
{
        const struct release *r = &u->offer.release;
        char hex[SHA256_HEX_SIZE];
        json_object *root = json_object_new_object();

        add_text(root, "state", upgrade_verdict_names[u->verdict]);
        add_text(root, "running", u->host.release.version);
        add_text(root, "version", r->version);
        add_text(root, "kernel", r->kernel);
        add_number(root, "timestamp", r->timestamp);
        add_text(root, "rootHash", sha256_hex(&r->root_hash, hex));
        print_json(root);
}

int verb_check(const struct arguments *a, struct error *err)
{
        static const char *const texts[_UPGRADE_VERDICT_MAX] = {
                [UPGRADE_CURRENT] = "runs",
                [UPGRADE_PENDING] = "is there, and boots next",
                [UPGRADE_AVAILABLE] = "can be applied",
                [UPGRADE_FAILED] = "fell back on this machine before, and is not tried again",
                [UPGRADE_LEFT] = "was rolled back by hand: `slipway-update apply` takes it again",
        };
        _cleanup_(upgrade_done) struct upgrade u = UPGRADE_NULL;
        int r = upgrade_open(&a->options, &u, err);

        if (r >= 0)
                r = upgrade_check(&u, err);
        if (r < 0)
                return r;
        if (a->json)
                print_check(&u);
        else
                printf("release %s %s\n", u.offer.release.version, texts[u.verdict]);
        return 0;
}
