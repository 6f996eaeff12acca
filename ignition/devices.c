/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Waiting for devices. Under systemd a device is awaited by starting its unit, which is ready when
 * udev is done with it (all its symlinks are there); elsewhere by looking for the node, and so for
 * an open LUKS volume: udev's rules (99-systemd.rules) hold its unit back until it has a content,
 * which it is about to get from us. This is the only file that includes sd-bus. The limit is 90 s,
 * or $IGNITION_DEVICE_TIMEOUT seconds. */

#include <systemd/sd-bus.h>

#include "block.h"
#include "clock.h"
#include "disks.h"
#include "library.h"
#include "process.h"
#include "strv.h"

enum { TIMEOUT_S = 90, POLL_FIRST_MS = 10, POLL_LAST_MS = 250 };

#define MANAGER      "org.freedesktop.systemd1"
#define MANAGER_PATH "/org/freedesktop/systemd1"

/* What is used of sd-bus, and the connection. */
#define BUS_LIBRARY "libsystemd.so.0"

struct bus {
        __typeof__(sd_bus_flush_close_unref) *flush_close_unref;
        __typeof__(sd_bus_message_unref) *message_unref;
        __typeof__(sd_bus_new) *new;
        __typeof__(sd_bus_set_address) *set_address;
        __typeof__(sd_bus_start) *start;
        __typeof__(sd_bus_open_system) *open_system;
        __typeof__(sd_bus_message_read) *message_read;
        __typeof__(sd_bus_call_method) *call_method;
        __typeof__(sd_bus_error_free) *error_free;
        __typeof__(sd_bus_match_signal) *match_signal;
        __typeof__(sd_bus_process) *process;
        __typeof__(sd_bus_wait) *wait;
        sd_bus *connection;
};

#define SYMBOL(name) LIBRARY_SYMBOL(bus, "sd_bus_", name)
static const struct library_symbol symbols[] = {
        SYMBOL(flush_close_unref), SYMBOL(message_unref), SYMBOL(new),
        SYMBOL(set_address),       SYMBOL(start),         SYMBOL(open_system),
        SYMBOL(message_read),      SYMBOL(call_method),   SYMBOL(error_free),
        SYMBOL(match_signal),      SYMBOL(process),       SYMBOL(wait),
};
LIBRARY_NOTE("devices", "Waiting for devices", BUS_LIBRARY);

struct job {
        const char *device;
        char *path;    /* of the job's object */
        bool finished; /* the job is over */
        char result[32];
};

struct jobs {
        struct bus bus;
        struct job *items;
        size_t count, pending;
};

static void bus_close(struct bus *bus)
{
        if (bus->connection)
                bus->flush_close_unref(bus->connection);
        bus->connection = NULL;
}

static uint64_t timeout_ms(void)
{
        const char *text = getenv("IGNITION_DEVICE_TIMEOUT");
        unsigned seconds;

        return 1000 * (text && sscanf(text, "%u", &seconds) == 1 ? seconds : TIMEOUT_S) + 1;
}

static int timed_out(struct error *err, const char *device)
{
        return error_set(err, -ETIMEDOUT, "device %s did not appear within %ju s", device,
                         (uintmax_t)timeout_ms() / 1000);
}

/* ---- by looking ---- */

static int poll_device(const char *device, uint64_t deadline, struct error *err)
{
        uint64_t pause = POLL_FIRST_MS;
        int r = 0;

        while (r >= 0 && access(device, F_OK) < 0) {
                uint64_t left = clock_left(deadline);

                if (left == 0)
                        return timed_out(err, device);
                r = clock_sleep(MIN(pause, left), err);
                pause = MIN(2 * pause, (uint64_t)POLL_LAST_MS);
        }
        return r;
}

/* ---- through systemd ---- */

/* "/dev/disk/by-id/x-1" → "dev-disk-by\x2did-x\x2d1.device" */
static char *unit_name(const char *path)
{
        _cleanup_buffer_ struct buffer b = {};
        char *name = NULL;

        path += strspn(path, "/");
        for (const char *p = path; *p; p++) {
                bool plain = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
                             (*p >= '0' && *p <= '9') || strchr(":_.", *p);

                if (*p == '/')
                        buffer_puts(&b, "-");
                else if (plain && !(p == path && *p == '.'))
                        buffer_append(&b, p, 1);
                else
                        buffer_printf(&b, "\\x%02x", (unsigned char)*p);
        }
        buffer_puts(&b, ".device");
        return buffer_take(&b, &name, NULL) < 0 ? NULL : name;
}

static int open_private(struct bus *bus)
{
        int r = bus->new (&bus->connection);

        if (r >= 0)
                r = bus->set_address(bus->connection, "unix:path=/run/systemd/private");
        return r < 0 ? r : bus->start(bus->connection);
}

static int bus_open(struct bus *bus, struct error *err)
{
        int r = library_load(BUS_LIBRARY, symbols, ARRAY_SIZE(symbols), bus, err);

        if (r < 0)
                return r;
        r = open_private(bus);
        if (r < 0) { /* the initrd has only the one, a container perhaps only the other */
                bus_close(bus);
                r = bus->open_system(&bus->connection);
        }
        return r < 0 ? error_code(err, r, "connect to systemd") : 0;
}

static void finish_job(struct jobs *jobs, const char *path, const char *result)
{
        for (size_t i = 0; i < jobs->count; i++) {
                struct job *job = &jobs->items[i];

                if (job->finished || !job->path || !streq(job->path, path))
                        continue;
                job->finished = true;
                snprintf(job->result, sizeof(job->result), "%s", result);
                jobs->pending--;
        }
}

static int on_job_removed(sd_bus_message *message, void *userdata, sd_bus_error *error _unused_)
{
        const char *path, *unit, *result;
        struct jobs *jobs = userdata;
        uint32_t id;

        if (jobs->bus.message_read(message, "uoss", &id, &path, &unit, &result) >= 0)
                finish_job(jobs, path, result);
        return 0;
}

static int call(struct bus *bus, struct error *err, sd_bus_message **reply, const char *method,
                const char *unit)
{
        sd_bus_error error = SD_BUS_ERROR_NULL;
        int r;

        r = bus->call_method(bus->connection, MANAGER, MANAGER_PATH, MANAGER ".Manager", method,
                             &error, reply, unit ? "ss" : NULL, unit, "replace");
        if (r < 0)
                error_set(err, r, "systemd: %s: %s", method, error.message ?: strerror(-r));
        bus->error_free(&error);
        return r < 0 ? r : 0;
}

static int start_job(struct bus *bus, struct job *job, struct error *err)
{
        sd_bus_message *reply = NULL;
        _cleanup_free_ char *unit = unit_name(job->device);
        const char *path;
        int r;

        if (!unit)
                return error_oom(err);
        r = call(bus, err, &reply, "StartUnit", unit);
        if (r < 0)
                return r;
        r = bus->message_read(reply, "o", &path);
        job->path = r < 0 ? NULL : strdup(path);
        bus->message_unref(reply);
        if (r < 0)
                return error_code(err, r, "systemd: StartUnit");
        return job->path ? 0 : error_oom(err);
}

static int start_jobs(struct bus *bus, struct jobs *jobs, struct error *err)
{
        int r;

        r = bus->match_signal(bus->connection, NULL, NULL, MANAGER_PATH, MANAGER ".Manager",
                              "JobRemoved", on_job_removed, jobs);
        if (r < 0)
                return error_code(err, r, "systemd: JobRemoved");
        r = call(bus, err, NULL, "Subscribe", NULL);
        for (size_t i = 0; r >= 0 && i < jobs->count; i++)
                r = start_job(bus, &jobs->items[i], err);
        return r;
}

static int wait_jobs(struct bus *bus, struct jobs *jobs, uint64_t deadline, struct error *err)
{
        while (jobs->pending > 0) {
                int r = bus->process(bus->connection, NULL);

                if (r == 0 && clock_left(deadline) == 0)
                        return 0;
                if (r == 0)
                        r = bus->wait(bus->connection, clock_left(deadline) * 1000);
                if (r < 0 && r != -EINTR)
                        return error_code(err, r, "systemd");
        }
        return 0;
}

static int check_jobs(const struct jobs *jobs, struct error *err)
{
        for (size_t i = 0; i < jobs->count; i++) {
                const struct job *job = &jobs->items[i];

                if (!job->finished || streq(job->result, "timeout"))
                        return timed_out(err, job->device);
                if (!streq(job->result, "done"))
                        return error_set(err, -ENODEV, "device %s: systemd's job ended with '%s'",
                                         job->device, job->result);
        }
        return 0;
}

static void jobs_done(struct jobs *jobs)
{
        bus_close(&jobs->bus);
        for (size_t i = 0; i < jobs->count; i++)
                free(jobs->items[i].path);
        free(jobs->items);
}

static int systemd_wait(const char *const paths[], size_t count, uint64_t deadline,
                        struct error *err)
{
        _cleanup_(jobs_done) struct jobs jobs = { .items = calloc(count, sizeof(*jobs.items)) };
        int r;

        if (!jobs.items)
                return error_oom(err);
        for (size_t i = 0; i < count; i++)
                if (!block_is_crypt(paths[i]))
                        jobs.items[jobs.count++].device = paths[i];
        jobs.pending = jobs.count;
        r = bus_open(&jobs.bus, err);
        if (r >= 0)
                r = start_jobs(&jobs.bus, &jobs, err);
        if (r >= 0)
                r = wait_jobs(&jobs.bus, &jobs, deadline, err);
        return r < 0 ? r : check_jobs(&jobs, err);
}

/* ---- both ---- */

int devices_wait(struct agent *a, const char *const paths[], size_t count, struct error *err)
{
        uint64_t deadline = clock_deadline(timeout_ms());
        unsigned operation;
        int r = 0;

        if (count == 0)
                return 0;
        operation = log_start(&a->log, "waiting for %zu devices, first %s", count, paths[0]);
        if (access("/run/systemd/system", F_OK) == 0)
                r = systemd_wait(paths, count, deadline, err);
        for (size_t i = 0; r >= 0 && i < count; i++)
                r = poll_device(paths[i], deadline, err);
        log_end(&a->log, operation, r < 0 ? err : NULL, "waiting for %zu devices, first %s", count,
                paths[0]);
        return r;
}

int devices_settle(struct agent *a, const char *node, struct error *err)
{
        const char *const argv[] = { "udevadm", "trigger", "--settle", node, NULL };
        unsigned operation;
        int r;

        if (access("/run/udev/control", F_OK) < 0)
                return 0;
        operation = log_start(&a->log, "waiting for udev to see %s", node);
        r = spawn(argv, NULL, NULL, err);
        log_end(&a->log, operation, r < 0 ? err : NULL, "waiting for udev to see %s", node);
        return r;
}
