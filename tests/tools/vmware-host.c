/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* vmware-host [--dump FILE] [NAME=VALUE...] -- COMMAND...
 *
 * Runs a command as if in a virtual machine of VMware that has these variables. The command is
 * traced: at CPUID, in whose place there are breakpoints, the processor tells of VMware; an access
 * to the hypervisor's port faults anyway and is answered as the hypervisor would. So a client's own
 * instructions are what is tested, ours or that of VMware's tools, and each shows that this host is
 * a fair one for the other.
 *
 * The protocol is that of ignition/vmware.c. FILE gets the variables as they are at the end. */

#if defined(__x86_64__)

#include <cpuid.h>
#include <elf.h>
#include <limits.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>

#include "io.h"
#include "strv.h"

enum { CHANNEL = 3, VARIABLES_MAX = 32, TEXT_MAX = 1 << 20 };
enum { BREAKPOINT = 0xcc, CPUID_WATCHED = 0xa2cc /* its first byte, 0x0f, is replaced */ };
enum { COMMAND_VERSION = 0x0a, COMMAND_MESSAGE = 0x1e };
enum { OPEN, SEND_LENGTH, SEND_DATA, GET_LENGTH, GET_DATA, GET_END, CLOSE };

#define MAGIC   0x564d5868U
#define RPCI    0xc9435052U
#define COOKIE1 0xfeedf00dU
#define COOKIE2 0x8badcafeU

static struct {
        char *variables[VARIABLES_MAX];
        bool open;
        char command[TEXT_MAX], answer[TEXT_MAX + 3];
        size_t command_size, answer_size, at;
} host;

static uint64_t entry; /* where the newest program stops first; 0: it has */
static long entry_text;

static _Noreturn void die(const char *what)
{
        perror(what);
        exit(1);
}

/* ---- variables ---- */

static char **variable(const char *name, size_t size)
{
        for (size_t i = 0; i < VARIABLES_MAX; i++)
                if (!host.variables[i] ||
                    (strncmp(host.variables[i], name, size) == 0 && host.variables[i][size] == '='))
                        return &host.variables[i];
        errno = ENOSPC;
        die("variables");
}

static void set(const char *name, size_t size, const char *value)
{
        char **v = variable(name, size);

        free(*v);
        if (asprintf(v, "%.*s=%s", (int)size, name, value) < 0)
                die("set");
}

static const char *execute(const char *command)
{
        const char *name = startswith(command, "info-get ");
        static char text[sizeof(host.answer)];
        size_t size;

        if (name) {
                char *const *v = variable(name, strlen(name));

                if (!*v)
                        return "0 No value found";
                snprintf(text, sizeof(text), "1 %s", *v + strlen(name) + 1);
                return text;
        }
        name = startswith(command, "info-set ");
        size = name ? strcspn(name, " ") : 0;
        if (size == 0)
                return "0 Unknown command";
        set(name, size, name + size + (name[size] == ' '));
        return "1 ";
}

/* ---- messages ---- */

static bool take_word(uint32_t word)
{
        size_t left = host.command_size - host.at;

        if (left == 0)
                return false;
        memcpy(host.command + host.at, &word, MIN(left, sizeof(word)));
        host.at += MIN(left, sizeof(word));
        if (host.at == host.command_size) {
                host.command[host.at] = '\0';
                host.answer_size = (size_t)snprintf(host.answer, sizeof(host.answer), "%s",
                                                    execute(host.command));
        }
        return true;
}

static uint32_t give_word(void)
{
        size_t left = host.answer_size - host.at;
        uint32_t word = 0;

        memcpy(&word, host.answer + host.at, MIN(left, sizeof(word)));
        host.at += MIN(left, sizeof(word));
        return word;
}

static bool is_authentic(const struct user_regs_struct *r)
{
        return host.open && (uint32_t)r->rdx >> 16 == CHANNEL && (uint32_t)r->rsi == COOKIE1 &&
               (uint32_t)r->rdi == COOKIE2;
}

/* What the upper half of ECX says: 1 success, 2 there is an answer. */
static uint32_t message(struct user_regs_struct *r)
{
        uint32_t value = (uint32_t)r->rbx, what = (uint32_t)r->rcx >> 16;

        if (what == OPEN && value == RPCI && !host.open) {
                host.open = true;
                r->rdx = CHANNEL << 16;
                r->rsi = COOKIE1;
                r->rdi = COOKIE2;
                return 1;
        }
        if (!is_authentic(r))
                return 0;
        switch (what) {
        case SEND_LENGTH:
                host.command_size = value;
                host.at = host.answer_size = 0;
                return value < sizeof(host.command);
        case SEND_DATA: return take_word(value);
        case GET_LENGTH:
                host.at = 0;
                r->rbx = host.answer_size;
                r->rdx = 1U << 16; /* what kind of message: an answer */
                return host.answer_size > 0 ? 3 : 1;
        case GET_DATA:
                r->rbx = give_word();
                r->rdx = 2U << 16;
                return value == 1;
        case GET_END: return value == 1;
        case CLOSE: host.open = false; return 1;
        default: return 0;
        }
}

static void port_in(struct user_regs_struct *r)
{
        uint32_t flags;

        if ((uint32_t)r->rax != MAGIC)
                return;
        switch (r->rcx & 0xffff) {
        case COMMAND_VERSION:
                r->rax = 6;
                r->rbx = MAGIC;
                r->rcx = 4;
                break;
        case COMMAND_MESSAGE:
                flags = message(r);
                r->rcx = flags << 16;
                break;
        default: r->rax = UINT32_MAX;
        }
}

static void cpuid(struct user_regs_struct *r)
{
        uint32_t leaf = (uint32_t)r->rax, a, b, c, d;

        __cpuid_count(leaf, (uint32_t)r->rcx, a, b, c, d);
        if (leaf == 1)
                c |= 1U << 31;
        if (leaf == 0x40000000) {
                a = 0x40000010;
                memcpy(&b, "VMwa", 4);
                memcpy(&c, "reVM", 4);
                memcpy(&d, "ware", 4);
        }
        r->rax = a;
        r->rbx = b;
        r->rcx = c;
        r->rdx = d;
}

/* ---- the traced ---- */

/* Carries out the instruction that faulted, if it is one of ours. */
static bool emulate(pid_t pid)
{
        struct user_regs_struct r;
        long text;

        if (ptrace(PTRACE_GETREGS, pid, NULL, &r) < 0)
                die("registers");
        text = ptrace(PTRACE_PEEKTEXT, pid, r.rip, NULL);
        if ((text & 0xff) != 0xed || (r.rdx & 0xffff) != 0x5658)
                return false;
        port_in(&r);
        r.rip += 1;
        if (ptrace(PTRACE_SETREGS, pid, NULL, &r) < 0)
                die("registers");
        return true;
}

/* ---- breakpoints ---- */

static long poke(pid_t pid, uint64_t address, long text)
{
        long before = ptrace(PTRACE_PEEKTEXT, pid, address, NULL);

        if (ptrace(PTRACE_POKETEXT, pid, address, text) < 0)
                die("breakpoint");
        return before;
}

static void set_breakpoint(pid_t pid, uint64_t address)
{
        long text = ptrace(PTRACE_PEEKTEXT, pid, address, NULL);

        poke(pid, address, (text & ~0xffL) | BREAKPOINT);
}

/* At each CPUID of a program or library that lies in memory from `base` on. */
static void watch_cpuid(pid_t pid, const char *path, uint64_t base)
{
        _cleanup_free_ char *command = string_format("objdump -d --no-show-raw-insn '%s'", path);
        _cleanup_free_ char *line = NULL;
        FILE *listing = popen(command, "r");
        unsigned long long address;
        size_t size = 0;

        if (!listing)
                die("objdump");
        while (getline(&line, &size, listing) >= 0)
                if (strstr(line, "\tcpuid") && sscanf(line, " %llx:", &address) == 1)
                        set_breakpoint(pid, base + address);
        if (pclose(listing) != 0)
                die(command);
}

/* The program, and VMware's library: those in whose CPUID it is the hypervisor that answers. */
static void watch_all(pid_t pid)
{
        char exe[PATH_MAX] = "", name[64], line[PATH_MAX + 128], path[PATH_MAX];
        unsigned long long start, offset;
        FILE *maps;

        snprintf(name, sizeof(name), "/proc/%d/exe", pid);
        if (readlink(name, exe, sizeof(exe) - 1) < 0)
                die(name);
        snprintf(name, sizeof(name), "/proc/%d/maps", pid);
        maps = fopen(name, "re");
        if (!maps)
                die(name);
        while (fgets(line, sizeof(line), maps))
                if (sscanf(line, "%llx-%*x %*s %llx %*s %*s %s", &start, &offset, path) == 3 &&
                    offset == 0 && (streq(path, exe) || strstr(path, "/libvmtools")))
                        watch_cpuid(pid, path, start);
        fclose(maps);
}

/* Where the program itself begins, when its libraries are there. */
static void stop_at_entry(pid_t pid)
{
        uint64_t pair[2] = {};
        char name[64];
        FILE *auxv;

        snprintf(name, sizeof(name), "/proc/%d/auxv", pid);
        auxv = fopen(name, "re");
        while (auxv && pair[0] != AT_ENTRY && fread(pair, sizeof(pair), 1, auxv) == 1)
                ;
        if (pair[0] != AT_ENTRY)
                die(name);
        fclose(auxv);
        entry = pair[1];
        entry_text = ptrace(PTRACE_PEEKTEXT, pid, entry, NULL);
        set_breakpoint(pid, entry);
}

/* Carries out the instruction in whose place the breakpoint was. */
static bool pass_breakpoint(pid_t pid)
{
        struct user_regs_struct r;

        if (ptrace(PTRACE_GETREGS, pid, NULL, &r) < 0)
                die("registers");
        if (r.rip - 1 == entry) {
                poke(pid, entry, entry_text);
                r.rip = entry;
                entry = 0;
                watch_all(pid);
        } else if ((ptrace(PTRACE_PEEKTEXT, pid, r.rip - 1, NULL) & 0xffff) == CPUID_WATCHED) {
                cpuid(&r);
                r.rip += 1;
        } else
                return false;
        if (ptrace(PTRACE_SETREGS, pid, NULL, &r) < 0)
                die("registers");
        return true;
}

/* Until the first process ends; with what. */
static int follow(pid_t first)
{
        for (;;) {
                int status, signal = 0;
                pid_t pid = waitpid(-1, &status, __WALL);

                if (pid < 0)
                        die("waitpid");
                if (WIFEXITED(status) || WIFSIGNALED(status)) {
                        if (pid == first)
                                return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
                        continue;
                }
                if (status >> 16 == PTRACE_EVENT_EXEC)
                        stop_at_entry(pid);
                else if (status >> 16 == 0 && WSTOPSIG(status) == SIGTRAP)
                        signal = pass_breakpoint(pid) ? 0 : SIGTRAP;
                else if (WSTOPSIG(status) == SIGSEGV)
                        signal = emulate(pid) ? 0 : SIGSEGV;
                else if (status >> 16 == 0 && WSTOPSIG(status) != SIGSTOP)
                        signal = WSTOPSIG(status);
                ptrace(PTRACE_CONT, pid, NULL, signal);
        }
}

static pid_t start(char *const argv[])
{
        const long options = PTRACE_O_TRACEEXEC | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK |
                             PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL;
        pid_t pid = fork();
        int status;

        if (pid == 0) {
                ptrace(PTRACE_TRACEME, 0, NULL, NULL);
                raise(SIGSTOP);
                execvp(argv[0], argv);
                die(argv[0]);
        }
        if (pid < 0 || waitpid(pid, &status, __WALL) != pid ||
            ptrace(PTRACE_SETOPTIONS, pid, NULL, options) < 0 ||
            ptrace(PTRACE_CONT, pid, NULL, NULL) < 0)
                die("ptrace");
        return pid;
}

int main(int argc, char *argv[])
{
        const char *dump = NULL;
        int i = 1, status;
        FILE *file;

        if (argc > 2 && streq(argv[1], "--dump")) {
                dump = argv[2];
                i = 3;
        }
        for (; i < argc && !streq(argv[i], "--"); i++) {
                const char *equals = strchr(argv[i], '=');

                if (!equals)
                        break;
                set(argv[i], (size_t)(equals - argv[i]), equals + 1);
        }
        if (i + 1 >= argc || !streq(argv[i], "--")) {
                fprintf(stderr, "usage: vmware-host [--dump FILE] [NAME=VALUE...] -- COMMAND...\n");
                return 2;
        }
        status = follow(start(argv + i + 1));
        file = dump ? fopen(dump, "we") : NULL;
        for (size_t v = 0; file && v < VARIABLES_MAX && host.variables[v]; v++)
                fprintf(file, "%s\n", host.variables[v]);
        return file && fclose(file) != 0 ? 1 : status;
}

#else

int main(void)
{
        return 77;
}

#endif
