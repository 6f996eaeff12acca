/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* libostree's pull of one commit, in a process of its own. It has no limit of time or size that is
 * near ours, and a server can make it end the program (by an assertion, when it is led to what is
 * neither http nor a file): so what becomes of it is heard through a pipe, and when it takes too
 * long, or somebody stops us, it is killed. What it leaves is at most an object without a name. */

#include "site-ostree.h" /* first: GLib has a MIN of its own */

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#include "interrupt.h"
#include "io.h"

enum { PULL_SECONDS = 120, PULL_BYTES_MAX = 2 * SITE_COMMIT_MAX, POLL_MS = 100 };

#define REMOTE "site"

static const char repo_config[] = "[core]\n"
                                  "repo_version=1\n"
                                  "mode=bare\n"
                                  "min-free-space-percent=0\n"
                                  "[remote \"" REMOTE "\"]\n"
                                  "url=http://invalid/\n" /* each pull says where */
                                  "gpg-verify=false\n";

int gerror_set(struct error *err, const GError *error)
{
        int code = g_error_matches(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND) ? -ENOENT : -EREMOTEIO;

        return error_set(err, code, "%s", error ? error->message : "failed");
}

/* ---- in the process ---- */

static OstreeRepo *repo_open_at(const char *path)
{
        _cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        return fd < 0 ? NULL : ostree_repo_open_at(fd, ".", NULL, NULL);
}

static int repo_open(const char *path, OstreeRepo **ret, struct error *err)
{
        g_autoptr(GError) error = NULL;
        _cleanup_close_ int fd = -1;
        int r;

        *ret = repo_open_at(path);
        if (*ret)
                return 0;
        r = path_remove_tree(AT_FDCWD, path, err);
        if (r < 0)
                return r;
        fd = path_open_dir(AT_FDCWD, path, 0755, err);
        if (fd < 0)
                return fd;
        r = file_write(fd, "config", repo_config, strlen(repo_config), 0644, err);
        if (r < 0)
                return r;
        *ret = ostree_repo_create_at(fd, ".", OSTREE_REPO_MODE_BARE, NULL, NULL, &error);
        return *ret ? 0 : gerror_set(err, error);
}

static GVariant *options_of(const struct site_pull *p)
{
        static const char *const off[] = { "gpg-verify", "gpg-verify-summary" };
        static const char *const on[] = { "disable-sign-verify", "disable-sign-verify-summary",
                                          "disable-static-deltas", "disable-verify-bindings" };
        const char *const refs[] = { p->commit };
        GVariantBuilder b;

        g_variant_builder_init(&b, G_VARIANT_TYPE_VARDICT);
        g_variant_builder_add(&b, "{sv}", "override-url", g_variant_new_string(p->url));
        g_variant_builder_add(&b, "{sv}", "refs", g_variant_new_strv(refs, 1));
        g_variant_builder_add(&b, "{sv}", "flags",
                              g_variant_new_int32(OSTREE_REPO_PULL_FLAGS_COMMIT_ONLY));
        g_variant_builder_add(
                &b, "{sv}", "summary-bytes",
                g_variant_new_from_bytes(G_VARIANT_TYPE_BYTESTRING, p->summary, TRUE));
        g_variant_builder_add(
                &b, "{sv}", "summary-sig-bytes",
                g_variant_new_from_bytes(G_VARIANT_TYPE_BYTESTRING, p->signature, TRUE));
        for (size_t i = 0; i < ARRAY_SIZE(off); i++)
                g_variant_builder_add(&b, "{sv}", off[i], g_variant_new_boolean(FALSE));
        for (size_t i = 0; i < ARRAY_SIZE(on); i++)
                g_variant_builder_add(&b, "{sv}", on[i], g_variant_new_boolean(TRUE));
        return g_variant_ref_sink(g_variant_builder_end(&b));
}

/* The signatures of this machine's keys are checked by site.c, not by libostree, which may be built
 * without ed25519: it only checks that the object has its checksum. */
static int pull(const struct site_pull *p, struct error *err)
{
        g_autoptr(GVariant) options = options_of(p);
        g_autoptr(OstreeRepo) repo = NULL;
        g_autoptr(GError) error = NULL;
        int r = repo_open(p->repo_path, &repo, err);

        if (r < 0)
                return error_prefix(err, r, "%s", p->repo_path);
        if (!ostree_repo_pull_with_options(repo, REMOTE, options, NULL, NULL, &error))
                r = gerror_set(err, error);
        return r;
}

/* What libostree says when it gives up is for its authors. */
static _Noreturn void child(const struct site_pull *p, int fd)
{
        const struct rlimit no_core = {}, file = { PULL_BYTES_MAX, PULL_BYTES_MAX };
        int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
        struct error err = {};
        int r;

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (null >= 0)
                dup2(null, STDERR_FILENO);
        setrlimit(RLIMIT_CORE, &no_core);
        setrlimit(RLIMIT_FSIZE, &file);
        signal(SIGXFSZ, SIG_DFL);
        r = pull(p, &err);
        if (r < 0)
                (void)!io_write(fd, &err, sizeof(err), NULL);
        _exit(r < 0);
}

/* ---- beside it ---- */

static uint64_t now_ms(void)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Until the pipe has something, or its end. */
static int wait_heard(int fd, struct error *err)
{
        struct pollfd p = { .fd = fd, .events = POLLIN };
        uint64_t end = now_ms() + PULL_SECONDS * 1000;

        while (poll(&p, 1, POLL_MS) <= 0) {
                int r = interrupt_check(err);

                if (r < 0)
                        return r;
                if (now_ms() >= end)
                        return error_set(err, -EREMOTEIO, "takes too long");
        }
        return 0;
}

/* What it said, or how it ended. */
static int outcome(int fd, int status, struct error *err)
{
        struct error heard = {};
        size_t size = 0;

        if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
                return 0;
        if (WIFSIGNALED(status) && WTERMSIG(status) == SIGXFSZ)
                return error_set(err, -EREMOTEIO, "is too long");
        if (io_read(fd, &heard, sizeof(heard), &size, NULL) < 0 || size < sizeof(heard) ||
            heard.code >= 0)
                return error_set(err, -EREMOTEIO, "libostree gave up (status %d)", status);
        return error_set(err, heard.code, "%.*s", ERROR_MESSAGE_MAX - 1, heard.message);
}

int site_pull(const struct site_pull *p, struct error *err)
{
        _cleanup_close_ int hear = -1;
        int fds[2], status, r;
        pid_t pid;

        if (pipe2(fds, O_CLOEXEC) < 0)
                return error_errno(err, "pipe");
        hear = fds[0];
        pid = fork();
        if (pid == 0)
                child(p, fds[1]);
        r = pid < 0 ? error_errno(err, "process") : 0;
        close(fds[1]);
        if (r < 0)
                return r;
        r = wait_heard(hear, err);
        if (r < 0)
                kill(pid, SIGKILL);
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
                ;
        return r < 0 ? r : outcome(hear, status, err);
}
