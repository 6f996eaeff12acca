/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See key-file.h. */

#include <fcntl.h>

#include "io.h"
#include "key-file.h"
#include "strv.h"

enum { KEY_FILE_MAX = 256 };

/* Nothing is ever replaced: a lost secret key cannot be had again. */
static int write_new(const char *path, const char *text, mode_t mode, struct error *err)
{
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
        int r;

        if (fd < 0)
                return error_errno(err, "%s", path);
        r = io_write(fd, text, strlen(text), err);
        if (r >= 0)
                r = io_write(fd, "\n", 1, err);
        if (r >= 0 && fsync(fd) < 0)
                r = error_errno(err, "sync");
        if (r < 0)
                unlink(path);
        return error_prefix(err, r, "%s", path);
}

static int write_pair(const char *name, const struct ed25519_secret *secret,
                      const struct ed25519_public *public, struct error *err)
{
        _cleanup_free_ char *secret_path = string_format("%s.secret", name);
        _cleanup_free_ char *public_path = string_format("%s.ed25519", name);
        char text[ED25519_SECRET_TEXT_SIZE];
        int r;

        if (!secret_path || !public_path)
                return error_oom(err);
        if (access(public_path, F_OK) == 0)
                return error_code(err, -EEXIST, "%s", public_path);
        r = write_new(secret_path, ed25519_secret_text(secret, text), 0600, err);
        explicit_bzero(text, sizeof(text));
        if (r < 0)
                return r;
        r = write_new(public_path, ed25519_public_text(public, text), 0644, err);
        if (r < 0)
                unlink(secret_path);
        return r;
}

int key_generate(const char *name, struct ed25519_public *ret, struct error *err)
{
        struct ed25519_public public;
        struct ed25519_secret secret;
        int r = ed25519_generate(&secret, err);

        if (r < 0)
                return r;
        ed25519_public_of(&secret, &public);
        r = write_pair(name, &secret, &public, err);
        explicit_bzero(&secret, sizeof(secret));
        if (r >= 0)
                *ret = public;
        return r;
}

int key_load(const char *path, struct ed25519_secret *ret, struct error *err)
{
        _cleanup_free_ char *text = NULL;
        size_t size;
        int r = file_read(AT_FDCWD, path, KEY_FILE_MAX, &text, &size, err);

        if (r < 0)
                return r;
        text[strcspn(text, "\n")] = '\0';
        r = ed25519_secret_parse(text, ret);
        explicit_bzero(text, size);
        return r < 0 ? error_set(err, -EINVAL, "%s: not a secret ed25519 key", path) : 0;
}
