/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Code that must not run on a host, for the proof `only-usr-runs`: static, so that it needs nothing
 * there. It says that it ran (and leaves a mark, for who runs it where nobody reads its output).
 * With an argument it tries, as code that may run, to have something run that may not, and says the
 * same when it did:
 *
 *   memfd FILE   a copy of FILE that exists in memory alone
 *   anonymous    instructions in memory that belongs to no file
 *   trace        instructions written into another process, a program of /usr
 *   kexec        another kernel (which it does not have: it only asks) */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

static const char mark[] = "/run/way-ran";

static int fail(const char *what)
{
        printf("%s: %s\n", what, strerror(errno));
        return 1;
}

static int ran(void)
{
        puts("native code ran");
        close(open(mark, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
        return 0;
}

static int way_memfd(const char *path)
{
        int in = open(path, O_RDONLY | O_CLOEXEC), out = memfd_create("way", 0);
        struct stat st;

        if (in < 0 || out < 0 || fstat(in, &st) < 0 ||
            sendfile(out, in, NULL, (size_t)st.st_size) != st.st_size)
                return fail("memfd");
        fexecve(out, (char *[]){ "memfd", NULL }, (char *[]){ NULL });
        return fail("memfd");
}

/* mov $42, %eax; ret */
static int way_anonymous(void)
{
        static const unsigned char code[] = { 0xb8, 42, 0, 0, 0, 0xc3 };
        void *p = mmap(NULL, sizeof(code), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                       0);

        if (p == MAP_FAILED)
                return fail("anonymous");
        memcpy(p, code, sizeof(code));
        if (mprotect(p, sizeof(code), PROT_READ | PROT_EXEC) < 0)
                return fail("anonymous");
        return ((int (*)(void))p)() == 42 ? ran() : fail("anonymous");
}

/* mov $60, %eax; mov $42, %edi; syscall: _exit(42) */
static int way_trace(void)
{
        static const unsigned char code[16] = { 0xb8, 60, 0, 0, 0, 0xbf, 42, 0, 0, 0, 0x0f, 0x05 };
        struct user_regs_struct registers;
        pid_t child = fork();
        int status;

        if (child == 0) {
                ptrace(PTRACE_TRACEME, 0, NULL, NULL);
                execl("/usr/bin/sleep", "sleep", "5", NULL);
                _exit(1);
        }
        if (waitpid(child, &status, 0) != child || !WIFSTOPPED(status) ||
            ptrace(PTRACE_GETREGS, child, NULL, &registers) < 0)
                return fail("trace");
        for (size_t i = 0; i < sizeof(code); i += sizeof(long)) {
                long word;

                memcpy(&word, code + i, sizeof(word));
                if (ptrace(PTRACE_POKETEXT, child, registers.rip + i, word) < 0)
                        return fail("trace");
        }
        if (ptrace(PTRACE_DETACH, child, NULL, NULL) < 0 || waitpid(child, &status, 0) != child)
                return fail("trace");
        return WIFEXITED(status) && WEXITSTATUS(status) == 42 ? ran() : fail("trace");
}

static int way_kexec(void)
{
        return syscall(SYS_kexec_load, 0UL, 0UL, NULL, 0UL) < 0 ? fail("kexec") : ran();
}

int main(int argc, char *argv[])
{
        if (argc == 3 && strcmp(argv[1], "memfd") == 0)
                return way_memfd(argv[2]);
        if (argc == 2 && strcmp(argv[1], "anonymous") == 0)
                return way_anonymous();
        if (argc == 2 && strcmp(argv[1], "trace") == 0)
                return way_trace();
        if (argc == 2 && strcmp(argv[1], "kexec") == 0)
                return way_kexec();
        return ran();
}
