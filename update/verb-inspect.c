/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* slipway-update inspect [COMMAND…]: runs a command, or a shell, in the other slot's /usr. The slot
 * is opened by dm-verity with the root hash that its partitions' UUIDs say, so what is seen is what
 * would boot, and mounted where only the command sees it: /run/slipway/inspect, which is its
 * directory. */

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>

#undef BLOCK_SIZE /* the kernel's, of another time */

#include "io.h"
#include "process.h"
#include "strv.h"
#include "verbs.h"

#define MAPPING     "slipway-inspect"
#define MOUNT_POINT "/run/slipway/inspect"
#define ATTACH      "/usr/lib/systemd/systemd-veritysetup"

/* The root hash of a slot: its halves are the UUIDs of the two partitions. */
static void slot_hash(const struct slot *slot, char ret[SHA256_HEX_SIZE])
{
        struct sha256 hash;

        memcpy(hash.bytes, slot->usr.uuid.bytes, UUID_SIZE);
        memcpy(hash.bytes + UUID_SIZE, slot->tree.uuid.bytes, UUID_SIZE);
        sha256_hex(&hash, ret);
}

static int attach(const struct host *h, struct error *err)
{
        struct store_range usr = { .fd = -1 }, tree = { .fd = -1 };
        _cleanup_free_ char *usr_path = NULL, *tree_path = NULL;
        char hash[SHA256_HEX_SIZE];
        int r;

        slot_hash(h->idle, hash);
        r = target_open_read(h, &h->idle->usr, &usr, err);
        if (r >= 0)
                r = target_open_read(h, &h->idle->tree, &tree, err);
        if (r >= 0) {
                usr_path = string_format("/proc/%d/fd/%d", getpid(), usr.fd);
                tree_path = string_format("/proc/%d/fd/%d", getpid(), tree.fd);
                r = usr_path && tree_path
                            ? spawn((const char *const[]){ ATTACH, "attach", MAPPING, usr_path,
                                                           tree_path, hash, NULL },
                                    NULL, NULL, err)
                            : error_oom(err);
        }
        close_p(&usr.fd);
        close_p(&tree.fd);
        return r;
}

static void detach(void)
{
        (void)!spawn((const char *const[]){ ATTACH, "detach", MAPPING, NULL }, NULL, NULL, NULL);
}

static int mount_privately(struct error *err)
{
        if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
                return error_errno(err, "mount namespace");
        if (mkdir(MOUNT_POINT, 0700) < 0 && errno != EEXIST)
                return error_errno(err, MOUNT_POINT);
        if (mount("/dev/mapper/" MAPPING, MOUNT_POINT, "erofs",
                  MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
                return error_errno(err, "mount /dev/mapper/" MAPPING);
        return chdir(MOUNT_POINT) < 0 ? error_errno(err, MOUNT_POINT) : 0;
}

static int run_command(char *const *command, struct error *err)
{
        static char *const shell[] = { (char *)"/bin/sh", NULL };
        char *const *argv = command && *command ? command : shell;
        int status;
        pid_t pid = fork();

        if (pid == 0) {
                execvp(argv[0], argv);
                fprintf(stderr, "slipway-update: %s: %s\n", argv[0], strerror(errno));
                _exit(127);
        }
        if (pid < 0 || waitpid(pid, &status, 0) < 0)
                return error_errno(err, "%s", argv[0]);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
                return error_set(err, -ECHILD, "%s: exit status %d", argv[0],
                                 WIFEXITED(status) ? WEXITSTATUS(status) : -1);
        return 0;
}

static int check(const struct host *h, struct error *err)
{
        struct stat st;

        if (!h->idle || !*slot_version(h->idle))
                return error_set(err, -ENODATA, "the other slot holds no release");
        if (geteuid() != 0)
                return error_set(err, -EPERM, "only root can open a slot");
        if (stat(h->disk, &st) < 0)
                return error_errno(err, "%s", h->disk);
        if (!S_ISBLK(st.st_mode))
                return error_set(err, -ENOTBLK, "%s: not a device, whose slots could be opened",
                                 h->disk);
        return faccessat(AT_FDCWD, ATTACH, X_OK, 0) < 0 ? error_errno(err, ATTACH) : 0;
}

int verb_inspect(const struct arguments *a, struct error *err)
{
        _cleanup_(host_done) struct host h = HOST_NULL;
        int r = host_load(&a->options.places, &h, err);

        if (r >= 0)
                r = check(&h, err);
        if (r >= 0)
                r = attach(&h, err);
        if (r < 0)
                return r;
        r = mount_privately(err);
        if (r >= 0)
                r = run_command(a->rest, err);
        (void)!chdir("/");
        (void)umount2(MOUNT_POINT, MNT_DETACH);
        detach();
        return error_prefix(err, r, "slot %c", h.idle->name);
}
