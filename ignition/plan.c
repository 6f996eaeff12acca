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
#include "resolve.h"
#include "url.h"
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

/* ---- references ---- */

static const struct {
        const char *action, *detail; /* reached */
        const char *fetched;         /* out of reach */
} references[] = {
        { "merge", "merged over the configuration that names it",
          "configuration to merge: what it says is not in this plan" },
        { "replace", "stands for the configuration that names it",
          "configuration instead of the one that names it: what it says is not in this plan" },
};

/* A data: URL is its own content, and may be a secret. */
static void add_reference(struct reference_watch *watch, const struct resource *reference,
                          bool replaces, bool reached)
{
        struct plan *p = (struct plan *)(void *)((char *)watch - offsetof(struct plan, watch));
        const char *source = reference->source ?: "", *setting = p->agent->setting;
        char text[URL_TEXT_MAX];

        agent_setting(p->agent, reference->at, NULL, -ENETDOWN);
        plan_add(p, reached ? references[replaces].action : "fetch",
                 startswith(source, "data:") ? "data: URL" : url_text(source, text), "%s (%s)",
                 reached ? references[replaces].detail : references[replaces].fetched, setting);
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

/* Prints what there is to say about the text itself. */
static int check(const struct config_text *text, struct error *err)
{
        _cleanup_findings_ struct findings findings = {};
        _cleanup_config_ struct config config = {};
        int r = config_load(text->source, text->text, text->size, &config, &findings, err);

        if (findings.text.data)
                fputs(findings.text.data, stderr);
        return r;
}

static int load(struct plan *p, const char *path, struct error *err)
{
        _cleanup_(config_text_done) struct config_text text = { .source = strdup(path) };
        struct agent *a = p->agent;
        int r;

        if (!text.source)
                return error_oom(err);
        r = file_read(AT_FDCWD, streq(path, "-") ? "/dev/stdin" : path, CONFIG_SIZE_MAX, &text.text,
                      &text.size, err);
        if (r >= 0)
                r = check(&text, err);
        if (r >= 0)
                r = agent_preview(a, &text, &p->watch, err);
        return r < 0 && *a->setting ? error_prefix(err, r, "%s", a->setting) : r;
}

static int make(struct plan *p, const char *path, struct error *err)
{
        int r;

        p->stage = stages[0].name;
        r = load(p, path, err);
        if (r >= 0)
                r = root_open(&p->agent->root, p->agent->options.root, err);
        for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(stages); i++) {
                p->stage = stages[i].name;
                stages[i].plan(p);
        }
        return r < 0 || !p->failed ? r : error_oom(err);
}

int verb_plan(struct agent *a, const char *argument, struct error *err)
{
        struct plan p = { .agent = a, .watch.tried = add_reference };
        int r;

        if (!argument)
                return error_set(err, -EINVAL, "plan: which configuration?");
        a->log.quiet = true;
        p.rows = json_object_new_array();
        if (!p.rows)
                return error_oom(err);
        r = make(&p, argument, err);
        if (r >= 0 && a->options.json)
                r = print_json(&p, err);
        else if (r >= 0)
                print_text(&p);
        json_object_put(p.rows);
        return r < 0 ? r : p.refused;
}
