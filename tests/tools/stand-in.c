/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Loaded into a program, has it meet sockets of a test where it looks for what this machine has
 * not: STAND_IN_DEVICE=PATH:SOCKET  opening PATH connects to SOCKET (each read a whole message)
 *   STAND_IN_VSOCK=SOCKET        connecting to the host over vsock, port 1024, connects to SOCKET
 */

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/un.h>

#include "macro.h"

int open64(const char *path, int flags, ...);

static int reach(int fd, const char *path)
{
        struct sockaddr_un to = { .sun_family = AF_UNIX };
        int (*real)(int, const struct sockaddr *, socklen_t) =
                (__typeof__(real))dlsym(RTLD_NEXT, "connect");

        snprintf(to.sun_path, sizeof(to.sun_path), "%s", path);
        return real(fd, (const struct sockaddr *)&to, sizeof(to));
}

static int open_as(const char *name, const char *path, int flags, mode_t mode)
{
        const char *device = getenv("STAND_IN_DEVICE"),
                   *colon = device ? strchr(device, ':') : NULL;
        int (*real)(const char *, int, ...) = (__typeof__(real))dlsym(RTLD_NEXT, name);
        int fd;

        if (!colon || strlen(path) != (size_t)(colon - device) ||
            strncmp(path, device, strlen(path)) != 0)
                return real(path, flags, mode);
        fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        return fd >= 0 && reach(fd, colon + 1) < 0 ? -1 : fd;
}

#define MODE_OF(flags)                                                                             \
        ({                                                                                         \
                mode_t mode_ = 0;                                                                  \
                va_list args_;                                                                     \
                va_start(args_, flags);                                                            \
                if ((flags)&O_CREAT)                                                               \
                        mode_ = va_arg(args_, mode_t);                                             \
                va_end(args_);                                                                     \
                mode_;                                                                             \
        })

int open(const char *path, int flags, ...)
{
        return open_as("open", path, flags, MODE_OF(flags));
}

int open64(const char *path, int flags, ...)
{
        return open_as("open64", path, flags, MODE_OF(flags));
}

int socket(int domain, int type, int protocol)
{
        int (*real)(int, int, int) = (__typeof__(real))dlsym(RTLD_NEXT, "socket");

        return real(domain == AF_VSOCK && getenv("STAND_IN_VSOCK") ? AF_UNIX : domain, type,
                    protocol);
}

int connect(int fd, const struct sockaddr *to, socklen_t size)
{
        int (*real)(int, const struct sockaddr *, socklen_t) =
                (__typeof__(real))dlsym(RTLD_NEXT, "connect");
        const struct sockaddr_vm *vm = (const struct sockaddr_vm *)(const void *)to;
        const char *path = getenv("STAND_IN_VSOCK");

        if (!path || to->sa_family != AF_VSOCK)
                return real(fd, to, size);
        if (vm->svm_cid != VMADDR_CID_HOST || vm->svm_port != 1024 || size != sizeof(*vm)) {
                errno = ECONNRESET;
                return -1;
        }
        return reach(fd, path);
}
