/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See unit-file.h; systemd.unit(5) and systemd.preset(5) are the reference. */

#include "merge.h"
#include "strv.h"
#include "text.h"
#include "unit-file.h"

enum { RULES_MAX = 10000 };

static const struct {
        const char *key;
        size_t offset;
} lists[] = {
        { "Alias", offsetof(struct unit_install, alias) },
        { "WantedBy", offsetof(struct unit_install, wanted_by) },
        { "RequiredBy", offsetof(struct unit_install, required_by) },
        { "UpheldBy", offsetof(struct unit_install, upheld_by) },
        { "Also", offsetof(struct unit_install, also) },
};

static char ***list_of(struct unit_install *u, size_t i)
{
        return (char ***)((char *)u + lists[i].offset);
}

void unit_install_done(struct unit_install *u)
{
        for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
                strv_free(*list_of(u, i));
        free(u->default_instance);
        memset(u, 0, sizeof(*u));
}

/* An empty value starts the list anew. */
static int extend_list(char ***list, const char *value, struct error *err)
{
        _cleanup_strv_ char **words = NULL;
        int r = text_words(value, &words, err);

        if (r < 0)
                return r;
        if (!words[0])
                strv_free(TAKE_PTR(*list));
        STRV_FOREACH (word, words)
                if (!strv_contains(*list, *word) && strv_extend(list, *word) < 0)
                        return error_oom(err);
        return 0;
}

static int assign(struct unit_install *u, const char *line, struct error *err)
{
        const char *equals = strchr(line, '='), *value;
        size_t length;

        if (!equals)
                return 0;
        for (length = (size_t)(equals - line); length > 0 && line[length - 1] == ' ';)
                length--;
        value = equals + 1 + strspn(equals + 1, " \t");
        for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
                if (strlen(lists[i].key) == length && memcmp(lists[i].key, line, length) == 0)
                        return extend_list(list_of(u, i), value, err);
        if (length != strlen("DefaultInstance") || memcmp(line, "DefaultInstance", length) != 0)
                return 0;
        free(u->default_instance);
        u->default_instance = *value != '\0' ? strdup(value) : NULL;
        return *value != '\0' && !u->default_instance ? error_oom(err) : 0;
}

int unit_install_parse(struct unit_install *u, const char *text, struct error *err)
{
        _cleanup_strv_ char **lines = NULL;
        bool inside = false;
        int r = text_lines(text, "#;", &lines, err);

        STRV_FOREACH (line, lines) {
                if (**line == '[')
                        inside = streq(*line, "[Install]");
                else if (inside)
                        r = assign(u, *line, err);
                if (r < 0)
                        return r;
        }
        return r;
}

/* ---- names ---- */

/* The parts of "prefix@instance.suffix"; without '@' the instance is empty. */
struct unit_name {
        const char *prefix, *instance, *suffix;
        int prefix_length, instance_length;
};

static struct unit_name name_parts(const char *name)
{
        const char *dot = strrchr(name, '.') ?: name + strlen(name);
        const char *at = memchr(name, '@', (size_t)(dot - name));
        struct unit_name n = { name, at ? at + 1 : dot, dot, 0, 0 };

        n.prefix_length = (int)((at ?: dot) - name);
        n.instance_length = (int)(dot - n.instance);
        return n;
}

bool unit_is_template(const char *name)
{
        struct unit_name n = name_parts(name);

        return n.instance_length == 0 && n.prefix[n.prefix_length] == '@';
}

char *unit_instance(const char *template, const char *instance)
{
        struct unit_name n = name_parts(template);
        char *name;

        if (asprintf(&name, "%.*s@%s%s", n.prefix_length, n.prefix, instance, n.suffix) < 0)
                return NULL;
        return name;
}

/* What %j is: the prefix behind its last dash. */
static const char *last_component(const struct unit_name *n, int *ret_length)
{
        const char *dash = memrchr(n->prefix, '-', (size_t)n->prefix_length);
        const char *start = dash ? dash + 1 : n->prefix;

        *ret_length = (int)(n->prefix + n->prefix_length - start);
        return start;
}

static int expand_one(struct buffer *b, char specifier, const struct unit_name *n,
                      struct error *err)
{
        const char *component;
        int length;

        switch (specifier) {
        case '%': buffer_puts(b, "%"); return 0;
        case 'n': buffer_puts(b, n->prefix); return 0;
        case 'N': buffer_append(b, n->prefix, (size_t)(n->suffix - n->prefix)); return 0;
        case 'p': buffer_append(b, n->prefix, (size_t)n->prefix_length); return 0;
        case 'i': buffer_append(b, n->instance, (size_t)n->instance_length); return 0;
        case 'j':
                component = last_component(n, &length);
                buffer_append(b, component, (size_t)length);
                return 0;
        default:
                return error_set(err, -EINVAL, "specifier %%%c is not known at build time",
                                 specifier);
        }
}

int unit_specifiers(const char *text, const char *unit, char **ret, struct error *err)
{
        _cleanup_buffer_ struct buffer b = {};
        struct unit_name n = name_parts(unit);

        for (; *text != '\0'; text++) {
                int r = 0;

                if (*text == '%')
                        r = expand_one(&b, *++text, &n, err);
                else
                        buffer_append(&b, text, 1);
                if (r < 0)
                        return r;
        }
        return buffer_take(&b, ret, NULL) < 0 ? error_oom(err) : 0;
}

/* ---- presets ---- */

void presets_done(struct presets *p)
{
        for (size_t i = 0; i < p->count; i++) {
                free(p->items[i].pattern);
                strv_free(p->items[i].instances);
        }
        free(p->items);
        memset(p, 0, sizeof(*p));
}

static int add_rule(struct presets *p, enum preset_action action, char *const *words,
                    struct error *err)
{
        struct preset_rule *rule;

        if (p->count >= RULES_MAX)
                return error_set(err, -E2BIG, "more than %d preset rules", RULES_MAX);
        if (array_reserve(&p->items, &p->capacity, p->count + 1, sizeof(*rule)) < 0)
                return error_oom(err);
        rule = &p->items[p->count++];
        *rule = (struct preset_rule){ .action = action, .pattern = strdup(words[0]) };
        if (!rule->pattern)
                return error_oom(err);
        for (words++; *words; words++)
                if (strv_extend(&rule->instances, *words) < 0)
                        return error_oom(err);
        return 0;
}

int presets_parse(struct presets *p, const char *text, struct error *err)
{
        static const char *const actions[] = { "enable", "disable", "ignore" };
        _cleanup_strv_ char **lines = NULL;
        int r = text_lines(text, "#;", &lines, err);

        STRV_FOREACH (line, lines) {
                _cleanup_strv_ char **words = NULL;

                r = text_words(*line, &words, err);
                if (r < 0)
                        return r;
                for (size_t i = 0; words[0] && words[1] && i < ARRAY_SIZE(actions); i++)
                        if (streq(words[0], actions[i]))
                                r = add_rule(p, (enum preset_action)i, words + 1, err);
                if (r < 0)
                        return r;
        }
        return r;
}

const struct preset_rule *presets_find(const struct presets *p, const char *unit)
{
        for (size_t i = 0; i < p->count; i++)
                if (glob_match(p->items[i].pattern, unit))
                        return &p->items[i];
        return NULL;
}
