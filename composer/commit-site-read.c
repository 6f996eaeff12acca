/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Reading from an update site's repository. Its objects are compressed, so a content that is opened
 * is one in memory. */

#include "commit-internal.h"

#include <sys/mman.h>

#include "commit-site-internal.h"
#include "io.h"

enum { READ_SIZE = 64 * 1024 };

struct repo *site_repo_commits(struct site_repo *s)
{
        return &s->commits;
}

static int copy_stream(GInputStream *in, int fd, struct error *err)
{
        g_autoptr(GError) error = NULL;
        char buffer[READ_SIZE];
        gssize n;
        int r = 0;

        while (r >= 0 && (n = g_input_stream_read(in, buffer, sizeof(buffer), NULL, &error)) != 0)
                r = n < 0 ? gerror_set(err, error) : io_write(fd, buffer, (size_t)n, err);
        return r;
}

static int open_object(void *userdata, const struct sha256 *object, struct error *err)
{
        const struct site_repo *s = userdata;
        g_autoptr(GInputStream) stream = NULL;
        g_autoptr(GError) error = NULL;
        _cleanup_close_ int fd = -1;
        char name[SHA256_HEX_SIZE];
        int r;

        if (!ostree_repo_load_file(s->ostree, sha256_hex(object, name), &stream, NULL, NULL, NULL,
                                   &error))
                return gerror_set(err, error);
        fd = memfd_create(name, MFD_CLOEXEC);
        if (fd < 0)
                return error_errno(err, "object %s", name);
        r = copy_stream(stream, fd, err);
        return r < 0 ? error_prefix(err, r, "object %s", name) : TAKE_FD(fd);
}

struct content_store site_repo_contents(struct site_repo *s)
{
        return (struct content_store){ .open = open_object, .userdata = s };
}
