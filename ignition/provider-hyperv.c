/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Hyper-V: key-value pairs that the host gives, in pool 0. Either a daemon has put them into files,
 * or this program takes the daemon's place: it registers with the kernel, which then passes on what
 * the host sends. The host does so once, so the pools are written as the daemon would have, and
 * brought into the new system, whose own daemon finds them there. */

#include <fcntl.h>

#include "kvp.h"
#include "process.h"
#include "provider.h"
#include "strv.h"

enum { POOL_MAX = KVP_RECORDS_MAX * sizeof(struct kvp_record) };

static const char directory[] = "/var/lib/hyperv", device[] = "/dev/vmbus/hv_kvp";

static void pool_path(size_t pool, char path[64])
{
        snprintf(path, 64, "%s/.kvp_pool_%zu", directory, pool);
}

/* ---- in the daemon's place ---- */

static int write_pools(const struct kvp_pools *p, struct error *err)
{
        int r = path_mkdirs(AT_FDCWD, directory, 0755, err);

        for (size_t i = 0; r >= 0 && i < KVP_POOLS; i++) {
                char path[64];

                pool_path(i, path);
                r = file_write(AT_FDCWD, path, p->pool[i].records,
                               p->pool[i].count * sizeof(struct kvp_record), 0600, err);
        }
        return r;
}

static int receive(struct agent *a, struct kvp_pools *p, struct error *err)
{
        static const char *const modprobe[] = { "modprobe", "-q", "hv_utils", NULL };
        _cleanup_close_ int fd = -1;
        struct error ignored = {};
        int r;

        if (access(device, F_OK) < 0 && spawn(modprobe, NULL, NULL, &ignored) < 0)
                log_line(&a->log, LOG_WARNING, "loading hv_utils: %s", ignored.message);
        fd = open(device, O_RDWR | O_CLOEXEC);
        if (fd < 0)
                return error_errno(err, "%s", device);
        log_line(&a->log, LOG_INFO, "asking the host for key-value pairs");
        r = kvp_listen(fd, p, err);
        return r < 0 ? error_prefix(err, r, "%s", device) : write_pools(p, err);
}

/* ---- the provider ---- */

static int read_pool(struct kvp_pool *pool, const char *path, struct error *err)
{
        _cleanup_free_ char *data = NULL;
        size_t size;
        int r = file_read(AT_FDCWD, path, POOL_MAX, &data, &size, err);

        return r < 0 ? r : error_prefix(err, kvp_parse(data, size, pool, err), "%s", path);
}

static int fetch(struct agent *a, struct config_text *ret, struct error *err)
{
        _cleanup_(kvp_pools_done) struct kvp_pools pools = {};
        char path[64];
        int r;

        pool_path(0, path);
        r = access(path, F_OK) == 0 ? read_pool(&pools.pool[0], path, err)
                                    : receive(a, &pools, err);
        if (r >= 0)
                r = kvp_config(&pools.pool[0], &ret->text, &ret->size, err);
        if (r < 0 || !ret->text)
                return r < 0 ? r : PROVIDER_NONE;
        ret->source = strdup("Hyper-V's key-value pairs");
        return ret->source ? 0 : error_oom(err);
}

static int publish_pool(struct agent *a, const char *path, struct error *err)
{
        _cleanup_free_ char *data = NULL, *resolved = NULL;
        _cleanup_place_ struct place place = PLACE_NULL;
        size_t size;
        int r;

        if (access(path, F_OK) < 0)
                return 0;
        r = file_read(AT_FDCWD, path, POOL_MAX, &data, &size, err);
        if (r >= 0)
                r = root_resolve(&a->root, path, &resolved, err);
        if (r >= 0)
                r = place_make(&a->root, resolved, &place, err);
        return r < 0 ? r : file_write(place.dir, place.name, data, size, 0600, err);
}

static int publish(struct agent *a, struct error *err)
{
        int r = 0;

        for (size_t i = 0; r >= 0 && i < KVP_POOLS; i++) {
                char path[64];

                pool_path(i, path);
                r = publish_pool(a, path, err);
        }
        return r;
}

const struct provider provider_hyperv = { .name = "hyperv", .fetch = fetch, .publish = publish };
