/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Any history: lines are passed over, or are events that are read again from how we write them. */

#include "history.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_event(const struct history_event *e)
{
        _cleanup_(history_done) struct history again = {};
        json_object *object = history_event_json(e);
        const char *text = json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN);
        char *line = NULL;

        if (asprintf(&line, "%s\n", text) < 0)
                abort();
        json_object_put(object);
        if (strlen(line) > HISTORY_LINE_MAX ||
            history_parse(line, strlen(line), &again, NULL) < 0 || again.count != 1 ||
            again.items[0].kind != e->kind || again.items[0].time != e->time)
                abort();
        free(line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_(history_done) struct history h = {};

        if (history_parse((const char *)data, size, &h, NULL) < 0)
                abort();
        for (size_t i = 0; i < h.count; i++)
                check_event(&h.items[i]);
        return 0;
}
