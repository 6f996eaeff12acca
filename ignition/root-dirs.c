/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See root-dirs.h. The one unused for longest makes room for the next. */

#include "root-dirs.h"

static void dir_close(struct root_dir *dir)
{
        free(TAKE_PTR(dir->path));
        if (dir->users == 0 && dir->fd >= 0)
                close(TAKE_FD(dir->fd));
}

struct root_dirs *root_dirs_new(int root_fd)
{
        struct root_dirs *all = calloc(1, sizeof(*all));

        if (!all)
                return NULL;
        for (size_t i = 0; i < ROOT_DIRS_MAX; i++)
                all->dirs[i] = (struct root_dir){ .all = all, .fd = -1 };
        all->dirs[0].fd = root_fd;
        all->dirs[0].path = strdup("");
        if (!all->dirs[0].path)
                free(TAKE_PTR(all));
        return all;
}

void root_dirs_free(struct root_dirs *all)
{
        if (!all)
                return;
        free(all->dirs[0].path);
        for (size_t i = 1; i < ROOT_DIRS_MAX; i++)
                dir_close(&all->dirs[i]);
        free(all);
}

/* The first n bytes of the path name what is named by the first k of the other, or are below it. */
static bool is_at_or_below(const char *path, size_t n, const char *other, size_t k)
{
        return k == 0 || (k <= n && memcmp(path, other, k) == 0 && (k == n || path[k] == '/'));
}

struct root_dir *root_dirs_nearest(struct root_dirs *all, const char *path, size_t n)
{
        struct root_dir *best = &all->dirs[0];

        for (size_t i = 1; i < ROOT_DIRS_MAX; i++) {
                struct root_dir *dir = &all->dirs[i];

                if (dir->path && dir->length > best->length &&
                    is_at_or_below(path, n, dir->path, dir->length))
                        best = dir;
        }
        best->used = ++all->clock;
        return best;
}

static struct root_dir *free_dir(struct root_dirs *all)
{
        struct root_dir *oldest = NULL;

        for (size_t i = 1; i < ROOT_DIRS_MAX; i++) {
                struct root_dir *dir = &all->dirs[i];

                if (dir->users > 0)
                        continue;
                if (!dir->path)
                        return dir;
                if (!oldest || dir->used < oldest->used)
                        oldest = dir;
        }
        if (oldest)
                dir_close(oldest);
        return oldest;
}

struct root_dir *root_dirs_add(struct root_dirs *all, const char *path, size_t n, int fd)
{
        struct root_dir *dir = free_dir(all);
        char *copy = dir ? strndup(path, n) : NULL;

        if (!copy) {
                close(fd);
                return NULL;
        }
        *dir = (struct root_dir){
                .all = all, .path = copy, .length = n, .fd = fd, .used = ++all->clock
        };
        return dir;
}

bool root_dirs_know(const struct root_dirs *all, const char *path)
{
        size_t n = strlen(path);

        for (size_t i = 1; i < ROOT_DIRS_MAX; i++) {
                const struct root_dir *dir = &all->dirs[i];

                if (dir->path && is_at_or_below(dir->path, dir->length, path, n))
                        return true;
        }
        return false;
}

void root_dirs_forget(struct root_dirs *all, const char *path)
{
        size_t n = strlen(path);

        for (size_t i = 1; i < ROOT_DIRS_MAX; i++) {
                struct root_dir *dir = &all->dirs[i];

                if (dir->path && is_at_or_below(dir->path, dir->length, path, n))
                        dir_close(dir);
        }
        all->absent[0] = '\0';
}

void root_dir_use(struct root_dir *dir)
{
        dir->users++;
}

/* Who was forgotten in the meantime goes now. */
void root_dir_leave(struct root_dir *dir)
{
        dir->users--;
        if (!dir->path)
                dir_close(dir);
}

void root_dirs_note_absent(struct root_dirs *all, const char *path, size_t n)
{
        if (all->makers > 0 || n >= sizeof(all->absent))
                return;
        memcpy(all->absent, path, n);
        all->absent[n] = '\0';
}

bool root_dirs_is_absent(const struct root_dirs *all, const char *path, size_t n)
{
        return *all->absent && is_at_or_below(path, n, all->absent, strlen(all->absent));
}

void root_dirs_begin_making(struct root_dirs *all)
{
        all->makers++;
        all->absent[0] = '\0';
}

void root_dirs_end_making(struct root_dirs *all)
{
        all->makers--;
}
