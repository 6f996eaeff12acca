/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What systemd says of its units, and asking it to reboot. By its private socket, which is there
 * when no bus is yet, or none any more. The only file of the agent that includes sd-bus; its
 * library is loaded when somebody asks. */

#include <systemd/sd-bus.h>

#include "health.h"
#include "library.h"
#include "strv.h"

#define MANAGER      "org.freedesktop.systemd1"
#define MANAGER_PATH "/org/freedesktop/systemd1"
#define BUS_LIBRARY  "libsystemd.so.0"

/* ListUnitsByNames() and ListUnitsFiltered(): name, description, load, active and sub state, whom
 * it follows, object; job: id, type, object. */
#define UNIT_TYPE "(ssssssouso)"

enum { NAMES_SHOWN = 8 };

struct bus {
        __typeof__(sd_bus_flush_close_unref) *flush_close_unref;
        __typeof__(sd_bus_message_unref) *message_unref;
        __typeof__(sd_bus_new) *new;
        __typeof__(sd_bus_set_address) *set_address;
        __typeof__(sd_bus_start) *start;
        __typeof__(sd_bus_open_system) *open_system;
        __typeof__(sd_bus_call) *call;
        __typeof__(sd_bus_call_method) *call_method;
        __typeof__(sd_bus_error_free) *error_free;
        __typeof__(sd_bus_message_new_method_call) *message_new_method_call;
        __typeof__(sd_bus_message_append_strv) *message_append_strv;
        __typeof__(sd_bus_message_enter_container) *message_enter_container;
        __typeof__(sd_bus_message_read) *message_read;
        sd_bus *connection;
};

#define SYMBOL(name) LIBRARY_SYMBOL(bus, "sd_bus_", name)
static const struct library_symbol symbols[] = {
        SYMBOL(flush_close_unref),
        SYMBOL(message_unref),
        SYMBOL(new),
        SYMBOL(set_address),
        SYMBOL(start),
        SYMBOL(open_system),
        SYMBOL(call),
        SYMBOL(call_method),
        SYMBOL(error_free),
        SYMBOL(message_new_method_call),
        SYMBOL(message_append_strv),
        SYMBOL(message_enter_container),
        SYMBOL(message_read),
};
LIBRARY_NOTE("units", "Asking systemd", BUS_LIBRARY);

struct unit {
        const char *name, *description, *load, *active, *sub, *following, *path, *job_type, *job;
        uint32_t job_id;
};

static void bus_done(struct bus *bus)
{
        if (bus->connection)
                bus->flush_close_unref(bus->connection);
        bus->connection = NULL;
}

static int bus_open(struct bus *bus, struct error *err)
{
        int r = library_load(BUS_LIBRARY, symbols, ARRAY_SIZE(symbols), bus, err);

        if (r < 0)
                return r;
        r = bus->new (&bus->connection);
        if (r >= 0)
                r = bus->set_address(bus->connection, "unix:path=/run/systemd/private");
        if (r >= 0)
                r = bus->start(bus->connection);
        if (r < 0) {
                bus_done(bus);
                r = bus->open_system(&bus->connection);
        }
        return r < 0 ? error_code(err, r, "connect to systemd") : 0;
}

static int bus_error(struct bus *bus, int r, sd_bus_error *error, const char *method,
                     struct error *err)
{
        if (r < 0)
                error_set(err, r, "systemd: %s: %s", method, error->message ?: strerror(-r));
        bus->error_free(error);
        return r < 0 ? r : 0;
}

/* A method that takes names (or states) and gives units; the reply is entered. */
static int list_units(struct bus *bus, const char *method, char **words, sd_bus_message **ret,
                      struct error *err)
{
        sd_bus_error error = SD_BUS_ERROR_NULL;
        sd_bus_message *request = NULL;
        int r;

        r = bus->message_new_method_call(bus->connection, &request, MANAGER, MANAGER_PATH,
                                         MANAGER ".Manager", method);
        if (r >= 0)
                r = bus->message_append_strv(request, words);
        if (r >= 0)
                r = bus->call(bus->connection, request, 0, &error, ret);
        bus->message_unref(request);
        if (r >= 0)
                r = bus->message_enter_container(*ret, 'a', UNIT_TYPE);
        return bus_error(bus, r, &error, method, err);
}

/* 1: one more; 0: no more. */
static int next_unit(struct bus *bus, sd_bus_message *reply, struct unit *u, struct error *err)
{
        int r = bus->message_read(reply, UNIT_TYPE, &u->name, &u->description, &u->load, &u->active,
                                  &u->sub, &u->following, &u->path, &u->job_id, &u->job_type,
                                  &u->job);

        return r < 0 ? error_code(err, r, "systemd: units") : r;
}

/* Which of the units are not as wanted: "a.service is failed, …"; how many, or an error. */
static int find_units(const char *method, char **words, bool (*unwanted)(const struct unit *u),
                      struct buffer *ret, struct error *err)
{
        _cleanup_(bus_done) struct bus bus = {};
        sd_bus_message *reply = NULL;
        struct unit u;
        int r, found = 0;

        r = bus_open(&bus, err);
        if (r >= 0)
                r = list_units(&bus, method, words, &reply, err);
        while (r >= 0 && (r = next_unit(&bus, reply, &u, err)) > 0) {
                if (!unwanted(&u) || ++found > NAMES_SHOWN)
                        continue;
                buffer_printf(ret, "%s%s is %s", found > 1 ? ", " : "", u.name,
                              streq(u.load, "not-found") ? "not found" : u.active);
        }
        if (reply)
                bus.message_unref(reply);
        return r < 0 ? r : found;
}

static bool is_inactive(const struct unit *u)
{
        return !streq(u->active, "active");
}

static int expect_none(const char *method, char **words, bool (*unwanted)(const struct unit *u),
                       struct error *err)
{
        _cleanup_buffer_ struct buffer b = {};
        int r = find_units(method, words, unwanted, &b, err);

        if (r <= 0)
                return r;
        return error_set(err, -EAGAIN, "%s%s", b.failed ? "some" : b.data,
                         r > NAMES_SHOWN ? ", …" : "");
}

static bool units_set(const struct health_check *c)
{
        return c->units && c->units[0];
}

static int units_try(const struct health_check *c, struct error *err)
{
        return expect_none("ListUnitsByNames", c->units, is_inactive, err);
}

const struct health_ops health_units_ops = { "units", units_set, units_try };

static bool no_failed_units_set(const struct health_check *c)
{
        return c->no_failed_units;
}

/* Nothing has failed before anything was started: so the default target must be reached first. */
static int no_failed_units_try(const struct health_check *c _unused_, struct error *err)
{
        char *target[] = { (char *)"default.target", NULL }, *failed[] = { (char *)"failed", NULL };
        int r = expect_none("ListUnitsByNames", target, is_inactive, err);

        return r < 0 ? r : expect_none("ListUnitsFiltered", failed, is_inactive, err);
}

const struct health_ops health_no_failed_units_ops = { "noFailedUnits", no_failed_units_set,
                                                       no_failed_units_try };

int health_reboot(struct error *err)
{
        _cleanup_(bus_done) struct bus bus = {};
        sd_bus_error error = SD_BUS_ERROR_NULL;
        int r = bus_open(&bus, err);

        if (r < 0)
                return r;
        r = bus.call_method(bus.connection, MANAGER, MANAGER_PATH, MANAGER ".Manager", "StartUnit",
                            &error, NULL, "ss", "reboot.target", "replace-irreversibly");
        return bus_error(&bus, r, &error, "reboot", err);
}
