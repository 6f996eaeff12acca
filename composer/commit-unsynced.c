/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Objects that a power cut took half of. They have their names before they are on disk, because
 * moving them there afterwards costs as much as writing them, so a file may be there and be empty.
 * libostree would take it for the object it is named after.
 *
 * The file "slipway-unsynced" in the repository holds the boot during which objects are written,
 * and is emptied when all are on disk. Writers share its lock: who finds the id of another boot
 * waits until he is alone and checks every object; the last one to end empties it. */

#include <fcntl.h>
#include <sys/file.h>

#include "commit-internal.h"
#include "io.h"
#include "strv.h"

enum { BOOT_ID_MAX = 128, SYNC_EVERY = 64 * 1024 * 1024 };

static const char unsynced_name[] = "slipway-unsynced";

static int boot_id(char **ret, size_t *ret_size, struct error *err)
{
        return file_read(AT_FDCWD, "/proc/sys/kernel/random/boot_id", BOOT_ID_MAX, ret, ret_size,
                         err);
}

/* Removes the object unless its bytes are what its name says. */
static int check_object(struct repo *repo, GVariant *key, struct error *err)
{
        g_autoptr(GError) broken = NULL, error = NULL;
        OstreeObjectType type;
        const char *checksum;

        ostree_object_name_deserialize(key, &checksum, &type);
        if (ostree_repo_fsck_object(repo->ostree, type, checksum, NULL, &broken) ||
            ostree_repo_delete_object(repo->ostree, type, checksum, NULL, &error))
                return 0;
        return gerror_set(err, error);
}

static int check_objects(struct repo *repo, struct error *err)
{
        g_autoptr(GHashTable) objects = NULL;
        g_autoptr(GError) error = NULL;
        GHashTableIter i;
        gpointer key;
        int r = 0;

        if (!ostree_repo_list_objects(repo->ostree, OSTREE_REPO_LIST_OBJECTS_LOOSE, &objects, NULL,
                                      &error))
                return gerror_set(err, error);
        g_hash_table_iter_init(&i, objects);
        while (r == 0 && g_hash_table_iter_next(&i, &key, NULL))
                r = check_object(repo, key, err);
        return r;
}

/* 1: what the file says is of this boot, or was written now; 0: it names another boot. */
static int claim(int repo_fd, int fd, struct error *err)
{
        _cleanup_free_ char *now = NULL;
        char before[BOOT_ID_MAX];
        size_t size, n;
        int r = boot_id(&now, &size, err);

        if (r == 0)
                r = io_pread(fd, before, sizeof(before), 0, &n, err);
        if (r < 0)
                return r;
        if (n > 0)
                return n == size && memcmp(before, now, n) == 0;
        r = io_write(fd, now, size, err);
        if (r == 0 && (fsync(fd) < 0 || fsync(repo_fd) < 0))
                r = error_errno(err, "sync '%s'", unsynced_name);
        return r < 0 ? r : 1;
}

static int take_lock(int fd, int operation, struct error *err)
{
        while (flock(fd, operation) < 0)
                if (errno != EINTR)
                        return error_errno(err, "lock '%s'", unsynced_name);
        return 0;
}

/* Another writer may have done it while this one waited to be alone. */
static int recover(struct repo *repo, int fd, struct error *err)
{
        int r = take_lock(fd, LOCK_EX, err);

        if (r == 0)
                r = claim(repo->fd, fd, err);
        if (r != 0)
                return MIN(r, 0);
        r = check_objects(repo, err);
        if (r == 0 && ftruncate(fd, 0) < 0)
                r = error_errno(err, "%s", unsynced_name);
        if (r == 0)
                r = claim(repo->fd, fd, err);
        return r < 0 ? r : take_lock(fd, LOCK_SH, err);
}

int unsynced_begin(struct repo *repo, struct error *err)
{
        _cleanup_close_ int fd =
                openat(repo->fd, unsynced_name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644);
        int r;

        if (fd < 0)
                return error_errno(err, "%s", unsynced_name);
        r = take_lock(fd, LOCK_SH, err);
        if (r == 0)
                r = claim(repo->fd, fd, err);
        if (r == 0)
                r = recover(repo, fd, err);
        if (r < 0)
                return r;
        repo->unsynced_fd = TAKE_FD(fd);
        return 0;
}

/* ---- syncing ahead ---- */

static int sync_job(void *job, struct error *err)
{
        struct repo *repo = job;
        int r = syncfs(repo->fd) < 0 ? error_errno(err, "repository: sync") : 0;

        atomic_store(&repo->syncing, false);
        return r;
}

void unsynced_add(struct repo *repo, uint64_t size)
{
        uint64_t before = atomic_fetch_add(&repo->unsynced, size);

        if (before / SYNC_EVERY == (before + size) / SYNC_EVERY ||
            atomic_exchange(&repo->syncing, true))
                return;
        if (repo->ahead || background_new(&repo->ahead, NULL) == 0)
                (void)!background_start(repo->ahead, sync_job, repo, NULL);
}

int unsynced_wait(struct repo *repo, struct error *err)
{
        return repo->ahead ? background_wait(repo->ahead, err) : 0;
}

void unsynced_end(struct repo *repo, bool synced)
{
        if (repo->unsynced_fd < 0)
                return;
        /* When it cannot be emptied, the next boot's first writer checks for nothing. */
        if (synced && flock(repo->unsynced_fd, LOCK_EX | LOCK_NB) == 0)
                (void)!ftruncate(repo->unsynced_fd, 0);
        close_p(&repo->unsynced_fd);
}
