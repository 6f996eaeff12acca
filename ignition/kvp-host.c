/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The daemon's side of the kernel's key-value device: it registers, the kernel answers with its
 * version, and from then on passes on the host's messages one by one, each of which wants an answer
 * before the next comes. The host sends all it has, and then is quiet. */

#include <linux/hyperv.h>
#include <poll.h>

#include "clock.h"
#include "io.h"
#include "kvp.h"

enum { QUIET_MS = 1000, TOTAL_MS = 30000 };

void kvp_pools_done(struct kvp_pools *p)
{
        for (size_t i = 0; i < KVP_POOLS; i++)
                kvp_pool_done(&p->pool[i]);
}

static int set(struct kvp_pool *pool, const struct hv_kvp_exchg_msg_value *d, struct error *err)
{
        char key[KVP_KEY_MAX] = "", value[KVP_VALUE_MAX] = "";

        memcpy(key, d->key, MIN((size_t)d->key_size, sizeof(key) - 1));
        if (d->value_type == REG_U32)
                snprintf(value, sizeof(value), "%u", d->value_u32);
        else if (d->value_type == REG_U64)
                snprintf(value, sizeof(value), "%llu", (unsigned long long)d->value_u64);
        else
                memcpy(value, d->value, MIN((size_t)d->value_size, sizeof(value) - 1));
        return kvp_set(pool, key, value, err);
}

/* Does what the host wants; returns what to answer. Asked for this guest's values, it says that
 * there are no more. */
static uint32_t obey(struct kvp_pools *p, struct hv_kvp_msg *m)
{
        struct error ignored;

        if (m->kvp_hdr.pool >= KVP_POOLS)
                return HV_E_FAIL;
        switch (m->kvp_hdr.operation) {
        case KVP_OP_SET:
                return set(&p->pool[m->kvp_hdr.pool], &m->body.kvp_set.data, &ignored) < 0
                               ? HV_E_FAIL
                               : HV_S_OK;
        case KVP_OP_DELETE:
                m->body.kvp_delete.key[KVP_KEY_MAX - 1] = '\0';
                kvp_delete(&p->pool[m->kvp_hdr.pool], (const char *)m->body.kvp_delete.key);
                return HV_S_OK;
        case KVP_OP_GET:
        case KVP_OP_ENUMERATE: return HV_S_CONT;
        default: return HV_E_FAIL;
        }
}

static int read_message(int fd, struct hv_kvp_msg *m, struct error *err)
{
        ssize_t n = read(fd, m, sizeof(*m));

        if (n < 0)
                return error_errno(err, "read");
        return n == (ssize_t)sizeof(*m) ? 0 : error_set(err, -EBADMSG, "a message of %zd bytes", n);
}

int kvp_listen(int fd, struct kvp_pools *pools, struct error *err)
{
        uint64_t deadline = clock_deadline(TOTAL_MS);
        struct hv_kvp_msg m = { .kvp_hdr.operation = KVP_OP_REGISTER1 };
        struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
        bool registered = false;
        int r = io_write(fd, &m, sizeof(m), err);

        while (r >= 0 && clock_left(deadline) > 0 && poll(&poll_fd, 1, QUIET_MS) > 0) {
                r = read_message(fd, &m, err);
                if (r >= 0 && registered) {
                        m.error = (int)obey(pools, &m);
                        r = io_write(fd, &m, sizeof(m), err);
                }
                registered = true;
        }
        return r;
}
