/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Tells the journal which configurations were used, in entries that programs find by their message
 * id (the original's). Where no journal runs nobody is told, which is no failure. */

#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

#include "announce.h"
#include "library.h"

struct journal {
        __typeof__(sd_journal_send) *send;
};

static const struct library_symbol symbols[] = { LIBRARY_SYMBOL(journal, "sd_journal_", send) };
LIBRARY_NOTE("journal", "Entries about configurations", "libsystemd.so.0");

static const char *text_of(json_object *config, const char *key)
{
        return json_object_get_string(json_member(config, key)) ?: "";
}

static void announce(struct agent *a, const struct journal *journal, json_object *config)
{
        bool referenced = json_object_get_boolean(json_member(config, "referenced"));
        const char *kind = text_of(config, "kind"), *source = text_of(config, "source");
        int r;

        r = journal->send("MESSAGE=fetched %s%s config from \"%s\"",
                          referenced ? "referenced " : "", kind, source,
                          "MESSAGE_ID=57124006b5c94805b77ce473e92a8aeb", "PRIORITY=%i", LOG_INFO,
                          "SYSLOG_IDENTIFIER=ignition", "IGNITION_CONFIG_TYPE=%s", kind,
                          "IGNITION_CONFIG_SRC=%s", source, "IGNITION_CONFIG_REFERENCED=%s",
                          referenced ? "true" : "false", NULL);
        if (r < 0)
                log_line(&a->log, LOG_DEBUG, "journal: %s", strerror(-r));
}

void announce_configs(struct agent *a)
{
        json_object *configs = state_get(&a->state, "fetchedConfigs", json_type_array);

        struct journal journal;
        struct error err;

        if (access("/run/systemd/journal/socket", W_OK) < 0)
                return;
        if (library_load("libsystemd.so.0", symbols, ARRAY_SIZE(symbols), &journal, &err) < 0) {
                log_line(&a->log, LOG_DEBUG, "journal: %s", err.message);
                return;
        }
        for (size_t i = 0; configs && i < json_object_array_length(configs); i++)
                announce(a, &journal, json_object_array_get_idx(configs, i));
}
