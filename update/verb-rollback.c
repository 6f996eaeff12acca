/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* slipway-update rollback: the other slot's release boots next; from there, forward again. */

#include "verbs.h"

int verb_rollback(const struct arguments *a, struct error *err)
{
        _cleanup_(upgrade_done) struct upgrade u = UPGRADE_NULL;
        char version[BOOT_VERSION_MAX + 1];
        int r = upgrade_open(&a->options, &u, err);

        if (r >= 0)
                r = upgrade_rollback(&u, version, err);
        if (r >= 0)
                printf(a->json ? "{ \"version\": \"%s\" }\n" : "release %s boots next\n", version);
        return r;
}
