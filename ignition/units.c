/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* systemd.units: unit files and drop-ins below /etc/systemd/system, masks, and one preset file that
 * systemd applies when the new system starts for the first time. Nothing is enabled by symlink. */

#include <fcntl.h>
#include <limits.h>

#include "files.h"
#include "process.h"
#include "strv.h"
#include "unit-syntax.h"

static const char preset_path[] = "/etc/systemd/system-preset/20-ignition.preset";
static const char unit_dir[] = "/etc/systemd/system";

static int resolve_unit(struct work *w, const char *name, const char *dropin, char **ret,
                        struct error *err)
{
        _cleanup_free_ char *path = NULL;

        if (strchr(name, '/') || (dropin && strchr(dropin, '/')))
                return error_set(err, -EINVAL, "a unit's name cannot hold '/'");
        if (asprintf(&path, "%s/%s%s%s", unit_dir, name, dropin ? ".d/" : "", dropin ?: "") < 0) {
                path = NULL;
                return error_oom(err);
        }
        return root_resolve(w->root, path, ret, err);
}

/* What systemd takes for a name; anything else would also break the preset file. */
static int check_name(const char *name, struct error *err)
{
        static const char allowed[] =
                "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                ":-_.\\@";

        if (*name == '.' || strlen(name) > NAME_MAX || strspn(name, allowed) != strlen(name))
                return error_set(err, -EINVAL, "'%.80s' is not a name for a unit", name);
        return 0;
}

static int note(struct work *w, const struct unit *unit, const char *dropin, struct error *err)
{
        _cleanup_free_ char *path = NULL;
        int r;

        r = resolve_unit(w, unit->name, dropin, &path, err);
        return r < 0 ? r : journal_note(&w->journal, path, true, err);
}

static int plan_unit(struct work *w, const struct unit *unit, struct error *err)
{
        int r = check_name(unit->name, err);

        if (r >= 0 && (!string_is_empty(unit->contents) || unit->mask.set))
                r = note(w, unit, NULL, err);
        CONFIG_FOREACH(struct dropin, d, &unit->dropins)
        if (r >= 0 && d->contents)
                r = note(w, unit, d->name, err);
        return r;
}

int units_plan(struct work *w, struct error *err)
{
        _cleanup_free_ char *path = NULL;
        int r = 0;

        CONFIG_FOREACH(struct unit, unit, &w->agent->config.root.systemd.units)
        {
                r = plan_unit(w, unit, err);
                if (r < 0)
                        return error_prefix(err, agent_setting(w->agent, unit->at, "name", r),
                                            "unit '%.80s'", unit->name);
        }
        r = root_resolve(w->root, preset_path, &path, err);
        return r < 0 ? r : journal_note(&w->journal, path, false, err);
}

static int write_unit(struct work *w, const char *name, const char *dropin, const char *contents,
                      struct error *err)
{
        struct log *log = &w->agent->log;
        _cleanup_free_ char *path = NULL;
        unsigned op;
        int r;

        r = resolve_unit(w, name, dropin, &path, err);
        if (r < 0)
                return r;
        op = log_start(log, "writing %s \"%s\" at \"/%s\"", dropin ? "drop-in" : "unit",
                       dropin ?: name, path);
        r = text_publish(w, path, contents, err);
        log_end(log, op, r < 0 ? err : NULL, "writing %s \"%s\" at \"/%s\"",
                dropin ? "drop-in" : "unit", dropin ?: name, path);
        return r;
}

static int mask(struct work *w, const struct unit *unit, struct error *err)
{
        _cleanup_place_ struct place place = PLACE_NULL;
        _cleanup_free_ char *path = NULL, *target = NULL;
        struct stat st;
        int r;

        if (!unit->mask.set)
                return 0;
        r = resolve_unit(w, unit->name, NULL, &path, err);
        if (r >= 0 && unit->mask.value)
                r = root_remove(w->root, path, err);
        if (r < 0 || (!unit->mask.value && !root_stat(w->root, path, &st)))
                return r;
        r = place_make(w->root, path, &place, err);
        if (r < 0)
                return r;
        if (unit->mask.value)
                return symlinkat("/dev/null", place.dir, place.name) < 0
                               ? error_errno(err, "%s", path)
                               : 0;
        if (!S_ISLNK(st.st_mode))
                return 0;
        r = path_readlink(place.dir, place.name, &target, err);
        if (r >= 0 && streq(target, "/dev/null") && unlinkat(place.dir, place.name, 0) < 0)
                r = error_errno(err, "%s", path);
        return r;
}

static int apply_unit(struct work *w, const struct unit *unit, struct error *err)
{
        int r = 0;

        if (!string_is_empty(unit->contents))
                r = write_unit(w, unit->name, NULL, unit->contents, err);
        CONFIG_FOREACH(struct dropin, d, &unit->dropins)
        if (r >= 0 && d->contents)
                r = write_unit(w, unit->name, d->name, d->contents, err);
        return r < 0 ? r : mask(w, unit, err);
}

/* ---- presets ---- */

struct preset {
        char *key;  /* what lines are sorted by */
        char *line; /* instances of one template share a line */
};

struct presets {
        struct preset *items;
        size_t count;
};

static void presets_done(struct presets *p)
{
        for (size_t i = 0; i < p->count; i++) {
                free(p->items[i].key);
                free(p->items[i].line);
        }
        free(p->items);
}

/* A template beside its instances adds none: of two lines only the first would count. */
static int add_preset(struct presets *p, const char *unit, bool enable)
{
        const char *verb = enable ? "enable" : "disable", *at = strchr(unit, '@');
        _cleanup_free_ char *key = NULL, *line = NULL;
        char name[ACCOUNT_NAME_MAX + 1];
        bool instance = unit_template(unit, name, sizeof(name));
        int n;

        if (asprintf(&key, "%s-%sd", instance ? name : unit, verb) < 0) {
                key = NULL;
                return -ENOMEM;
        }
        n = instance ? (int)(strrchr(unit, '.') - at - 1) : 0;
        for (size_t i = 0; at && i < p->count; i++) {
                if (!streq(p->items[i].key, key))
                        continue;
                if (!instance)
                        return 0;
                if (asprintf(&line, "%s %.*s", p->items[i].line, n, at + 1) < 0) {
                        line = NULL;
                        return -ENOMEM;
                }
                free(p->items[i].line);
                p->items[i].line = TAKE_PTR(line);
                return 0;
        }
        if (asprintf(&line, "%s %s%s%.*s", verb, instance ? name : unit, instance ? " " : "", n,
                     instance ? at + 1 : "") < 0) {
                line = NULL;
                return -ENOMEM;
        }
        p->items[p->count++] = (struct preset){ TAKE_PTR(key), TAKE_PTR(line) };
        return 0;
}

static int compare_presets(const void *a, const void *b)
{
        return strcmp(((const struct preset *)a)->key, ((const struct preset *)b)->key);
}

/* enabled: false only matters to a unit that is enabled; systemctl knows. Where it is missing, a
 * line too many does no harm. */
static int disable_now(struct work *w, const char *unit, bool *ret_was_enabled, struct error *err)
{
        const char *root = w->agent->options.root;
        const char *const query[] = { "systemctl", "--root", root, "is-enabled", unit, NULL };
        const char *const disable[] = { "systemctl", "--root", root, "disable", unit, NULL };
        struct error failure = {};
        int r;

        *ret_was_enabled = true;
        if (journal_was_enabled(&w->journal, unit))
                return 0;
        r = spawn(query, NULL, NULL, &failure);
        *ret_was_enabled = r != -ECHILD;
        if (r >= 0) {
                r = journal_note_enabled(&w->journal, unit, err);
                if (r >= 0)
                        r = journal_commit(&w->journal, err);
                if (r < 0)
                        return r;
                r = spawn(disable, NULL, NULL, &failure);
                root_forget(w->root, "");
        }
        if (r < 0 && *ret_was_enabled)
                log_line(&w->agent->log, LOG_WARNING, "disabling %s: %s", unit, failure.message);
        return 0;
}

static int collect_presets(struct work *w, struct presets *p, struct error *err)
{
        const struct config_list *units = &w->agent->config.root.systemd.units;

        p->items = calloc(units->count + 1, sizeof(*p->items));
        if (!p->items)
                return error_oom(err);
        CONFIG_FOREACH(struct unit, unit, units)
        {
                bool enable = config_is_true(&unit->enabled), wanted = unit->enabled.set;
                int r = 0;

                if (wanted && !enable)
                        r = disable_now(w, unit->name, &wanted, err);
                if (r < 0)
                        return r;
                if (wanted && add_preset(p, unit->name, enable) < 0)
                        return error_oom(err);
        }
        qsort(p->items, p->count, sizeof(*p->items), compare_presets);
        return 0;
}

static bool has_line(const char *text, const char *line)
{
        size_t n = strlen(line);

        for (const char *at = text; at && *at; at = strchr(at, '\n'), at += at != NULL)
                if (strncmp(at, line, n) == 0 && (at[n] == '\n' || at[n] == '\0'))
                        return true;
        return false;
}

/* What is there stays, and is not said twice. */
static int add_lines(struct work *w, const struct presets *p, struct buffer *text,
                     struct error *err)
{
        _cleanup_free_ char *old = NULL;
        int r;

        r = root_read(w->root, preset_path, &old, err);
        if (r < 0)
                return r;
        buffer_puts(text, old ?: "");
        if (text->size > 0 && text->data[text->size - 1] != '\n')
                buffer_puts(text, "\n");
        for (size_t i = 0; i < p->count; i++)
                if (!old || !has_line(old, p->items[i].line))
                        buffer_printf(text, "%s\n", p->items[i].line);
        return text->failed ? error_oom(err) : 0;
}

/* systemd applies presets at the first boot only when it passes over every unit there is. A host
 * that forgoes that (systemd.condition_first_boot=no) sets IGNITION_APPLY_PRESETS=1. As there, a
 * unit that does not exist is no failure, and takes no other down with it. */
static int apply_presets(struct work *w, struct error *err)
{
        const char *const verb[] = { "systemctl", "--root", w->agent->options.root, "preset" };
        const char *choice = getenv("IGNITION_APPLY_PRESETS");
        _cleanup_strv_ char **argv = NULL;
        struct error failure = {};
        int r = 0;

        if (!choice || !streq(choice, "1"))
                return 0;
        for (size_t i = 0; i < ARRAY_SIZE(verb) && r >= 0; i++)
                r = strv_extend(&argv, verb[i]);
        CONFIG_FOREACH(struct unit, unit, &w->agent->config.root.systemd.units)
        if (r >= 0 && config_is_true(&unit->enabled))
                r = strv_extend(&argv, unit->name);
        if (r < 0)
                return error_oom(err);
        if (!argv[ARRAY_SIZE(verb)] || spawn((const char *const *)argv, NULL, NULL, &failure) >= 0)
                return 0;
        for (char **unit = argv + ARRAY_SIZE(verb); *unit; unit++) {
                const char *const one[] = { verb[0], verb[1], verb[2], verb[3], *unit, NULL };

                if (spawn(one, NULL, NULL, &failure) < 0)
                        log_line(&w->agent->log, LOG_WARNING, "presets of %s: %s", *unit,
                                 failure.message);
        }
        return 0;
}

static int write_presets(struct work *w, struct error *err)
{
        _cleanup_(presets_done) struct presets presets = {};
        _cleanup_buffer_ struct buffer text = {};
        _cleanup_free_ char *path = NULL;
        int r;

        r = collect_presets(w, &presets, err);
        if (r >= 0)
                r = root_resolve(w->root, preset_path, &path, err);
        if (r < 0 || presets.count == 0)
                return r;
        r = add_lines(w, &presets, &text, err);
        if (r < 0)
                return r;
        log_line(&w->agent->log, LOG_INFO, "setting %zu presets", presets.count);
        r = text_publish(w, path, text.data, err);
        return r < 0 ? r : apply_presets(w, err);
}

int units_apply(struct work *w, struct error *err)
{
        CONFIG_FOREACH(struct unit, unit, &w->agent->config.root.systemd.units)
        {
                int r = apply_unit(w, unit, err);

                if (r < 0)
                        return error_prefix(err, agent_setting(w->agent, unit->at, NULL, r),
                                            "unit '%s'", unit->name);
        }
        return write_presets(w, err);
}
