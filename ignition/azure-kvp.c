/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The report for those who look at the host: key-value pairs in the guest's pool, which Hyper-V's
 * daemon passes on. Azure reads 254 bytes of a key and 1022 of a value, so that a longer text goes
 * into several records of the same key, one behind the other. Whoever writes into the pool holds a
 * lock: other agents by flock(), the daemon by a record lock. */

#include <fcntl.h>
#include <sys/file.h>

#include "azure.h"
#include "kvp.h"
#include "strv.h"

enum {
        VALUE_MAX = 1022,
        REPORT_MAX = 3 * VALUE_MAX,
        GUEST_RECORDS_MAX = 1024,
        LOCK_MS = 5000,
        LOCK_PAUSE_MS = 50,
};

static const char directory[] = "var/lib/hyperv", pool_name[] = ".kvp_pool_1",
                  key[] = "PROVISIONING_REPORT";

static int lock(int fd, struct error *err)
{
        struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
        uint64_t deadline = clock_deadline(LOCK_MS);
        int r = 0;

        while (r >= 0 && (flock(fd, LOCK_EX | LOCK_NB) < 0 || fcntl(fd, F_OFD_SETLK, &whole) < 0)) {
                if (errno != EWOULDBLOCK && errno != EACCES)
                        return error_errno(err, "lock");
                if (clock_left(deadline) == 0)
                        return error_set(err, -EBUSY, "somebody else holds its lock");
                r = clock_sleep(LOCK_PAUSE_MS, err);
        }
        return r;
}

/* What others wrote; half a record at the end, as a power cut leaves it, is nothing. */
static int load(int fd, struct kvp_pool *ret, struct error *err)
{
        const size_t limit = GUEST_RECORDS_MAX * sizeof(struct kvp_record);
        _cleanup_free_ char *data = malloc(limit);
        struct error ignored;
        size_t size;
        int r;

        if (!data)
                return error_oom(err);
        r = io_pread(fd, data, limit, 0, &size, err);
        if (r < 0)
                return r;
        if (kvp_parse(data, size - size % sizeof(struct kvp_record), ret, &ignored) < 0)
                ret->count = 0;
        while (kvp_get(ret, key))
                kvp_delete(ret, key);
        return 0;
}

/* Up to size bytes, and no piece of a character. */
static size_t piece(const char *text, size_t size)
{
        size_t n = strnlen(text, size);

        while (n > 1 && (text[n] & 0xc0) == 0x80)
                n--;
        return n;
}

static int append(struct kvp_pool *p, const char *text, struct error *err)
{
        while (*text) {
                size_t n = piece(text, VALUE_MAX);
                struct kvp_record *record;

                if (p->count >= GUEST_RECORDS_MAX)
                        return error_set(err, -ENOSPC, "it is full");
                if (array_reserve(&p->records, &p->capacity, p->count + 1, sizeof(*record)) < 0)
                        return error_oom(err);
                record = &p->records[p->count++];
                *record = (struct kvp_record){};
                strcpy(record->key, key);
                memcpy(record->value, text, n);
                text += n;
        }
        return 0;
}

static int store(int fd, const struct kvp_pool *p, struct error *err)
{
        size_t size = p->count * sizeof(*p->records);
        int r = io_pwrite(fd, p->records, size, 0, err);

        if (r >= 0 && ftruncate(fd, (off_t)size) < 0)
                return error_errno(err, "truncate");
        return r;
}

int azure_kvp_report(struct azure *z, const char *reason, struct error *err)
{
        _cleanup_free_ char *text = azure_health_text(z, reason, REPORT_MAX);
        _cleanup_(kvp_pool_done) struct kvp_pool pool = {};
        _cleanup_close_ int dir = -1, fd = -1;
        int r;

        if (!text)
                return error_oom(err);
        dir = path_open_dir(z->root->fd, directory, 0755, err);
        if (dir < 0)
                return dir;
        fd = openat(dir, pool_name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
        if (fd < 0)
                return error_errno(err, "/%s/%s", directory, pool_name);
        r = lock(fd, err);
        if (r >= 0)
                r = load(fd, &pool, err);
        if (r >= 0)
                r = append(&pool, text, err);
        if (r >= 0)
                r = store(fd, &pool, err);
        return error_prefix(err, r, "/%s/%s", directory, pool_name);
}
