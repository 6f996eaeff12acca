/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* slipway-bless: says to the boot loader that the release that runs is good. Run once a boot, when
 * the boot is complete; does nothing when the entry that was booted has no counter. The ESP is
 * mounted only for the moment of the rename and only for this process. */

#include "bless.h"
#include "esp-mount.h"
#include "loader-variable.h"

static int bless(struct error *err)
{
        char path[LOADER_TEXT_MAX], version[BOOT_VERSION_MAX + 1];
        _cleanup_close_ int esp = -1;
        int r;

        r = loader_variable_read("LoaderBootCountPath", path, err);
        if (r <= 0)
                return r;
        r = esp_mount(&esp, err);
        if (r >= 0)
                r = bless_entry(esp, path, version, err);
        if (r >= 0)
                printf("release %s is good\n", version);
        return r;
}

int main(int argc, char *argv[])
{
        struct error err = {};

        if (argc == 2 && (streq(argv[1], "--help") || streq(argv[1], "--version"))) {
                puts(streq(argv[1], "--help")
                             ? "Usage: slipway-bless\nMarks the release that runs as good."
                             : "slipway-bless " SLIPWAY_VERSION);
                return 0;
        }
        if (argc != 1) {
                fputs("Usage: slipway-bless\n", stderr);
                return 2;
        }
        if (bless(&err) < 0) {
                fprintf(stderr, "slipway-bless: %s\n", err.message);
                return 1;
        }
        return 0;
}
