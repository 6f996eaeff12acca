/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* slipway-update history. Part of the program: it prints. */

#include <time.h>

#include "history.h"
#include "strv.h"

static void print_json(const struct history *h)
{
        json_object *array = json_object_new_array();

        for (size_t i = 0; i < h->count; i++)
                json_object_array_add(array, history_event_json(&h->items[i]));
        puts(json_object_to_json_string_ext(array, JSON_C_TO_STRING_PRETTY |
                                                           JSON_C_TO_STRING_NOSLASHESCAPE));
        json_object_put(array);
}

static void print_event(const struct history_event *e)
{
        time_t seconds = (time_t)e->time;
        char when[sizeof("2026-01-01 00:00:00")] = "?";
        struct tm tm;

        if (localtime_r(&seconds, &tm))
                strftime(when, sizeof(when), "%F %T", &tm);
        printf("%s  %-16s %s", when, e->version, history_kind_names[e->kind]);
        if (e->tries > 0)
                printf(" (tries: %ju)", (uintmax_t)e->tries);
        if (e->check || e->reason)
                printf(": %s%s%s", e->check ?: "", e->check && e->reason ? ": " : "",
                       e->reason ?: "");
        putchar('\n');
        STRV_FOREACH (line, e->journal)
                printf("        %s\n", *line);
}

void history_print(const struct history *h, bool json)
{
        if (json) {
                print_json(h);
                return;
        }
        for (size_t i = 0; i < h->count; i++)
                print_event(&h->items[i]);
        if (h->count == 0)
                puts("nothing has happened yet");
        if (h->passed_over > 0)
                printf("%zu lines cannot be read\n", h->passed_over);
}
