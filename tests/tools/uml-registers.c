/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* User-mode Linux 6.1 keeps the extended registers of a process in the bytes that they took before
 * there were tiles (AMX). The host gives it the beginning of them, but takes them back only as a
 * whole, so on such a processor no process would start. This, in LD_PRELOAD of the guest's kernel,
 * puts behind what it gives back what the process has. Other processors have fewer registers than
 * that (AMD's, say): the rest of what the guest gives is nothing. */

#include <dlfcn.h>
#include <elf.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/uio.h>

enum { REGISTERS_MAX = 64 * 1024 };

typedef long ptrace_function(int request, pid_t pid, void *address, void *data);

static long give_back(ptrace_function *next, pid_t pid, const struct iovec *given)
{
        static _Thread_local char registers[REGISTERS_MAX];
        struct iovec all = { registers, sizeof(registers) };
        long r = next(PTRACE_GETREGSET, pid, (void *)NT_X86_XSTATE, &all);

        if (r < 0)
                return r;
        memcpy(registers, given->iov_base,
               given->iov_len < all.iov_len ? given->iov_len : all.iov_len);
        return next(PTRACE_SETREGSET, pid, (void *)NT_X86_XSTATE, &all);
}

long ptrace(enum __ptrace_request request, ...)
{
        ptrace_function *next = (ptrace_function *)dlsym(RTLD_NEXT, "ptrace");
        void *address, *data;
        va_list list;
        pid_t pid;

        va_start(list, request);
        pid = va_arg(list, pid_t);
        address = va_arg(list, void *);
        data = va_arg(list, void *);
        va_end(list);
        if (request == PTRACE_SETREGSET && address == (void *)NT_X86_XSTATE)
                return give_back(next, pid, data);
        return next(request, pid, address, data);
}
