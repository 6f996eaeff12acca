/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See signature.h. gpgv's exit code is not enough: a document signed by an old and a new key fails
 * it when the keyring lacks one of them, so its status lines are read, as apt does. Wanted is one
 * GOODSIG (a valid signature by a key that is neither expired nor revoked) and no BADSIG. The text
 * is what gpgv wrote while checking that very signature. */

#include <fcntl.h>
#include <sys/mman.h>

#include "digest.h"
#include "io.h"
#include "process.h"
#include "suite-release.h"
#include "scratch.h"
#include "signature.h"
#include "strv.h"

enum { KEYRING_SIZE_MAX = 16 * 1024 * 1024, STATUS_SIZE_MAX = 1024 * 1024 };

/* gpgv's two outputs, in memory: a disk that is full must not cut the text short. */
struct outputs {
        int text_fd, status_fd;
};

static void outputs_done(struct outputs *o)
{
        close_p(&o->text_fd);
        close_p(&o->status_fd);
}

static int read_back(int fd, size_t limit, char **ret, size_t *ret_size, struct error *err)
{
        char path[64];

        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        return file_read(AT_FDCWD, path, limit, ret, ret_size, err);
}

/* Exit codes other than 0 are judged by the status lines; what gpgv says to people stands between
 * them and begins otherwise. */
static int run_gpgv(const struct scratch *s, const char *keyring, const struct outputs *o,
                    struct error *err)
{
        _cleanup_free_ char *in = string_format("%s/document", s->path);
        const char *const argv[] = { "gpgv",  "--homedir",   s->path, "--weak-digest",
                                     "SHA1",  "--status-fd", "2",     "--keyring",
                                     keyring, "--output",    "-",     in,
                                     NULL };
        int r;

        if (!in)
                return error_oom(err);
        r = spawn(argv,
                  &(struct spawn_options){ .stdout_fd = o->text_fd, .stderr_fd = o->status_fd },
                  NULL, err);
        return r == -ECHILD ? 0 : r;
}

static const char *status_problem(char **lines)
{
        static const struct {
                const char *word, *meaning;
        } problems[] = {
                { "[GNUPG:] NO_PUBKEY", "signed by a key that the keyring does not hold" },
                { "[GNUPG:] EXPKEYSIG", "signed by a key that has expired" },
                { "[GNUPG:] REVKEYSIG", "signed by a key that was revoked" },
                { "[GNUPG:] EXPSIG", "the signature has expired" },
                { "[GNUPG:] ERRSIG", "the signature cannot be checked" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(problems); i++)
                STRV_FOREACH (line, lines)
                        if (startswith(*line, problems[i].word))
                                return problems[i].meaning;
        return "not signed";
}

static int judge(const char *status, const char *keyring, struct error *err)
{
        _cleanup_strv_ char **lines = NULL;
        bool good = false, bad = false;

        if (strv_split(status, "\n", &lines) < 0)
                return error_oom(err);
        STRV_FOREACH (line, lines) {
                good |= startswith(*line, "[GNUPG:] GOODSIG ") != NULL;
                bad |= startswith(*line, "[GNUPG:] BADSIG ") != NULL;
        }
        if (bad)
                return error_set(err, -EBADMSG, "bad signature: the content was changed");
        if (!good)
                return error_set(err, -EBADMSG, "%s (keyring '%s')", status_problem(lines),
                                 keyring);
        return 0;
}

static int check(const char *cache_path, const char *keyring, const char *document, size_t size,
                 char **ret, size_t *ret_size, struct error *err)
{
        _cleanup_(outputs_done) struct outputs o = { memfd_create("text", MFD_CLOEXEC),
                                                     memfd_create("status", MFD_CLOEXEC) };
        _cleanup_scratch_ struct scratch s = SCRATCH_NULL;
        _cleanup_free_ char *status = NULL;
        int r;

        if (o.text_fd < 0 || o.status_fd < 0)
                return error_errno(err, "gpgv's output");
        r = scratch_open(cache_path, "gpgv", &s, err);
        if (r == 0)
                r = file_write(s.fd, "document", document, size, 0600, err);
        if (r == 0)
                r = run_gpgv(&s, keyring, &o, err);
        if (r == 0)
                r = read_back(o.status_fd, STATUS_SIZE_MAX, &status, NULL, err);
        if (r == 0)
                r = judge(status, keyring, err);
        if (r < 0)
                return r;
        return read_back(o.text_fd, SUITE_RELEASE_SIZE_MAX, ret, ret_size, err);
}

/* The file that says "these bytes were verified with this keyring". */
static int stamp_name(const char *keyring, const char *document, size_t size, char **ret,
                      struct error *err)
{
        _cleanup_hasher_ struct hasher h = {};
        _cleanup_free_ char *keys = NULL;
        char hex[SHA256_HEX_SIZE];
        struct sha256 digest;
        size_t keys_size;
        int r;

        r = file_read(AT_FDCWD, keyring, KEYRING_SIZE_MAX, &keys, &keys_size, err);
        if (r < 0)
                return error_prefix(err, r, "keyring");
        r = hasher_init(&h, err);
        if (r < 0)
                return r;
        hasher_update(&h, &keys_size, sizeof(keys_size));
        hasher_update(&h, keys, keys_size);
        hasher_update(&h, document, size);
        r = hasher_final(&h, &digest, err);
        if (r < 0)
                return r;
        if (asprintf(ret, "%s.Release", sha256_hex(&digest, hex)) < 0) {
                *ret = NULL;
                return error_oom(err);
        }
        return 0;
}

int clearsigned_verify(const char *cache_path, int cache_fd, const char *keyring,
                       const char *document, size_t size, char **ret, size_t *ret_size,
                       struct error *err)
{
        _cleanup_close_ int fd = path_open_dir(cache_fd, "metadata", 0755, err);
        _cleanup_free_ char *stamp = NULL, *text = NULL;
        size_t text_size;
        int r;

        if (fd < 0)
                return fd;
        r = stamp_name(keyring, document, size, &stamp, err);
        if (r < 0)
                return r;
        if (file_read(fd, stamp, SUITE_RELEASE_SIZE_MAX, &text, &text_size, NULL) == 0) {
                (void)!utimensat(fd, stamp, NULL, 0); /* in use: not stale */
        } else {
                r = check(cache_path, keyring, document, size, &text, &text_size, err);
                if (r == 0)
                        r = file_write(fd, stamp, text, text_size, 0644, err);
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(text);
        *ret_size = text_size;
        return 0;
}
