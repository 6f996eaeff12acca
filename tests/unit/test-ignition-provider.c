/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What providers read: pools of key-value pairs, OVF environments, answers of HTTP servers, and the
 * conversation with VMware's hypervisor, which a few lines stand for here. */

#include <linux/hyperv.h>
#include <pthread.h>
#include <sys/socket.h>

#include "kvp.h"
#include "test.h"
#include "vmware.h"

/* ---- key-value pairs ---- */

static void check_config(const struct kvp_pool *pool, const char *expected)
{
        _cleanup_free_ char *text = NULL;
        struct error err = {};
        size_t size = 0;

        assert_ok(kvp_config(pool, &text, &size, &err), &err);
        if (!expected) {
                assert_null(text);
                return;
        }
        assert_string_equal(text, expected);
        assert_int_equal(size, strlen(expected));
}

static void test_pool(void **state _unused_)
{
        struct kvp_pool pool = {}, copy = {};
        struct error err = {};

        check_config(&pool, NULL);
        assert_ok(kvp_set(&pool, "ignition.config.1", "b", &err), &err);
        check_config(&pool, NULL); /* the first part is missing */
        assert_ok(kvp_set(&pool, "ignition.config.0", "a", &err), &err);
        assert_ok(kvp_set(&pool, "ignition.config.3", "d", &err), &err);
        check_config(&pool, "ab");
        assert_ok(kvp_set(&pool, "ignition.config.1", "B", &err), &err);
        assert_int_equal(pool.count, 3);
        check_config(&pool, "aB");
        assert_ok(kvp_parse(pool.records, pool.count * sizeof(*pool.records), &copy, &err), &err);
        check_config(&copy, "aB");
        assert_ok(kvp_set(&pool, "ignition.config", "whole", &err), &err);
        check_config(&pool, "whole");
        kvp_delete(&pool, "ignition.config.1");
        kvp_delete(&pool, "not there");
        assert_int_equal(pool.count, 3);
        assert_string_equal(kvp_get(&pool, "ignition.config.3"), "d");
        assert_null(kvp_get(&pool, "ignition.config.1"));
        kvp_pool_done(&pool);
        kvp_pool_done(&copy);
}

static void test_pool_limits(void **state _unused_)
{
        struct kvp_pool pool = {};
        struct kvp_record record = { "key", "value" };
        char text[KVP_VALUE_MAX + 1] = "";
        struct error err = {};

        memset(text, 'x', KVP_VALUE_MAX);
        assert_int_equal(kvp_set(&pool, "key", text, &err), -EINVAL);
        assert_int_equal(kvp_set(&pool, text, "value", &err), -EINVAL);
        assert_int_equal(kvp_set(&pool, "", "value", &err), -EINVAL);
        assert_int_equal(kvp_parse(&record, sizeof(record) - 1, &pool, &err), -EINVAL);
        record.value[KVP_VALUE_MAX - 1] = 'x';
        assert_int_equal(kvp_parse(&record, sizeof(record), &pool, &err), -EINVAL);
        record = (struct kvp_record){ "", "value" };
        assert_int_equal(kvp_parse(&record, sizeof(record), &pool, &err), -EINVAL);
        assert_int_equal(pool.count, 0);
        assert_ok(kvp_parse("", 0, &pool, &err), &err);
        kvp_pool_done(&pool);
}

/* ---- a host that sends some ---- */

static int tell(int fd, struct hv_kvp_msg *m)
{
        assert_int_equal(write(fd, m, sizeof(*m)), sizeof(*m));
        assert_int_equal(read(fd, m, sizeof(*m)), sizeof(*m));
        return m->error;
}

static int tell_value(int fd, unsigned pool, const char *key, const char *value)
{
        struct hv_kvp_msg m = { .kvp_hdr = { .operation = KVP_OP_SET, .pool = (__u8)pool } };

        m.body.kvp_set.data.value_type = REG_SZ;
        m.body.kvp_set.data.key_size = (__u32)strlen(key) + 1;
        m.body.kvp_set.data.value_size = (__u32)strlen(value) + 1;
        strcpy((char *)m.body.kvp_set.data.key, key);
        strcpy((char *)m.body.kvp_set.data.value, value);
        return tell(fd, &m);
}

static void send_values(int fd)
{
        struct hv_kvp_msg m = {};

        assert_int_equal(read(fd, &m, sizeof(m)), sizeof(m));
        assert_int_equal(m.kvp_hdr.operation, KVP_OP_REGISTER1);
        assert_int_equal(write(fd, &m, sizeof(m)), sizeof(m));
        assert_int_equal(tell_value(fd, 0, "ignition.config.0", "a"), HV_S_OK);
        assert_int_equal(tell_value(fd, 0, "ignition.config.1", "b"), HV_S_OK);
        assert_int_equal(tell_value(fd, 3, "Host", "h"), HV_S_OK);
        assert_int_equal(tell_value(fd, 0, "", "b"), (int)HV_E_FAIL);
        assert_int_equal(tell_value(fd, 5, "x", "y"), (int)HV_E_FAIL);
        m = (struct hv_kvp_msg){ .kvp_hdr.operation = KVP_OP_ENUMERATE };
        assert_int_equal(tell(fd, &m), (int)HV_S_CONT);
        m = (struct hv_kvp_msg){ .kvp_hdr.operation = KVP_OP_GET_IP_INFO };
        assert_int_equal(tell(fd, &m), (int)HV_E_FAIL);
        m = (struct hv_kvp_msg){ .kvp_hdr.operation = KVP_OP_DELETE };
        strcpy((char *)m.body.kvp_delete.key, "ignition.config.1");
        assert_int_equal(tell(fd, &m), HV_S_OK);
        m = (struct hv_kvp_msg){ .kvp_hdr.operation = KVP_OP_SET };
        m.body.kvp_set.data.value_type = REG_U32;
        m.body.kvp_set.data.value_u32 = 42;
        m.body.kvp_set.data.key_size = UINT32_MAX;
        memset(m.body.kvp_set.data.key, 'k', KVP_KEY_MAX);
        assert_int_equal(tell(fd, &m), HV_S_OK);
}

static void *run_host(void *fd)
{
        send_values(*(int *)fd);
        return NULL;
}

static void test_host(void **state _unused_)
{
        struct kvp_pools pools = {};
        char key[KVP_KEY_MAX] = "";
        struct error err = {};
        pthread_t thread;
        int fds[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
        assert_int_equal(pthread_create(&thread, NULL, run_host, &fds[1]), 0);
        assert_ok(kvp_listen(fds[0], &pools, &err), &err);
        assert_int_equal(pthread_join(thread, NULL), 0);
        check_config(&pools.pool[0], "a");
        assert_string_equal(kvp_get(&pools.pool[3], "Host"), "h");
        memset(key, 'k', KVP_KEY_MAX - 1);
        assert_string_equal(kvp_get(&pools.pool[0], key), "42");
        kvp_pools_done(&pools);
        close(fds[0]);
        close(fds[1]);
}

/* ---- OVF environments ---- */

static const struct {
        const char *xml, *value; /* of the key "k"; NULL: none */
        int code;
} environments[] = {
        { "", NULL, 0 },
        { "<Property oe:key=\"k\" oe:value=\"v\"/>", "v", 0 },
        { "<a><ns:Property x:value='v'\n x:key = 'k' ></a>", "v", 0 },
        { "<Property key='K' value='v'/><Property key='k' value='w'/>", "w", 0 },
        { "<Property key='k'/><Property value='v'/>", NULL, 0 },
        { "<Properties key='k' value='v'/>", NULL, 0 },
        { "<!-- <Property key='k' value='v'/> -->", NULL, 0 },
        { "<!-- <Property key='k' value='v'/>", NULL, 0 },
        { "<Property key='k' value='v", NULL, 0 },
        { "<Property key='k' value='&lt;&amp;&quot;&apos;&gt;&#65;&#x42;'/>", "<&\"'>AB", 0 },
        { "<Property key='k' value='&nbsp;'/>", NULL, -EINVAL },
        { "<Property key='k' value='&amp'/>", NULL, -EINVAL },
        { "<Property key='k' value='&#0;'/>", NULL, -EINVAL },
        { "<Property key='k' value=''/>", "", 0 },
};

static void test_environments(void **state _unused_)
{
        for (size_t i = 0; i < ARRAY_SIZE(environments); i++) {
                _cleanup_free_ char *value = NULL;
                struct error err = {};
                int r = ovf_property(environments[i].xml, "k", &value, &err);

                if (r != environments[i].code ||
                    !streq(value ?: "none", environments[i].value ?: "none"))
                        fail_msg("%s: %d %s", environments[i].xml, r, value);
        }
}

/* ---- VMware's hypervisor ---- */

enum { NUMBER = 7, COOKIE = 0x1234 };

static struct {
        const char *answer;
        unsigned fail_at; /* message that is refused; 99: none */
        char command[256];
        size_t command_size, at;
        uint32_t answer_size; /* 0: as long as it is */
        bool open, closed;
} host;

static void take_word(const struct vmware_registers *r)
{
        memcpy(host.command + host.at, &r->bx, 4);
        host.at += 4;
}

static void give_word(struct vmware_registers *r)
{
        size_t left = strlen(host.answer) - host.at;

        r->bx = 0;
        memcpy(&r->bx, host.answer + host.at, MIN(left, sizeof(r->bx)));
        host.at += MIN(left, sizeof(r->bx));
}

static void hypervisor(struct vmware_registers *r)
{
        unsigned message = r->cx >> 16;

        assert_int_equal(r->ax, 0x564d5868);
        assert_int_equal(r->cx & 0xffff, 0x1e);
        assert_int_equal(r->dx & 0xffff, 0x5658);
        assert_int_equal(r->dx >> 16, host.open ? NUMBER : 0);
        assert_int_equal(r->si, host.open ? COOKIE : 0);
        r->cx = message == host.fail_at ? 0 : 0x10000;
        if (message == 0) {
                assert_int_equal(r->bx, 0xc9435052);
                host.open = message != host.fail_at;
                r->dx = NUMBER << 16;
                r->si = r->di = COOKIE;
        } else if (message == 1) {
                host.command_size = r->bx;
        } else if (message == 2) {
                take_word(r);
        } else if (message == 3) {
                r->cx |= message == host.fail_at ? 0 : 0x20000;
                r->bx = host.answer_size ?: (uint32_t)strlen(host.answer);
                host.at = 0;
        } else if (message == 4) {
                give_word(r);
        } else if (message == 6) {
                host.closed = true;
        }
}

static int ask(const char *answer, unsigned fail_at, uint32_t size, char **ret)
{
        static const struct vmware_port port = { hypervisor };
        struct error err = {};

        memset(&host, 0, sizeof(host));
        host.answer = answer;
        host.fail_at = fail_at;
        host.answer_size = size;
        return vmware_command(&port, "info-get guestinfo.x", ret, &err);
}

static void test_hypervisor(void **state _unused_)
{
        _cleanup_free_ char *value = NULL, *none = NULL;

        assert_int_equal(ask("1 a value", 99, 0, &value), 0);
        assert_string_equal(value, "a value");
        assert_string_equal(host.command, "info-get guestinfo.x");
        assert_int_equal(host.command_size, strlen(host.command));
        assert_true(host.closed);
        assert_int_equal(ask("0 No value found", 99, 0, &none), -ENODATA);
        assert_null(none);
        assert_true(host.closed);
}

static void test_hypervisor_refuses(void **state _unused_)
{
        char *value = NULL;

        for (unsigned message = 0; message <= 4; message++) {
                assert_int_equal(ask("1 x", message, 0, &value), -EIO);
                assert_int_equal(host.closed, message > 0);
        }
        assert_int_equal(ask("1 x", 99, UINT32_MAX, &value), -EFBIG);
        assert_null(value);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_pool),       cmocka_unit_test(test_pool_limits),
                cmocka_unit_test(test_host),       cmocka_unit_test(test_environments),
                cmocka_unit_test(test_hypervisor), cmocka_unit_test(test_hypervisor_refuses),
        };

        return test_run(tests);
}
