/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See run-tpm.h. swtpm and QEMU talk over a socket pair that nobody else sees. A new TPM has one
 * bank of PCRs, sha256, like machines of today: firmware in an emulator would spend long on the
 * others. */

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "process.h"
#include "run-tpm.h"
#include "strv.h"

enum { EXIT_NO_PROGRAM = 127 };

static const char state_file[] = "tpm2-00.permall";

static int check_programs(struct error *err)
{
        static const char *const names[] = { "swtpm", "swtpm_setup" };

        for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
                int r = spawn((const char *const[]){ names[i], "--help", NULL }, NULL, NULL, err);

                if (r == -ENOENT)
                        return error_set(err, r, "no %s here: packages swtpm and swtpm-tools",
                                         names[i]);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int make_tpm(const char *directory, struct error *err)
{
        _cleanup_free_ char *state = string_format("%s/%s", directory, state_file);

        if (!state)
                return error_oom(err);
        if (access(state, F_OK) == 0)
                return 0;
        if (mkdir(directory, 0700) < 0 && errno != EEXIST)
                return error_errno(err, "make");
        return spawn((const char *const[]){ "swtpm_setup", "--tpm2", "--tpm-state", directory,
                                            "--pcr-banks", "sha256", NULL },
                     NULL, NULL, err);
}

static void exec_tpm(const char *directory, int fd)
{
        _cleanup_free_ char *state = string_format("dir=%s", directory);
        _cleanup_free_ char *control = string_format("type=unixio,clientfd=%d", fd);

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (state && control && fcntl(fd, F_SETFD, 0) == 0)
                execlp("swtpm", "swtpm", "socket", "--tpm2", "--tpmstate", state, "--ctrl", control,
                       "--terminate", NULL);
        _exit(EXIT_NO_PROGRAM);
}

static int start(const char *directory, int *ret_fd, struct error *err)
{
        _cleanup_close_ int ours = -1, theirs = -1;
        int fds[2];
        pid_t child;

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
                return error_errno(err, "socket pair");
        ours = fds[0];
        theirs = fds[1];
        child = fork();
        if (child == 0)
                exec_tpm(directory, theirs);
        if (child < 0 || fcntl(ours, F_SETFD, 0) < 0)
                return error_errno(err, "start");
        *ret_fd = TAKE_FD(ours);
        return 0;
}

int tpm_start(const char *directory, int *ret_fd, struct error *err)
{
        int r;

        /* swtpm's options are separated by commas, and it knows no way to quote one. */
        if (strchr(directory, ','))
                return error_set(err, -EINVAL, "TPM '%s': a comma in the name", directory);
        r = check_programs(err);
        if (r >= 0)
                r = make_tpm(directory, err);
        if (r >= 0)
                r = start(directory, ret_fd, err);
        return error_prefix(err, r, "TPM '%s'", directory);
}
