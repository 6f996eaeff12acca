/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See run-azure.h. QEMU sends the frames of the machine's interface to the box over one socket
 * pair, and its user network is behind another: what the box does not take for itself passes. The
 * CD-ROM is memory that both know by descriptors. When all is ready the box says on a pipe which
 * machine it is: two lines, its id and its hardware address. */

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "io.h"
#include "run-azure.h"
#include "strv.h"

#define PROGRAM "azure-box"

enum { EXIT_NO_PROGRAM = 127, IDENTITY_MAX = AZURE_ID_MAX + AZURE_MAC_MAX };

/* Ours are QEMU's later, the others the box's. */
struct ends {
        int nic, network, disc, identity;
};

static int make_argv(const struct azure_options *o, const char *libexec, const struct ends *e,
                     char ***ret)
{
        _cleanup_strv_ char **argv = NULL;
        const struct {
                const char *option, *value;
        } files[] = { { "--identity", o->disk },
                      { "--user-data", o->user_data },
                      { "--custom-data", o->custom_data },
                      { "--description", o->description },
                      { "--record", o->record } };
        const struct {
                const char *option;
                int fd;
        } fds[] = { { "--nic", e->nic }, { "--net", e->network }, { "--disc-fd", e->disc } };
        _cleanup_buffer_ struct buffer b = {};
        bool failed = false;

        buffer_printf(&b, "%s/%s", libexec, PROGRAM);
        failed |= b.failed || strv_extend(&argv, b.data) < 0 || strv_extend(&argv, "machine") < 0;
        for (size_t i = 0; i < ARRAY_SIZE(files); i++)
                if (files[i].value)
                        failed |= strv_extend(&argv, files[i].option) < 0 ||
                                  strv_extend(&argv, files[i].value) < 0;
        for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
                char number[16];

                snprintf(number, sizeof(number), "%d", fds[i].fd);
                failed |= strv_extend(&argv, fds[i].option) < 0 || strv_extend(&argv, number) < 0;
        }
        if (failed)
                return -ENOMEM;
        *ret = TAKE_PTR(argv);
        return 0;
}

static void exec_box(char *const argv[], const struct ends *e)
{
        const int fds[] = { e->nic, e->network, e->disc };

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        setpgid(0, 0); /* ctrl-c is the machine's */
        for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
                fcntl(fds[i], F_SETFD, 0);
        if (dup2(e->identity, STDOUT_FILENO) >= 0)
                execv(argv[0], argv);
        _exit(EXIT_NO_PROGRAM);
}

/* "ID\nMAC\n", once the box is ready. */
static int read_identity(int fd, pid_t child, struct azure_box *ret, struct error *err)
{
        char text[IDENTITY_MAX + 1] = {};
        size_t size;
        int r, status;

        r = io_read(fd, text, IDENTITY_MAX, &size, err);
        if (r < 0)
                return r;
        if (size == IDENTITY_MAX &&
            sscanf(text, "%36[0-9a-f-]\n%17[0-9a-f:]\n", ret->vm_id, ret->mac) == 2)
                return 0;
        if (waitpid(child, &status, 0) == child && WIFEXITED(status) &&
            WEXITSTATUS(status) == EXIT_NO_PROGRAM)
                return error_set(err, -ENOENT, "%s cannot be run", PROGRAM);
        return error_set(err, -ECHILD, "%s did not start", PROGRAM);
}

static int start(const struct azure_options *options, const char *libexec, const struct ends *e,
                 pid_t *ret, struct error *err)
{
        _cleanup_strv_ char **argv = NULL;
        pid_t child;

        if (make_argv(options, libexec, e, &argv) < 0)
                return error_oom(err);
        child = fork();
        if (child < 0)
                return error_errno(err, "fork");
        if (child == 0)
                exec_box(argv, e);
        *ret = child;
        return 0;
}

static int make_pair(int *ret_ours, int *ret_theirs, struct error *err)
{
        int fds[2];

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
                return error_errno(err, "socket pair");
        *ret_ours = fds[0];
        *ret_theirs = fds[1];
        return 0;
}

static int inherit(const struct azure_box *b, struct error *err)
{
        const int fds[] = { b->nic_fd, b->network_fd, b->disc_fd };

        for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
                if (fcntl(fds[i], F_SETFD, 0) < 0)
                        return error_errno(err, "inherit");
        return 0;
}

int azure_start(const struct azure_options *options, const char *libexec, struct azure_box *ret,
                struct error *err)
{
        _cleanup_close_ int nic = -1, network = -1, disc = -1, their_nic = -1, their_network = -1;
        _cleanup_close_ int identity = -1, their_identity = -1;
        struct azure_box box = {};
        struct stat st;
        pid_t child = 0;
        int r, fds[2];

        disc = memfd_create("azure-disc", MFD_CLOEXEC);
        if (disc < 0 || pipe2(fds, O_CLOEXEC) < 0)
                return error_errno(err, "Azure in a box");
        identity = fds[0];
        their_identity = fds[1];
        r = make_pair(&nic, &their_nic, err);
        if (r >= 0)
                r = make_pair(&network, &their_network, err);
        if (r >= 0)
                r = start(options, libexec,
                          &(const struct ends){ their_nic, their_network, disc, their_identity },
                          &child, err);
        close_p(&their_identity); /* or the pipe would never end */
        their_identity = -1;
        if (r >= 0)
                r = read_identity(identity, child, &box, err);
        box.nic_fd = nic;
        box.network_fd = network;
        box.disc_fd = disc;
        if (r >= 0)
                r = inherit(&box, err);
        if (r >= 0 && fstat(disc, &st) < 0)
                r = error_errno(err, "disc");
        if (r < 0)
                return error_prefix(err, r, "Azure in a box");
        box.has_disc = st.st_size > 0;
        TAKE_FD(nic);
        TAKE_FD(network);
        TAKE_FD(disc);
        *ret = box;
        return 0;
}
