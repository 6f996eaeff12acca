/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See text.h. All of this is read from packages, so every loop ends with the text and words are
 * counted. */

#include "strv.h"
#include "text.h"

static const char blanks[] = " \t\r\n";

/* Takes one word off *s into b, its quotes removed. */
static int take_word(const char **s, struct buffer *b, struct error *err)
{
        char quote = '\0';
        const char *p;

        for (p = *s; *p != '\0' && (quote || !strchr(blanks, *p)); p++) {
                if (quote ? *p == quote : *p == '\'' || *p == '"') {
                        quote = quote ? '\0' : *p;
                        continue;
                }
                if (*p == '\\' && quote != '\'' && p[1] != '\0')
                        p++;
                buffer_append(b, p, 1);
        }
        if (quote)
                return error_set(err, -EINVAL, "a quote (%c) does not end", quote);
        *s = p;
        return 0;
}

/* The words found so far, with room for more. */
struct words {
        char **items;
        size_t count, capacity;
};

static void words_done(struct words *w)
{
        strv_free(w->items);
}

/* Takes the string over, also when it fails. */
static int words_add(struct words *w, char *word, struct error *err)
{
        if (!word || array_reserve(&w->items, &w->capacity, w->count + 2, sizeof(char *)) < 0) {
                free(word);
                return error_oom(err);
        }
        w->items[w->count++] = word;
        w->items[w->count] = NULL;
        return 0;
}

/* Hands the array over; never NULL on success. */
static int words_take(struct words *w, char ***ret, struct error *err)
{
        char **items = TAKE_PTR(w->items);

        if (!items)
                items = calloc(1, sizeof(char *));
        if (!items)
                return error_oom(err);
        *ret = items;
        return 0;
}

int text_words(const char *line, char ***ret, struct error *err)
{
        _cleanup_(words_done) struct words words = {};
        int r;

        for (line += strspn(line, blanks); *line != '\0'; line += strspn(line, blanks)) {
                _cleanup_buffer_ struct buffer b = {};
                char *word;

                r = take_word(&line, &b, err);
                if (r < 0)
                        return r;
                if (words.count >= TEXT_WORDS_MAX)
                        return error_set(err, -EINVAL, "more than %d words", TEXT_WORDS_MAX);
                if (buffer_take(&b, &word, NULL) < 0)
                        return error_oom(err);
                r = words_add(&words, word, err);
                if (r < 0)
                        return r;
        }
        return words_take(&words, ret, err);
}

int text_lines(const char *text, const char *comments, char ***ret, struct error *err)
{
        _cleanup_(words_done) struct words lines = {};
        size_t n;
        int r;

        for (; *text != '\0'; text += n + (text[n] == '\n')) {
                size_t skip, end;

                n = strcspn(text, "\n");
                skip = MIN(strspn(text, " \t\r"), n);
                for (end = n; end > skip && strchr(blanks, text[end - 1]);)
                        end--;
                if (end == skip || strchr(comments, text[skip]))
                        continue;
                r = words_add(&lines, strndup(text + skip, end - skip), err);
                if (r < 0)
                        return r;
        }
        return words_take(&lines, ret, err);
}

/* The word that ends the here-document which the line starts; NULL when it starts none. */
static char *heredoc_end(const char *line)
{
        const char *p = strstr(line, "<<");

        if (!p || p[2] == '<')
                return NULL;
        p += 2 + (p[2] == '-');
        p += strspn(p, " \t'\"\\");
        return strndup(p, strcspn(p, " \t'\";|&)<>"));
}

/* Moves *text behind the line that is `end`. */
static void skip_heredoc(const char **text, const char *end)
{
        while (**text != '\0') {
                const char *line = *text + strspn(*text, "\t");
                size_t n = strcspn(line, "\n"), k = strlen(end);

                *text = line + n + (line[n] == '\n');
                if (n == k && memcmp(line, end, k) == 0)
                        return;
        }
}

/* Takes one logical line off *text. */
static void take_logical_line(const char **text, struct buffer *b)
{
        bool comment = (*text)[strspn(*text, " \t")] == '#', more = true;

        while (more && **text != '\0') {
                size_t n = strcspn(*text, "\n");

                more = !comment && n > 0 && (*text)[n - 1] == '\\';
                buffer_append(b, *text, n - more);
                *text += n + ((*text)[n] == '\n');
        }
}

int text_script_lines(const char *text, char ***ret, struct error *err)
{
        _cleanup_(words_done) struct words lines = {};
        int r;

        while (*text != '\0') {
                _cleanup_buffer_ struct buffer b = {};
                _cleanup_free_ char *line = NULL, *end = NULL;
                const char *start;

                take_logical_line(&text, &b);
                if (buffer_take(&b, &line, NULL) < 0)
                        return error_oom(err);
                start = line + strspn(line, blanks);
                if (*start == '\0' || *start == '#')
                        continue;
                end = heredoc_end(start);
                if (end && *end != '\0')
                        skip_heredoc(&text, end);
                r = words_add(&lines, strdup(start), err);
                if (r < 0)
                        return r;
        }
        return words_take(&lines, ret, err);
}

void text_assignment(struct buffer *b, const char *key, const char *value)
{
        static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                    "0123456789-._+";

        if (value[strspn(value, plain)] == '\0') {
                buffer_printf(b, "%s=%s\n", key, value);
                return;
        }
        buffer_printf(b, "%s=\"", key);
        for (; *value != '\0'; value++) {
                if (strchr("\"\\$`", *value))
                        buffer_puts(b, "\\");
                buffer_append(b, value, 1);
        }
        buffer_puts(b, "\"\n");
}
