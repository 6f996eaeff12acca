/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* VMware's RPCI: a guest reads from port 0x5658 with a magic number in EAX, and the hypervisor
 * answers in the registers instead of a device. One exchange is
 *   open "RPCI" → channel and two cookies; length of the command; the command, four bytes a time;
 *   length of the answer; the answer, four bytes a time; its end; close.
 * Every message has its number in the upper half of ECX and gets flags back there; the channel's
 * number is in the upper half of EDX. Unprivileged code may do that, too. */

#include "vmware.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "config.h"

#define MAGIC      0x564d5868U
#define PORT       0x5658U
#define RPCI       (0x49435052U | 0x80000000U) /* with cookies */
#define MESSAGE    0x1eU
#define SUCCESS    0x1U
#define HAS_ANSWER 0x2U

enum { OPEN, SEND_LENGTH, SEND_DATA, GET_LENGTH, GET_DATA, GET_END, CLOSE };
enum { ANSWER_MAX = CONFIG_SIZE_MAX };

struct channel {
        const struct vmware_port *port;
        uint32_t number, cookies[2];
        bool open;
};

#if defined(__x86_64__)
static void port_in(struct vmware_registers *r)
{
        __asm__ volatile("inl %%dx, %%eax"
                         : "+a"(r->ax), "+b"(r->bx), "+c"(r->cx), "+d"(r->dx), "+S"(r->si),
                           "+D"(r->di)
                         :
                         : "memory", "cc");
}

static const struct vmware_port real_port = { port_in };

const struct vmware_port *vmware_find(void)
{
        unsigned a, name[3] = {};

        if (__get_cpuid(1, &a, &name[0], &name[1], &name[2]) == 0 || !(name[1] & (1U << 31)))
                return NULL;
        __cpuid(0x40000000, a, name[0], name[1], name[2]);
        return memcmp(name, "VMwareVMware", sizeof(name)) == 0 ? &real_port : NULL;
}
#else
const struct vmware_port *vmware_find(void)
{
        return NULL;
}
#endif

/* ---- messages ---- */

static struct vmware_registers say(const struct channel *c, uint32_t message, uint32_t value)
{
        struct vmware_registers r = {
                .ax = MAGIC,
                .bx = value,
                .cx = message << 16 | MESSAGE,
                .dx = c->number << 16 | PORT,
                .si = c->cookies[0],
                .di = c->cookies[1],
        };

        c->port->in(&r);
        return r;
}

static bool succeeded(const struct vmware_registers *r, uint32_t flags)
{
        return (r->cx >> 16 & flags) == flags;
}

static int channel_open(struct channel *c, struct error *err)
{
        struct vmware_registers r = say(c, OPEN, RPCI);

        if (!succeeded(&r, SUCCESS))
                return error_set(err, -EIO, "the hypervisor gives no channel");
        c->number = r.dx >> 16;
        c->cookies[0] = r.si;
        c->cookies[1] = r.di;
        c->open = true;
        return 0;
}

static void channel_done(struct channel *c)
{
        if (c->open)
                say(c, CLOSE, 0);
}

static int send_command(const struct channel *c, const char *command, struct error *err)
{
        size_t size = strlen(command);
        struct vmware_registers r = say(c, SEND_LENGTH, (uint32_t)size);

        for (size_t at = 0; at < size && succeeded(&r, SUCCESS); at += 4) {
                uint32_t word = 0;

                memcpy(&word, command + at, MIN(size - at, sizeof(word)));
                r = say(c, SEND_DATA, word);
        }
        return succeeded(&r, SUCCESS) ? 0 : error_set(err, -EIO, "the hypervisor takes no command");
}

static int read_words(const struct channel *c, char *data, size_t size, struct error *err)
{
        for (size_t at = 0; at < size; at += 4) {
                struct vmware_registers r = say(c, GET_DATA, SUCCESS);

                if (!succeeded(&r, SUCCESS))
                        return error_set(err, -EIO, "the hypervisor's answer breaks off");
                memcpy(data + at, &r.bx, MIN(size - at, sizeof(r.bx)));
        }
        return 0;
}

static int read_answer(const struct channel *c, char **ret, struct error *err)
{
        struct vmware_registers r = say(c, GET_LENGTH, 0);
        _cleanup_free_ char *data = NULL;
        size_t size = r.bx;
        int result;

        if (!succeeded(&r, SUCCESS | HAS_ANSWER))
                return error_set(err, -EIO, "the hypervisor does not answer");
        if (size > ANSWER_MAX)
                return error_set(err, -EFBIG, "the hypervisor's answer has %zu bytes", size);
        data = malloc(size + 1);
        if (!data)
                return error_oom(err);
        result = read_words(c, data, size, err);
        if (result < 0)
                return result;
        data[size] = '\0';
        say(c, GET_END, SUCCESS);
        *ret = TAKE_PTR(data);
        return 0;
}

int vmware_command(const struct vmware_port *port, const char *command, char **ret,
                   struct error *err)
{
        _cleanup_(channel_done) struct channel c = { .port = port };
        _cleanup_free_ char *answer = NULL;
        int r;

        r = channel_open(&c, err);
        if (r >= 0)
                r = send_command(&c, command, err);
        if (r >= 0)
                r = read_answer(&c, &answer, err);
        if (r < 0)
                return r;
        if (!startswith(answer, "1 "))
                return error_set(err, -ENODATA, "%s", answer);
        *ret = strdup(answer + 2);
        return *ret ? 0 : error_oom(err);
}
