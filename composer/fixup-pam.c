/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* /etc/pam.d/common-*: what pam-auth-update makes of the templates in /usr/share/pam and the
 * profiles in /usr/share/pam-configs. Profiles with "Default: yes" are sorted by falling priority;
 * in each block the first gives its "-Initial" lines when it has such. "success=end" becomes a jump
 * over the rest of its block and the pam_deny.so behind it. */

#include "deb822.h"
#include "fixup.h"
#include "strv.h"
#include "text.h"

enum { PROFILES_MAX = 256 };

struct profile {
        const char *name; /* of its file */
        char *text;
        int priority;
};

struct profiles {
        struct profile *items;
        size_t count, capacity;
};

static void profiles_done(struct profiles *p)
{
        for (size_t i = 0; i < p->count; i++)
                free(p->items[i].text);
        free(p->items);
}

/* The files to write. `field` is the name in profiles, `type` the word in pam.d. */
static const struct stack {
        const char *file, *field, *type, *variable;
        bool noninteractive;
} stacks[] = {
        { "common-account", "Account", "account", "account", false },
        { "common-auth", "Auth", "auth", "auth", false },
        { "common-password", "Password", "password", "password", false },
        { "common-session", "Session", "session", "session", false },
        { "common-session-noninteractive", "Session", "session", "session_nonint", true },
};

/* A field of a profile; *ret NULL when it is not there. */
static int profile_field(const struct profile *p, const char *name, char **ret, struct error *err)
{
        struct deb822_field field;
        struct deb822 reader;

        *ret = NULL;
        deb822_init(&reader, p->text, strlen(p->text));
        while (deb822_next(&reader, &field))
                if (deb822_is(&field, name)) {
                        *ret = deb822_value(&field);
                        return *ret ? 0 : error_oom(err);
                }
        return 0;
}

static int profile_is(const struct profile *p, const char *name, const char *value,
                      struct error *err)
{
        _cleanup_free_ char *found = NULL;
        int r = profile_field(p, name, &found, err);

        return r < 0 ? r : found && streq(found, value);
}

static int compare_profiles(const void *a, const void *b)
{
        const struct profile *x = a, *y = b;

        if (x->priority != y->priority)
                return x->priority > y->priority ? -1 : 1;
        return strcmp(x->name, y->name);
}

/* Takes the text over, also when it fails. */
static int add_profile(struct profiles *p, const char *name, char *text, struct error *err)
{
        _cleanup_free_ char *priority = NULL;
        struct profile profile = { name, text, 0 };
        int r = profile_is(&profile, "Default", "yes", err);

        if (r > 0)
                r = profile_field(&profile, "Priority", &priority, err) < 0 ? -ENOMEM : 1;
        if (r > 0 && p->count >= PROFILES_MAX)
                r = error_set(err, -E2BIG, "more than %d profiles", PROFILES_MAX);
        if (r > 0 && array_reserve(&p->items, &p->capacity, p->count + 1, sizeof(profile)) < 0)
                r = error_oom(err);
        if (r <= 0) {
                free(text);
                return r;
        }
        profile.priority = atoi(priority ?: "0");
        p->items[p->count++] = profile;
        return 0;
}

static int read_profiles(struct fixup_context *c, struct profiles *p, struct error *err)
{
        const struct tree_node *directory = tree_lookup(c->tree, "/usr/share/pam-configs");

        for (size_t i = 0; directory && i < directory->n_children; i++) {
                char path[TREE_PATH_MAX], *text;
                int r = fixup_read(c, tree_path(directory->children[i], path), &text, err);

                if (r == 0 && text)
                        r = add_profile(p, directory->children[i]->name, text, err);
                if (r < 0)
                        return error_prefix(err, r, "%s", path);
        }
        if (p->count > 0)
                qsort(p->items, p->count, sizeof(*p->items), compare_profiles);
        return 0;
}

/* Whether a profile has lines for this block ("Primary" or "Additional") of the stack. */
static int takes_part(const struct profile *p, const struct stack *stack, const char *block,
                      struct error *err)
{
        char name[64];
        int r;

        snprintf(name, sizeof(name), "%s-Type", stack->field);
        r = profile_is(p, name, block, err);
        if (r <= 0 || !stack->noninteractive)
                return r;
        snprintf(name, sizeof(name), "%s-Interactive-Only", stack->field);
        r = profile_is(p, name, "yes", err);
        return r < 0 ? r : !r;
}

/* The profile's module lines, added to *lines. */
static int add_lines(const struct profile *p, const struct stack *stack, bool first, char ***lines,
                     struct error *err)
{
        _cleanup_free_ char *text = NULL;
        _cleanup_strv_ char **own = NULL;
        char name[64];
        int r = 0;

        snprintf(name, sizeof(name), "%s-Initial", stack->field);
        if (first)
                r = profile_field(p, name, &text, err);
        if (r == 0 && !text)
                r = profile_field(p, stack->field, &text, err);
        if (r == 0)
                r = text_lines(text ?: "", "#", &own, err);
        if (r < 0)
                return r;
        STRV_FOREACH (line, own)
                if (strv_extend(lines, *line) < 0)
                        return error_oom(err);
        return 0;
}

static void print_module(struct buffer *b, const char *type, const char *line, size_t rest)
{
        const char *end = strstr(line, "success=end");

        if (end)
                buffer_printf(b, "%s\t%.*ssuccess=%zu%s\n", type, (int)(end - line), line, rest + 1,
                              end + strlen("success=end"));
        else
                buffer_printf(b, "%s\t%s\n", type, line);
}

static int print_block(const struct profiles *p, const struct stack *stack, const char *block,
                       struct buffer *b, struct error *err)
{
        _cleanup_strv_ char **lines = NULL;
        bool first = true;
        size_t count;

        for (size_t i = 0; i < p->count; i++) {
                int r = takes_part(&p->items[i], stack, block, err);

                if (r > 0) {
                        r = add_lines(&p->items[i], stack, first, &lines, err);
                        first = false;
                }
                if (r < 0)
                        return r;
        }
        count = strv_length(lines);
        if (count == 0 && streq(block, "Primary"))
                buffer_printf(b, "%s\t[default=1]\t\t\tpam_permit.so\n", stack->type);
        for (size_t i = 0; i < count; i++)
                print_module(b, stack->type, lines[i], count - 1 - i);
        return 0;
}

/* Whether the template line stands for a block: "$auth_primary". */
static bool is_variable(const char *line, size_t length, const struct stack *stack,
                        const char *block)
{
        char name[64];
        int n = snprintf(name, sizeof(name), "$%s_%s", stack->variable, block);

        return (size_t)n == length && memcmp(line, name, length) == 0;
}

static int print_stack(const struct profiles *p, const struct stack *stack, const char *text,
                       struct buffer *b, struct error *err)
{
        size_t n;
        int r = 0;

        for (; r == 0 && *text != '\0'; text += n + (text[n] == '\n')) {
                n = strcspn(text, "\n");
                if (is_variable(text, n, stack, "primary"))
                        r = print_block(p, stack, "Primary", b, err);
                else if (is_variable(text, n, stack, "additional"))
                        r = print_block(p, stack, "Additional", b, err);
                else
                        buffer_printf(b, "%.*s\n", (int)n, text);
        }
        return r;
}

static int write_stack(struct fixup_context *c, const struct profiles *p, const struct stack *stack,
                       struct error *err)
{
        _cleanup_buffer_ struct buffer b = {};
        _cleanup_free_ char *text = NULL;
        char path[TREE_PATH_MAX];
        int r;

        snprintf(path, sizeof(path), "/usr/share/pam/%s", stack->file);
        r = fixup_read(c, path, &text, err);
        if (r < 0 || !text)
                return r;
        r = print_stack(p, stack, text, &b, err);
        if (r < 0)
                return r;
        snprintf(path, sizeof(path), "/usr/etc/pam.d/%s", stack->file);
        return b.failed ? error_oom(err) : fixup_put_missing(c, path, b.data ?: "", 0644, err);
}

int fixup_pam(struct fixup_context *c, struct error *err)
{
        _cleanup_(profiles_done) struct profiles profiles = {};
        int r = read_profiles(c, &profiles, err);

        for (size_t i = 0; r == 0 && i < ARRAY_SIZE(stacks); i++)
                r = write_stack(c, &profiles, &stacks[i], err);
        return r;
}
