/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The program `ignition-boot`, which the initrd's units call:
 *
 *   noexec         nothing is executed from /dev, /dev/shm and /run
 *   state          opens ROOT if it is encrypted; leaves /run/ignition/firstboot when the machine
 *                  is to be provisioned, or /run/ignition/undecided when that can only be told once
 *                  ROOT is mounted; beside the first /run/ignition/captured when ROOT is another
 *                  machine's, and /run/ignition/neednet on Azure, where nothing is found offline
 *   forget         removes from ROOT what made it that machine's
 *   use-image      lays the image's /usr over the initrd's
 *   network        announces network devices again, to the image's drivers and rules
 *   complete       ROOT carries the stamp of this machine from now on, after all that was written;
 *                  the report is sent, and the initrd's /usr is back
 *   stamp-missing  exit status 0: ROOT does not carry it
 *   root-missing   exit status 0: the disk has no ROOT; 1: it has one
 *   root-make      makes ROOT when the disk has none; leaves /run/ignition/root-made if it is
 *                  new for certain; opens it if it is encrypted
 *   show           repeats on every console why provisioning failed, if it did
 *   wait           the same, and gives people time to read it: one minute, or five when it did */

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "azure.h"
#include "boot.h"
#include "console.h"
#include "io.h"
#include "root-volume.h"

enum { FAILURE_SIZE_MAX = 64 * 1024, FAILED_WAIT_S = 300, OTHER_WAIT_S = 60 };

static const char usr[] = "/sysusr/usr", root[] = "/sysroot";

static int note(const char *path, struct error *err)
{
        int r = path_mkdirs(AT_FDCWD, "/run/ignition", 0755, err);

        return r < 0 ? r : file_write(AT_FDCWD, path, "", 0, 0644, err);
}

/* 1: found; 0: there is none. */
static int find_root(char ret[static ROOT_NAME_MAX], struct error *err)
{
        struct stat st;

        if (stat(usr, &st) < 0)
                return error_errno(err, "%s", usr);
        return boot_find_root("/sys", st.st_dev, ret);
}

/* A machine on which ROOT could not be made shall not fetch a configuration first. */
static int open_root(struct error *err)
{
        char name[ROOT_NAME_MAX];
        int r = find_root(name, err);

        return r < 0 ? r : r > 0 ? root_volume_open(name, err) : root_volume_possible(err);
}

static int state(struct error *err)
{
        enum boot_state s;
        int r = open_root(err);

        if (r < 0)
                return r;
        s = boot_find_state(usr, root, err);
        if (s == BOOT_UNDECIDED)
                fprintf(stderr, "<4>%s\n", err->message);
        if (s == BOOT_CAPTURED)
                r = note("/run/ignition/captured", err);
        if (r < 0 || s == BOOT_PROVISIONED)
                return r;
        if (s == BOOT_UNDECIDED)
                return note("/run/ignition/undecided", err);
        if (azure_is_here())
                r = note("/run/ignition/neednet", err);
        return r < 0 ? r : note("/run/ignition/firstboot", err);
}

static int open_sysroot(struct error *err)
{
        int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        return fd < 0 ? error_errno(err, "%s", root) : fd;
}

static int forget(struct error *err)
{
        _cleanup_close_ int fd = open_sysroot(err);

        return fd < 0 ? fd : boot_forget_machine(fd, err);
}

static int forbid_executing(struct error *err)
{
        enum { FLAGS = MS_REMOUNT | MS_BIND | MS_NOSUID | MS_NOEXEC };
        static const struct {
                const char *path;
                unsigned long flags;
        } table[] = {
                { "/dev", FLAGS },
                { "/dev/shm", FLAGS | MS_NODEV },
                { "/run", FLAGS | MS_NODEV },
        };

        for (size_t i = 0; i < ARRAY_SIZE(table); i++)
                if (mount("", table[i].path, "", table[i].flags, NULL) < 0)
                        return error_errno(err, "%s", table[i].path);
        return 0;
}

static int use_image(struct error *err)
{
        return boot_use_image(usr, err);
}

static int network(struct error *err _unused_)
{
        boot_announce_network();
        return 0;
}

static int sync_root(int fd, struct error *err)
{
        return syncfs(fd) < 0 ? error_errno(err, "%s", root) : 0;
}

static int stamp(int fd, struct error *err)
{
        _cleanup_close_ int system = azure_is_here() ? open("/", O_PATH | O_CLOEXEC) : -1;

        if (system >= 0 && boot_write_stamp(fd, system, err) >= 0)
                return 0;
        if (system >= 0) /* a machine that does not know its id is provisioned all the same */
                fprintf(stderr, "<4>%s\n", err->message);
        return boot_write_stamp(fd, -1, err);
}

/* The stamp is the last thing that reaches the disk. That nobody can be told of it must not keep
 * the machine from running. */
static int complete(struct error *err)
{
        _cleanup_close_ int fd = open_sysroot(err);
        int r = fd < 0 ? fd : sync_root(fd, err);

        if (r >= 0)
                r = stamp(fd, err);
        if (r >= 0)
                r = sync_root(fd, err);
        if (r < 0)
                return r;
        boot_report(root);
        return boot_leave_image(err);
}

static int stamp_missing(struct error *err)
{
        _cleanup_close_ int fd = open_sysroot(err), system = open("/", O_PATH | O_CLOEXEC);

        return fd < 0 ? fd : boot_read_stamp(fd, system) == BOOT_PROVISIONED;
}

/* An exit status: what is found makes the condition false. */
static int root_missing(struct error *err)
{
        char name[ROOT_NAME_MAX];

        return find_root(name, err);
}

static int make_root(struct error *err)
{
        char name[ROOT_NAME_MAX];
        int r = find_root(name, err);

        if (r != 0)
                return r < 0 ? r : root_volume_open(name, err);
        r = root_volume_make(err);
        /* Where the configuration has partitions, one of them may have an older file system. */
        if (r < 0 || access("/run/ignition/needed/disks", F_OK) == 0)
                return r;
        return note("/run/ignition/root-made", err);
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
        { "noexec", forbid_executing },
        { "state", state },
        { "forget", forget },
        { "use-image", use_image },
        { "network", network },
        { "complete", complete },
        { "stamp-missing", stamp_missing },
        { "root-missing", root_missing },
        { "root-make", make_root },
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
                        fprintf(stderr, "<3>ignition-boot: %s\n", err.message);
                return r < 0 ? 255 : r;
        }
        fprintf(stderr, "Usage: ignition-boot noexec|state|forget|use-image|network|complete|"
                        "stamp-missing|root-missing|root-make|show|wait\n");
        return argc == 2 && streq(argv[1], "--help") ? 0 : 2;
}
