/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See mirror.h. apt's own view is asked for with `apt-config shell`, which prints shell
 * assignments: includes, APT_CONFIG and Dir:: overrides are apt's business then. */

#include <ctype.h>
#include <fcntl.h>

#include "io.h"
#include "mirror.h"
#include "process.h"
#include "strv.h"

enum { SOURCES_SIZE_MAX = 1024 * 1024, PATH_LENGTH_MAX = 1024 };

enum apt_setting {
        APT_SOURCE_LIST,
        APT_SOURCE_PARTS,
        APT_HTTP_PROXY,
        APT_HTTPS_PROXY,
        APT_CHECK_VALID_UNTIL,
        APT_CHECK_DATE,
        _APT_SETTING_MAX,
};

/* One letter is the name that apt-config gives the value in its output. */
static const char *const apt_config_argv[] = {
        "apt-config", "shell",
        "A",          "Dir::Etc::sourcelist/f",
        "B",          "Dir::Etc::sourceparts/d",
        "C",          "Acquire::http::Proxy",
        "D",          "Acquire::https::Proxy",
        "E",          "Acquire::Check-Valid-Until/b",
        "F",          "Acquire::Check-Date/b",
        NULL,
};

struct apt_settings {
        char *values[_APT_SETTING_MAX]; /* NULL where apt has none */
};

static void apt_settings_done(struct apt_settings *s)
{
        for (size_t i = 0; i < ARRAY_SIZE(s->values); i++)
                free(s->values[i]);
}

/* A='value' with every ' inside written as '\'' */
static char *unquote(const char *quoted)
{
        char *value = calloc(1, strlen(quoted) + 1), *out = value;

        if (!value)
                return NULL;
        for (const char *p = quoted; *p; p++) {
                if (*p == '\\' && p[1])
                        *out++ = *++p;
                else if (*p != '\'')
                        *out++ = *p;
        }
        return value;
}

static int apt_settings_load(struct apt_settings *ret, struct error *err)
{
        _cleanup_free_ char *output = NULL;
        _cleanup_strv_ char **lines = NULL;

        if (spawn(apt_config_argv, NULL, &output, NULL) < 0)
                return 0; /* no apt here */
        if (strv_split(output, "\n", &lines) < 0)
                return error_oom(err);
        STRV_FOREACH (line, lines) {
                unsigned index = (unsigned)(unsigned char)(*line)[0] - 'A';

                if (index >= _APT_SETTING_MAX || (*line)[1] != '=')
                        continue;
                free(ret->values[index]);
                ret->values[index] = unquote(*line + 2);
                if (!ret->values[index])
                        return error_oom(err);
        }
        return 0;
}

/* A source file that cannot be read is as good as none: the builder's apt is not ours to judge. */
static int read_sources(int dir_fd, const char *name, struct mirrors *m, struct error *err)
{
        _cleanup_free_ char *text = NULL;
        size_t size;

        if (file_read(dir_fd, name, SOURCES_SIZE_MAX, &text, &size, NULL) < 0)
                return 0;
        if (endswith(name, ".sources"))
                return apt_sources_parse_deb822(text, size, &m->apt_urls, err);
        return apt_sources_parse_list(text, size, &m->apt_urls, err);
}

static int read_sources_dir(const char *path, struct mirrors *m, struct error *err)
{
        _cleanup_closedir_ DIR *dir = opendir(path);
        _cleanup_strv_ char **names = NULL;
        int r;

        for (struct dirent *e; dir && (e = readdir(dir));)
                if (e->d_name[0] != '.' &&
                    (endswith(e->d_name, ".list") || endswith(e->d_name, ".sources")) &&
                    strv_extend(&names, e->d_name) < 0)
                        return error_oom(err);
        if (names)
                strv_sort(names);
        STRV_FOREACH (name, names) {
                r = read_sources(dirfd(dir), *name, m, err);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* apt writes "DIRECT" for "no proxy". */
static char *proxy_setting(char **value)
{
        if (*value && streq(*value, "DIRECT"))
                **value = '\0';
        return TAKE_PTR(*value);
}

static bool bool_setting(const char *value)
{
        return !value || !streq(value, "false");
}

int mirrors_load(char **given, struct mirrors *ret, struct error *err)
{
        _cleanup_(apt_settings_done) struct apt_settings s = {};
        _cleanup_mirrors_ struct mirrors m = { .given = given };
        int r;

        r = apt_settings_load(&s, err);
        if (r < 0)
                return r;
        m.http_proxy = proxy_setting(&s.values[APT_HTTP_PROXY]);
        m.https_proxy = proxy_setting(&s.values[APT_HTTPS_PROXY]);
        m.check_valid_until = bool_setting(s.values[APT_CHECK_VALID_UNTIL]);
        m.check_date = bool_setting(s.values[APT_CHECK_DATE]);
        r = read_sources(AT_FDCWD, s.values[APT_SOURCE_LIST] ?: "/etc/apt/sources.list", &m, err);
        if (r == 0)
                r = read_sources_dir(s.values[APT_SOURCE_PARTS] ?: "/etc/apt/sources.list.d", &m,
                                     err);
        if (r < 0)
                return r;
        *ret = TAKE_STRUCT(m);
        return 0;
}

void mirrors_done(struct mirrors *m)
{
        strv_free(m->apt_urls);
        free(m->http_proxy);
        free(m->https_proxy);
        memset(m, 0, sizeof(*m));
}

/* A copy without slashes at its end. */
static int take_url(const char *url, char **ret, struct error *err)
{
        size_t size = strlen(url);
        char *copy;

        while (size > 0 && url[size - 1] == '/')
                size--;
        copy = strndup(url, size);
        if (!copy)
                return error_oom(err);
        *ret = copy;
        return 0;
}

static bool scheme_known(const char *url)
{
        return startswith(url, "http://") || startswith(url, "https://") ||
               startswith(url, "file:///");
}

static const char *given_url(const struct mirrors *m, const char *name)
{
        const char *found = NULL;

        STRV_FOREACH (entry, m->given) {
                const char *rest = startswith(*entry, name);

                if (rest && *rest == '=')
                        found = rest + 1;
        }
        return found;
}

/* SLIPWAY_MIRROR_DEBIAN_SECURITY for "debian-security" */
static int environment_name(const char *name, char **ret, struct error *err)
{
        char *variable;

        if (asprintf(&variable, "SLIPWAY_MIRROR_%s", name) < 0)
                return error_oom(err);
        for (char *p = variable; *p; p++)
                *p = isalnum((unsigned char)*p) ? (char)toupper((unsigned char)*p) : '_';
        *ret = variable;
        return 0;
}

/* Components of the URL's path when the last one is name, else 0. "http://host/debian" has one;
 * "https://elsewhere/linux/debian", somebody else's packages for Debian, has two. */
static size_t path_depth(const char *url, const char *name)
{
        _cleanup_strv_ char **parts = NULL;
        const char *path = strstr(url, "://");
        size_t count;

        path = path ? strchr(path + 3, '/') : NULL;
        if (!path || strv_split(path, "/", &parts) < 0)
                return 0;
        count = strv_length(parts);
        return count > 0 && streq(parts[count - 1], name) ? count : 0;
}

static const char *apt_url(const struct mirrors *m, const char *name)
{
        const char *found = NULL;
        size_t best = SIZE_MAX;

        STRV_FOREACH (url, m->apt_urls) {
                size_t depth = path_depth(*url, name);

                if (depth > 0 && depth < best) {
                        best = depth;
                        found = *url;
                }
        }
        return found;
}

int mirrors_url(const struct mirrors *m, const char *name, char **ret, struct error *err)
{
        _cleanup_free_ char *variable = NULL;
        const char *url;
        int r;

        r = environment_name(name, &variable, err);
        if (r < 0)
                return r;
        url = given_url(m, name) ?: getenv(variable);
        if (!url || !*url)
                url = apt_url(m, name);
        if (!url)
                return error_set(err, -ENXIO,
                                 "no URL for repository '%s': give --mirror %s=URL, set %s, or "
                                 "have an apt source whose URL ends in /%s",
                                 name, name, variable, name);
        if (!scheme_known(url))
                return error_set(err, -EINVAL,
                                 "repository '%s': '%s' is no http, https or file URL", name, url);
        return take_url(url, ret, err);
}

char *url_join(const char *url, const char *path)
{
        _cleanup_buffer_ struct buffer b = {};
        char *joined;

        buffer_printf(&b, "%s/", url);
        for (; *path; path++) {
                if (isalnum((unsigned char)*path) || strchr("-._~/+:@=,", *path))
                        buffer_append(&b, path, 1);
                else
                        buffer_printf(&b, "%%%02X", (unsigned)(unsigned char)*path);
        }
        return buffer_take(&b, &joined, NULL) < 0 ? NULL : joined;
}

bool url_path_valid(const char *path)
{
        size_t size = strlen(path), start = 0;

        if (size == 0 || size > PATH_LENGTH_MAX)
                return false;
        for (size_t i = 0; i <= size; i++) {
                if (path[i] && path[i] != '/' && !isgraph((unsigned char)path[i]))
                        return false;
                if (path[i] && path[i] != '/')
                        continue;
                if (i == start || (i == start + 1 && path[start] == '.') ||
                    (i == start + 2 && path[start] == '.' && path[start + 1] == '.'))
                        return false;
                start = i + 1;
        }
        return true;
}
