/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Tells the journal what other programs look for there, by message ids that are the original's:
 * which configurations were used, and whose SSH keys were written. Where no journal runs nobody is
 * told, which is no failure.
 *
 * The journal's native protocol: a datagram of lines FIELD=VALUE; a value of several lines is
 * FIELD, a line end, its size in 64 bits of little endian, and the value. Speaking it costs less
 * than loading the library for it. */

#include "announce.h"

#include <endian.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>

#include "strv.h"

static void add(struct buffer *b, const char *field, const char *value)
{
        uint64_t size = htole64(strlen(value));

        buffer_puts(b, field);
        if (strchr(value, '\n')) {
                buffer_puts(b, "\n");
                buffer_append(b, &size, sizeof(size));
        } else
                buffer_puts(b, "=");
        buffer_puts(b, value);
        buffer_puts(b, "\n");
}

static int deliver(const struct buffer *b)
{
        static const struct sockaddr_un journal = { AF_UNIX, "/run/systemd/journal/socket" };
        _cleanup_close_ int fd = -1;

        if (b->failed)
                return -ENOMEM;
        fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        return fd < 0 || sendto(fd, b->data, b->size, MSG_NOSIGNAL,
                                (const struct sockaddr *)&journal, sizeof(journal)) < 0
                       ? -errno
                       : 0;
}

/* The entry that the fields are made to. */
static void send_entry(struct agent *a, struct buffer *fields, const char *id, const char *message)
{
        int r;

        add(fields, "MESSAGE_ID", id);
        add(fields, "MESSAGE", message);
        add(fields, "PRIORITY", "6");
        add(fields, "SYSLOG_IDENTIFIER", "ignition");
        r = deliver(fields);
        if (r < 0 && r != -ENOENT)
                log_line(&a->log, LOG_DEBUG, "journal: %s", strerror(-r));
}

static const char *text_of(json_object *config, const char *key)
{
        return json_object_get_string(json_member(config, key)) ?: "";
}

static void announce_config(struct agent *a, json_object *config)
{
        bool referenced = json_object_get_boolean(json_member(config, "referenced"));
        const char *kind = text_of(config, "kind"), *source = text_of(config, "source");
        _cleanup_buffer_ struct buffer fields = {}, message = {};

        buffer_printf(&message, "fetched %s%s config from \"%s\"", referenced ? "referenced " : "",
                      kind, source);
        if (message.failed)
                return;
        add(&fields, "IGNITION_CONFIG_TYPE", kind);
        add(&fields, "IGNITION_CONFIG_SRC", source);
        add(&fields, "IGNITION_CONFIG_REFERENCED", referenced ? "true" : "false");
        send_entry(a, &fields, "57124006b5c94805b77ce473e92a8aeb", message.data);
}

void announce_configs(struct agent *a)
{
        json_object *configs = state_get(&a->state, "fetchedConfigs", json_type_array);

        for (size_t i = 0; configs && i < json_object_array_length(configs); i++)
                announce_config(a, json_object_array_get_idx(configs, i));
}

void announce_keys(struct agent *a, const char *user, const char *path)
{
        _cleanup_free_ char *message =
                string_format("wrote ssh authorized keys file for user: %s", user);
        _cleanup_buffer_ struct buffer fields = {};

        if (!message)
                return;
        add(&fields, "IGNITION_USER_NAME", user);
        add(&fields, "IGNITION_PATH", path);
        send_entry(a, &fields, "225067b87bbd4a0cb6ab151f82fa364b", message);
}
