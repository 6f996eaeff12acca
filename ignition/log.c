/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See log.h. The log sink is the one place below main() that writes for people; it is part of the
 * contract that lines appear while a stage runs. */

#include <fcntl.h>
#include <stdarg.h>

#include "console.h"
#include "log.h"
#include "strv.h"

enum { LEVEL_WIDTH = 9 };

static const char *const level_names[] = {
        [LOG_EMERG] = "EMERGENCY", [LOG_ALERT] = "ALERT",     [LOG_CRIT] = "CRITICAL",
        [LOG_ERR] = "ERROR",       [LOG_WARNING] = "WARNING", [LOG_NOTICE] = "NOTICE",
        [LOG_INFO] = "INFO",       [LOG_DEBUG] = "DEBUG",
};

void log_open(struct log *l, bool to_stdout)
{
        l->to_stdout = to_stdout || access("/dev/log", W_OK) < 0;
        if (!l->to_stdout)
                openlog("ignition", LOG_NDELAY | LOG_PID, LOG_DAEMON);
}

/* A line that is being put together: what does not fit is cut off. */
struct line {
        char text[ERROR_MESSAGE_MAX + 64];
        size_t size, body; /* body: where syslog's message begins */
};

static void add_text(struct line *line, const char *text)
{
        size_t n = MIN(strlen(text), sizeof(line->text) - 1 - line->size);

        memcpy(line->text + line->size, text, n);
        line->size += n;
        line->text[line->size] = '\0';
}

_printf_(2, 0) static void add_format(struct line *line, const char *format, va_list ap)
{
        size_t room = sizeof(line->text) - line->size;
        int n = vsnprintf(line->text + line->size, room, format, ap);

        line->size += n < 0 ? 0 : MIN((size_t)n, room - 1);
}

/* "INFO     : files: " */
static void begin(const struct log *l, int priority, struct line *line)
{
        line->size = 0;
        add_text(line, level_names[priority]);
        while (line->size < LEVEL_WIDTH)
                add_text(line, " ");
        add_text(line, ": ");
        line->body = line->size;
        if (l->stage) {
                add_text(line, l->stage);
                add_text(line, ": ");
        }
}

static void put(const struct log *l, int priority, struct line *line)
{
        if (!l->to_stdout) {
                syslog(priority, "%s", line->text + line->body);
                return;
        }
        fwrite(line->text, 1, line->size, stdout);
        putchar('\n');
        fflush(stdout);
}

void log_line(struct log *l, int priority, const char *format, ...)
{
        struct line line;
        va_list ap;

        if (l->quiet)
                return;
        begin(l, priority, &line);
        va_start(ap, format);
        add_format(&line, format, ap);
        va_end(ap);
        put(l, priority, &line);
}

_printf_(5, 0) static void put_operation(struct log *l, int priority, unsigned operation,
                                         const char *what, const char *format, va_list ap,
                                         const char *reason)
{
        struct line line;
        char number[16];

        if (l->quiet)
                return;
        begin(l, priority, &line);
        snprintf(number, sizeof(number), "op(%x): ", operation);
        add_text(&line, number);
        add_text(&line, what);
        add_format(&line, format, ap);
        if (reason) {
                add_text(&line, ": ");
                add_text(&line, reason);
        }
        put(l, priority, &line);
}

unsigned log_start(struct log *l, const char *format, ...)
{
        unsigned operation = __atomic_add_fetch(&l->operations, 1, __ATOMIC_RELAXED);
        va_list ap;

        va_start(ap, format);
        put_operation(l, LOG_INFO, operation, "[started]  ", format, ap, NULL);
        va_end(ap);
        return operation;
}

void log_end(struct log *l, unsigned operation, const struct error *err, const char *format, ...)
{
        va_list ap;

        va_start(ap, format);
        put_operation(l, err ? LOG_CRIT : LOG_INFO, operation, err ? "[failed]   " : "[finished] ",
                      format, ap, err ? err->message : NULL);
        va_end(ap);
}

/* Below the level of what reaches consoles unless none of them took the text. */
static void put_kernel_log(const char *text, int level)
{
        _cleanup_close_ int fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC | O_NOCTTY);
        _cleanup_strv_ char **lines = NULL;

        if (fd < 0 || strv_split(text, "\n", &lines) < 0)
                return;
        STRV_FOREACH (line, lines) {
                char record[ERROR_MESSAGE_MAX];
                int n = snprintf(record, sizeof(record), "<%d>ignition: %s", level, *line);

                if (write(fd, record, MIN((size_t)n, sizeof(record) - 1)) < 0)
                        return;
        }
}

/* Consoles belong to their users once the machine is up: only the initrd writes there. */
static void put_everywhere(const char *text, size_t size)
{
        bool initrd = access("/etc/initrd-release", F_OK) == 0;
        unsigned n = initrd ? console_write(CONSOLES, text, size) : 0;

        put_kernel_log(text, n > 0 ? LOG_NOTICE : LOG_ERR);
}

void log_failure(struct log *l, const char *stage, const char *reason, const char *block)
{
        log_line(l, LOG_CRIT, "failed: %s", reason);
        fprintf(stderr, "%s failed\n%s", stage, block);
        put_everywhere(block, strlen(block));
}
