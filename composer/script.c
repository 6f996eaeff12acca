/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See script.h. The scanner knows as much shell as is needed to find the words that stand where a
 * command stands: quotes, separators, keywords, case patterns and function definitions. It errs to
 * the side of seeing a command where there is none: that ends in the report, not in silence. */

#include "script.h"
#include "strv.h"
#include "text.h"

int script_text(const struct package_tree *p, const char *script, const struct content_store *store,
                char **ret, struct error *err)
{
        const struct tree_node *node;
        char path[64];
        int r;

        snprintf(path, sizeof(path), "/control/%s", script);
        node = tree_lookup(p->tree, path);
        if (!node || !S_ISREG(node->inode->mode)) {
                *ret = NULL;
                return 0;
        }
        r = content_load(node->inode, store, TEXT_FILE_MAX, ret, NULL, err);
        return error_prefix(err, r, "package '%s': %s", p->package->name, script);
}

int script_load(const struct package_tree *p, const char *script, const struct content_store *store,
                char ***ret, struct error *err)
{
        _cleanup_free_ char *text = NULL;
        int r = script_text(p, script, store, &text, err);

        return r < 0 ? r : text_script_lines(text ?: "", ret, err);
}

/* ---- debhelper's snippets ---- */

static int add_once(char ***strv, const char *s, size_t length, struct error *err)
{
        _cleanup_free_ char *copy = strndup(s, length);

        if (!copy || (!strv_contains(*strv, copy) && strv_extend(strv, copy) < 0))
                return error_oom(err);
        return 0;
}

int script_drop_generated(char *text, char ***tools, struct error *err)
{
        static const char begin[] = "# Automatically added by ";
        static const char end[] = "# End automatically added section";
        char *start;

        while ((start = strstr(text, begin))) {
                const char *tool = start + strlen(begin);
                char *stop = strstr(start, end);
                int r = add_once(tools, tool, strcspn(tool, "/ \n"), err);

                if (r < 0)
                        return r;
                if (!stop)
                        return error_set(err, -EINVAL, "debhelper's section does not end");
                stop += strlen(end);
                memmove(start, stop, strlen(stop) + 1);
                text = start;
        }
        return 0;
}

/* ---- commands ---- */

struct scanner {
        const char *p;
        bool command;   /* the next word stands where a command does */
        unsigned cases; /* depth of case … esac */
        char **commands, **functions;
};

static bool is_one_of(const char *word, const char *const *words)
{
        for (; *words; words++)
                if (streq(*words, word))
                        return true;
        return false;
}

/* An assignment "NAME=…" in front of a command. */
static bool is_assignment(const char *word)
{
        size_t n = strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789");

        return n > 0 && word[n] == '=';
}

/* Behind these a command follows. */
static const char *const openers[] = { "if", "then", "else", "elif", "while", "until", "do", "!",
                                       "{",  "exec", "eval", "env",  "time",  "&&",    "||", NULL };
/* Behind these, words follow that are no command. */
static const char *const fillers[] = { "for",  "case", "in",     "done", "fi",
                                       "esac", "}",    "select", NULL };

static int take_command(struct scanner *s, const char *word, struct error *err)
{
        if (streq(word, "case"))
                s->cases++;
        if (streq(word, "esac") && s->cases > 0)
                s->cases--;
        if (is_assignment(word) || is_one_of(word, openers))
                return 0;
        s->command = false;
        if (is_one_of(word, fillers))
                return 0;
        return add_once(&s->commands, word, strlen(word), err);
}

/* Takes a word, its quotes removed, off the text. */
static int take_word(struct scanner *s, char **ret, struct error *err)
{
        _cleanup_buffer_ struct buffer b = {};
        char quote = '\0';

        for (; *s->p != '\0' && (quote || !strchr(" \t\r\n;|&()`<>", *s->p)); s->p++) {
                if (quote ? *s->p == quote : *s->p == '\'' || *s->p == '"') {
                        quote = quote ? '\0' : *s->p;
                        continue;
                }
                if (*s->p == '\\' && quote != '\'' && s->p[1] != '\0')
                        s->p++;
                buffer_append(&b, s->p, 1);
        }
        return buffer_take(&b, ret, NULL) < 0 ? error_oom(err) : 0;
}

/* "name()" defines a function, "pattern)" in a case is no command. */
static int classify(struct scanner *s, const char *word, struct error *err)
{
        const char *next = s->p + strspn(s->p, " \t");

        if (!s->command)
                return 0;
        if (next[0] == '(' && next[1 + strspn(next + 1, " \t")] == ')') {
                s->p = strchr(next, ')') + 1;
                return add_once(&s->functions, word, strlen(word), err);
        }
        if (s->cases > 0 && (next[0] == ')' || next[0] == '|') && next[1] != '|')
                return 0;
        return take_command(s, word, err);
}

/* Passes over separators and redirections; true when a word begins here. */
static bool skip_to_word(struct scanner *s)
{
        switch (*s->p) {
        case '#': s->p += strcspn(s->p, "\n"); return false;
        case '<':
        case '>': /* ">&2", ">file": what follows is no command */
                s->p += strspn(s->p, "<>&- \t");
                s->p += strcspn(s->p, " \t\r\n;|&()");
                return false;
        case ' ':
        case '\t':
        case '\r': s->p++; return false;
        case '\n':
        case ';':
        case '|':
        case '&':
        case '(':
        case ')':
        case '`':
                s->command = true;
                s->p++;
                return false;
        default: return true;
        }
}

static int scan(struct scanner *s, struct error *err)
{
        while (*s->p != '\0') {
                _cleanup_free_ char *word = NULL;
                int r;

                if (!skip_to_word(s))
                        continue;
                r = take_word(s, &word, err);
                if (r == 0)
                        r = classify(s, word, err);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int finish(const struct scanner *s, char ***ret, struct error *err)
{
        _cleanup_strv_ char **commands = calloc(1, sizeof(char *));

        if (!commands)
                return error_oom(err);
        STRV_FOREACH (command, s->commands)
                if (!strv_contains(s->functions, *command) && strv_extend(&commands, *command) < 0)
                        return error_oom(err);
        strv_sort(commands);
        *ret = TAKE_PTR(commands);
        return 0;
}

int script_commands(const char *text, char ***ret, struct error *err)
{
        _cleanup_strv_ char **lines = NULL;
        _cleanup_buffer_ struct buffer b = {};
        struct scanner s = { .command = true };
        int r = text_script_lines(text, &lines, err);

        if (r < 0)
                return r;
        STRV_FOREACH (line, lines)
                buffer_printf(&b, "%s\n", *line);
        if (b.failed)
                return error_oom(err);
        s.p = b.data ?: "";
        r = scan(&s, err);
        if (r == 0)
                r = finish(&s, ret, err);
        strv_free(s.commands);
        strv_free(s.functions);
        return r;
}
