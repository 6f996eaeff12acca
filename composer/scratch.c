/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See scratch.h. The lock is on the directory, not on its name: after taking it we look whether
 * somebody swept it away in the moment between making and locking. */

#include <fcntl.h>
#include <sys/file.h>

#include "io.h"
#include "scratch.h"
#include "strv.h"

/* Where drafts are made, below the cache. */
static const char *const draft_directories[] = { ".", "metadata", "packages", "solv", "derived" };

/* 1: ours; 0: it was swept away. */
static int make(const char *template, struct scratch *s, struct error *err)
{
        struct stat st;

        free(s->path);
        s->path = strdup(template);
        if (!s->path)
                return error_oom(err);
        if (!mkdtemp(s->path)) {
                free(TAKE_PTR(s->path));
                return error_errno(err, "%s", template);
        }
        s->fd = open(s->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (s->fd < 0)
                return errno == ENOENT ? 0 : error_errno(err, "%s", s->path);
        if (flock(s->fd, LOCK_EX | LOCK_NB) == 0 && fstat(s->fd, &st) == 0 && st.st_nlink > 0)
                return 1;
        close_p(&s->fd);
        s->fd = -1;
        return 0;
}

int scratch_open(const char *cache_path, const char *what, struct scratch *ret, struct error *err)
{
        _cleanup_free_ char *directory = string_format("%s/tmp", cache_path);
        _cleanup_free_ char *template = string_format("%s/tmp/%s-XXXXXX", cache_path, what);
        _cleanup_scratch_ struct scratch s = SCRATCH_NULL;
        int r;

        if (!directory || !template)
                return error_oom(err);
        r = path_mkdirs(AT_FDCWD, directory, 0755, err);
        if (r < 0)
                return r;
        do
                r = make(template, &s, err);
        while (r == 0);
        if (r < 0)
                return r;
        *ret = s;
        s = (struct scratch)SCRATCH_NULL;
        return 0;
}

void scratch_done(struct scratch *s)
{
        if (s->path)
                (void)!path_remove_tree(AT_FDCWD, s->path, NULL);
        if (s->fd >= 0)
                close(s->fd);
        free(s->path);
        *s = (struct scratch)SCRATCH_NULL;
}

static void sweep_directories(int cache_fd)
{
        int fd = openat(cache_fd, "tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_closedir_ DIR *dir = fd < 0 ? NULL : fdopendir(fd);
        struct dirent *entry;

        while (dir && (entry = readdir(dir))) {
                _cleanup_close_ int own = -1;

                if (entry->d_name[0] == '.')
                        continue;
                own = openat(fd, entry->d_name, O_RDONLY | O_NOFOLLOW | O_DIRECTORY | O_CLOEXEC);
                if (own >= 0 && flock(own, LOCK_EX | LOCK_NB) == 0)
                        (void)!path_remove_tree(fd, entry->d_name, NULL);
        }
}

void scratch_sweep(int cache_fd)
{
        for (size_t i = 0; i < ARRAY_SIZE(draft_directories); i++) {
                _cleanup_close_ int fd =
                        openat(cache_fd, draft_directories[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);

                if (fd >= 0)
                        drafts_sweep(fd);
        }
        sweep_directories(cache_fd);
}
