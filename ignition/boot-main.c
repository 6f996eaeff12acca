/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The program `ignition-boot`, which the initrd's units call:
 *
 *   state          leaves /run/ignition/firstboot when the machine is to be provisioned, or
 *                  /run/ignition/undecided when that can only be told once ROOT is mounted
 *   root-missing   exit status 0: the disk has no ROOT; 1: it has one
 *   show           repeats on every console why provisioning failed, if it did
 *   wait           the same, and gives people time to read it: one minute, or five when it did */

#include <fcntl.h>
#include <sys/stat.h>

#include "boot.h"
#include "console.h"
#include "io.h"

enum { FAILURE_SIZE_MAX = 64 * 1024, FAILED_WAIT_S = 300, OTHER_WAIT_S = 60 };

static const char usr[] = "/sysusr/usr";

static int note(const char *path, struct error *err)
{
        int r = path_mkdirs(AT_FDCWD, "/run/ignition", 0755, err);

        return r < 0 ? r : file_write(AT_FDCWD, path, "", 0, 0644, err);
}

static int state(struct error *err)
{
        enum boot_state s = boot_find_state(usr, "/sysroot", err);

        if (s == BOOT_UNDECIDED)
                fprintf(stderr, "<4>%s\n", err->message);
        return s == BOOT_PROVISIONED ? 0
               : s == BOOT_FIRST     ? note("/run/ignition/firstboot", err)
                                     : note("/run/ignition/undecided", err);
}

static int root_missing(struct error *err)
{
        char name[ROOT_NAME_MAX];
        struct stat st;

        if (stat(usr, &st) < 0)
                return error_errno(err, "%s", usr);
        return boot_find_root("/sys", st.st_dev, name) ? 1 : 0;
}

/* true: provisioning failed. */
static bool show_failure(void)
{
        _cleanup_free_ char *text = NULL;
        struct error ignored;
        size_t size;

        if (file_read(AT_FDCWD, "/run/ignition/failure", FAILURE_SIZE_MAX, &text, &size, &ignored) <
            0)
                return false;
        console_write(CONSOLES, text, size);
        return true;
}

static int show(struct error *err _unused_)
{
        show_failure();
        return 0;
}

static int wait_for_people(struct error *err _unused_)
{
        static const char next[] = "            It is tried again in five minutes.\n";
        bool failed = show_failure();

        if (failed)
                console_write(CONSOLES, next, strlen(next));
        sleep(failed ? FAILED_WAIT_S : OTHER_WAIT_S);
        return 0;
}

static const struct {
        const char *name;
        int (*run)(struct error *err);
} verbs[] = {
        { "state", state },
        { "root-missing", root_missing },
        { "show", show },
        { "wait", wait_for_people },
};

int main(int argc, char *argv[])
{
        struct error err = {};

        for (size_t i = 0; argc == 2 && i < ARRAY_SIZE(verbs); i++) {
                int r;

                if (!streq(argv[1], verbs[i].name))
                        continue;
                r = verbs[i].run(&err);
                if (r < 0)
                        fprintf(stderr, "ignition-boot: %s\n", err.message);
                return r < 0 ? 255 : r;
        }
        fprintf(stderr, "Usage: ignition-boot state|root-missing|show|wait\n");
        return argc == 2 && streq(argv[1], "--help") ? 0 : 2;
}
