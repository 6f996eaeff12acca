/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Tells the journal which configurations were used, in entries that programs find by their message
 * id (the original's). Where no journal runs nobody is told, which is no failure. */

#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

#include "announce.h"

static const char *text_of(json_object *config, const char *key)
{
        return json_object_get_string(json_member(config, key)) ?: "";
}

static void announce(struct agent *a, json_object *config)
{
        bool referenced = json_object_get_boolean(json_member(config, "referenced"));
        const char *kind = text_of(config, "kind"), *source = text_of(config, "source");
        int r;

        r = sd_journal_send("MESSAGE=fetched %s%s config from \"%s\"",
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

        if (access("/run/systemd/journal/socket", W_OK) < 0)
                return;
        for (size_t i = 0; configs && i < json_object_array_length(configs); i++)
                announce(a, json_object_array_get_idx(configs, i));
}
