/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* ignition plan CONFIG [--root DIR] [--json]: what each stage would do. For people, the rows by
 * stage; with --json
 *
 *   { "refused": false, "rows": [{ "stage", "action", "object", "detail", "setting" }] }
 *
 * Exit status: 0, or 1 when a stage would refuse. */

#include <fcntl.h>
#include <stdarg.h>

#include "findings.h"
#include "plan.h"
#include "verbs.h"

enum { PLAN_TEXT_MAX = 2048 };

static const struct {
        const char *name;
        void (*plan)(struct plan *p);
} stages[] = {
        { "fetch", plan_fetch }, { "kargs", plan_kargs }, { "disks", plan_disks },
        { "mount", plan_mount }, { "files", plan_files },
};

static void put(struct plan *p, json_object *row, const char *key, const char *text)
{
        json_object *value = json_object_new_string(text);

        if (!value || json_object_object_add(row, key, value) != 0) {
                json_object_put(value);
                p->failed = true;
        }
}

static json_object *add_row(struct plan *p, const char *action, const char *object,
                            const char *detail)
{
        json_object *row = json_object_new_object();

        if (!row || json_object_array_add(p->rows, row) != 0) {
                json_object_put(row);
                p->failed = true;
                return NULL;
        }
        put(p, row, "stage", p->stage);
        put(p, row, "action", action);
        put(p, row, "object", object);
        put(p, row, "detail", detail);
        return row;
}

void plan_add(struct plan *p, const char *action, const char *object, const char *format, ...)
{
        char detail[PLAN_TEXT_MAX];
        va_list ap;

        va_start(ap, format);
        vsnprintf(detail, sizeof(detail), format, ap);
        va_end(ap);
        add_row(p, action, object, detail);
}

void plan_refuse(struct plan *p, const struct error *err)
{
        json_object *row = add_row(p, "refuse", p->stage, err->message);

        p->refused = true;
        if (row && *p->agent->setting)
                put(p, row, "setting", p->agent->setting);
        *p->agent->setting = '\0';
}

/* ---- the program ---- */

static const char *text_of(json_object *row, const char *key)
{
        return json_object_get_string(json_member(row, key)) ?: "";
}

static void print_text(const struct plan *p)
{
        const char *stage = "";

        for (size_t i = 0; i < json_object_array_length(p->rows); i++) {
                json_object *row = json_object_array_get_idx(p->rows, i);
                const char *own = text_of(row, "stage"), *detail = text_of(row, "detail");

                if (!streq(own, stage))
                        printf("%s\n", own);
                stage = own;
                printf("  %-8s %s%s%s\n", text_of(row, "action"), text_of(row, "object"),
                       *detail ? ": " : "", detail);
        }
}

static int print_json(const struct plan *p, struct error *err)
{
        json_object *all = json_object_new_object();
        const char *text = NULL;

        if (all) {
                json_object_object_add(all, "refused", json_object_new_boolean(p->refused));
                json_object_object_add(all, "rows", json_object_get(p->rows));
                text = json_object_to_json_string_ext(all, JSON_C_TO_STRING_PRETTY |
                                                                   JSON_C_TO_STRING_SPACED |
                                                                   JSON_C_TO_STRING_NOSLASHESCAPE);
        }
        if (text)
                puts(text);
        json_object_put(all);
        return text ? 0 : error_oom(err);
}

static int load(struct agent *a, const char *path, struct error *err)
{
        _cleanup_findings_ struct findings findings = {};
        _cleanup_free_ char *text = NULL;
        size_t size;
        int r;

        r = file_read(AT_FDCWD, streq(path, "-") ? "/dev/stdin" : path, CONFIG_SIZE_MAX, &text,
                      &size, err);
        if (r < 0)
                return r;
        r = config_load(path, text, size, &a->config, &findings, err);
        if (findings.text.data)
                fputs(findings.text.data, stderr);
        return r;
}

int verb_plan(struct agent *a, const char *argument, struct error *err)
{
        struct plan p = { .agent = a };
        int r;

        if (!argument)
                return error_set(err, -EINVAL, "plan: which configuration?");
        r = load(a, argument, err);
        if (r >= 0)
                r = root_open(&a->root, a->options.root, err);
        if (r < 0)
                return r;
        a->offline = a->log.quiet = true;
        p.rows = json_object_new_array();
        if (!p.rows)
                return error_oom(err);
        for (size_t i = 0; i < ARRAY_SIZE(stages); i++) {
                p.stage = stages[i].name;
                stages[i].plan(&p);
        }
        r = p.failed ? error_oom(err) : 0;
        if (r >= 0 && a->options.json)
                r = print_json(&p, err);
        else if (r >= 0)
                print_text(&p);
        json_object_put(p.rows);
        return r < 0 ? r : p.refused;
}
