/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The two formats of apt's sources, read for their URLs only: which suites and components the
 * builder itself uses does not matter to an image. Sources that are disabled, hold source code only
 * or use a transport that we do not speak (cdrom:, mirror+…) are passed over. */

#include <ctype.h>

#include "deb822.h"
#include "mirror.h"
#include "strv.h"

enum { URL_MAX = 2048, SOURCES_MAX = 1000 };

/* http://, https:// and file:/// as they are; apt also writes "file:/path". */
static int add_url(const char *url, char ***urls, struct error *err)
{
        _cleanup_free_ char *spelled = NULL;

        if (strlen(url) > URL_MAX || strv_length(*urls) >= SOURCES_MAX)
                return 0;
        if (startswith(url, "file:/") && !startswith(url, "file://")) {
                if (asprintf(&spelled, "file://%s", url + strlen("file:")) < 0) {
                        spelled = NULL;
                        return error_oom(err);
                }
                url = spelled;
        }
        if (!startswith(url, "http://") && !startswith(url, "https://") &&
            !startswith(url, "file://"))
                return 0;
        return strv_extend(urls, url) < 0 ? error_oom(err) : 0;
}

struct stanza {
        bool deb, enabled;
        char **urls;
};

static int stanza_end(struct stanza *s, char ***urls, struct error *err)
{
        _cleanup_strv_ char **found = TAKE_PTR(s->urls);
        int r = 0;

        STRV_FOREACH (url, s->deb && s->enabled ? found : NULL)
                if (r == 0)
                        r = add_url(*url, urls, err);
        *s = (struct stanza){ .enabled = true };
        return r;
}

static int stanza_field(struct stanza *s, const struct deb822_field *f, struct error *err)
{
        _cleanup_free_ char *value = deb822_value(f);
        _cleanup_strv_ char **words = NULL;

        if (!value || strv_split(value, " \t\r\n", &words) < 0)
                return error_oom(err);
        if (deb822_is(f, "Types"))
                s->deb = strv_contains(words, "deb");
        else if (deb822_is(f, "Enabled"))
                s->enabled = deb822_bool(f, true);
        else if (deb822_is(f, "URIs")) {
                strv_free(s->urls);
                s->urls = TAKE_PTR(words);
        }
        return 0;
}

int apt_sources_parse_deb822(const char *text, size_t size, char ***urls, struct error *err)
{
        struct stanza s = { .enabled = true };
        struct deb822_field f;
        struct deb822 d;
        int r = 0;

        deb822_init(&d, text, size);
        while (r == 0 && deb822_next(&d, &f)) {
                if (f.first)
                        r = stanza_end(&s, urls, err);
                if (r == 0)
                        r = stanza_field(&s, &f, err);
        }
        if (r < 0) {
                strv_free(s.urls);
                return r;
        }
        return stanza_end(&s, urls, err);
}

/* "deb [option=value …] URL suite component …" */
static int parse_line(char *line, char ***urls, struct error *err)
{
        const char *rest = startswith(line, "deb");
        _cleanup_strv_ char **words = NULL;

        if (!rest || !isblank((unsigned char)*rest))
                return 0;
        rest += strspn(rest, " \t");
        if (*rest == '[')
                rest = strchr(rest, ']') ? strchr(rest, ']') + 1 : "";
        if (strv_split(rest, " \t\r", &words) < 0)
                return error_oom(err);
        return words && words[0] ? add_url(words[0], urls, err) : 0;
}

int apt_sources_parse_list(const char *text, size_t size, char ***urls, struct error *err)
{
        _cleanup_free_ char *copy = strndup(text, size);
        _cleanup_strv_ char **lines = NULL;
        int r = 0;

        if (!copy || strv_split(copy, "\n", &lines) < 0)
                return error_oom(err);
        STRV_FOREACH (line, lines) {
                (*line)[strcspn(*line, "#")] = '\0';
                r = parse_line(*line + strspn(*line, " \t"), urls, err);
                if (r < 0)
                        return r;
        }
        return r;
}
