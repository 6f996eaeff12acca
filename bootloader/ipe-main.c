/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* slipway-ipe: loads the release's IPE policy in the initrd. Where it is to be enforced the boot
 * cannot go on without; where it is only to report, a machine that does not know the certificate
 * says so and goes on. */

#include <fcntl.h>
#include <stdio.h>

#include "ipe-load.h"

/* Priority of a line in the journal, as sd-daemon.h has it. */
#define SD_WARNING "<4>"

static const char ipe_directory[] = "/sys/kernel/security/ipe";
static const char policy_path[] = "/run/slipway/ipe.p7b";

static int seal(struct error *err)
{
        _cleanup_close_ int run = open("/run", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        return run < 0 ? error_errno(err, "/run") : ipe_seal(run, err);
}

/* Without a policy: 0 where that is only told, else what went wrong. */
static int load(struct error *err)
{
        _cleanup_close_ int ipe = open(ipe_directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct error load_err = {};
        int enforces, r;

        if (ipe < 0)
                return error_errno(err, "%s", ipe_directory);
        enforces = ipe_enforces(ipe, err);
        if (enforces < 0)
                return enforces;
        r = ipe_load(ipe, policy_path, &load_err);
        if (r >= 0)
                return enforces ? seal(err) : 0;
        if (enforces)
                return error_set(err, r, "%s", load_err.message);
        fprintf(stderr, SD_WARNING "slipway-ipe: nothing is reported: %s\n", load_err.message);
        return 0;
}

int main(int argc, char *argv[])
{
        struct error err = {};

        if (argc == 2 && (streq(argv[1], "--help") || streq(argv[1], "--version"))) {
                puts(streq(argv[1], "--help")
                             ? "Usage: slipway-ipe\nLoads the IPE policy of the release."
                             : "slipway-ipe " SLIPWAY_VERSION);
                return 0;
        }
        if (argc != 1) {
                fputs("Usage: slipway-ipe\n", stderr);
                return 2;
        }
        if (load(&err) < 0) {
                fprintf(stderr, "slipway-ipe: %s\n", err.message);
                return 1;
        }
        return 0;
}
