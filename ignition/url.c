/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See url.h. */

#include <ctype.h>
#include <strings.h>

#include "digest.h"
#include "strv.h"
#include "url.h"

static const struct {
        const char *scheme;
        unsigned port;
} default_ports[] = { { "http://", 80 }, { "https://", 443 }, { "tftp://", 69 } };

static unsigned default_port(const char *url)
{
        for (size_t i = 0; i < ARRAY_SIZE(default_ports); i++)
                if (strncasecmp(url, default_ports[i].scheme, strlen(default_ports[i].scheme)) == 0)
                        return default_ports[i].port;
        return 0;
}

/* Start and length of [user@]host[:port]; NULL: there is none. */
static const char *authority(const char *url, size_t *ret_size)
{
        const char *s = url + strcspn(url, ":/?#");

        s = startswith(s, "://");
        if (s)
                *ret_size = strcspn(s, "/?#");
        return s;
}

/* ":1234" up to end, or nothing. */
static bool parse_port(const char *s, const char *end, unsigned *ret)
{
        unsigned long port = 0;

        if (s == end || s + 1 == end)
                return true;
        if (*s++ != ':')
                return false;
        for (; s < end; s++) {
                if (!isdigit((unsigned char)*s) || port > UINT16_MAX)
                        return false;
                port = port * 10 + (unsigned long)(*s - '0');
        }
        *ret = (unsigned)port;
        return port <= UINT16_MAX;
}

int url_host(const char *url, char host[URL_HOST_MAX], unsigned *ret_port)
{
        size_t size, n;
        const char *s = authority(url, &size), *end, *at;
        unsigned port = default_port(url);

        if (!s)
                return -EINVAL;
        end = s + size;
        at = memrchr(s, '@', size);
        s = at ? at + 1 : s;
        if (*s == '[') {
                s++;
                n = strcspn(s, "]%");
                at = memchr(s, ']', (size_t)(end - s));
                at = at ? at + 1 : NULL;
        } else {
                n = strcspn(s, ":/?#");
                at = s + n;
        }
        if (!at || n == 0 || n >= URL_HOST_MAX || !parse_port(at, end, &port))
                return -EINVAL;
        for (size_t i = 0; i < n; i++)
                host[i] = (char)tolower((unsigned char)s[i]);
        host[n] = '\0';
        *ret_port = port;
        return 0;
}

const char *url_path(const char *url)
{
        size_t size;
        const char *s = authority(url, &size);

        return s ? s + size : "";
}

static bool has_scheme(const char *reference)
{
        size_t n = strcspn(reference, ":/?#");

        return n > 0 && reference[n] == ':' && isalpha((unsigned char)*reference);
}

/* How much of the base comes before the reference. */
static size_t kept_of_base(const char *base, const char *reference)
{
        const char *path = url_path(base);
        size_t n = strcspn(path, "?#");

        if (has_scheme(reference))
                return 0;
        if (startswith(reference, "//"))
                return strcspn(base, ":") + 1;
        if (*reference == '?')
                return (size_t)(path - base) + n;
        if (*reference == '#' || !*reference)
                return strcspn(base, "#");
        while (*reference != '/' && n > 0 && path[n - 1] != '/')
                n--;
        return (size_t)(path - base) + (*reference == '/' ? 0 : n);
}

char *url_resolve(const char *base, const char *reference)
{
        size_t kept = kept_of_base(base, reference);
        const char *path = url_path(base);
        _cleanup_buffer_ struct buffer b = {};
        char *url;

        buffer_append(&b, base, kept);
        if (base + kept == path && strchr("/?#", *reference) == NULL)
                buffer_puts(&b, "/");
        for (const char *s = reference; *s; s++)
                if (*s > ' ' && *s < 0x7f)
                        buffer_append(&b, s, 1);
                else
                        buffer_printf(&b, "%%%02X", (unsigned char)*s);
        return buffer_take(&b, &url, NULL) < 0 ? NULL : url;
}

char *url_escape(const char *text, size_t size, const char *keep)
{
        char *escaped = malloc(3 * size + 1), *p = escaped;

        for (size_t i = 0; p && i < size; i++) {
                unsigned char c = (unsigned char)text[i];

                if (c < 0x80 && c > 0 && (isalnum(c) || strchr("-_.~", c) || strchr(keep, c)))
                        *p++ = (char)c;
                else
                        p += sprintf(p, "%%%02X", c);
        }
        if (p)
                *p = '\0';
        return escaped;
}

bool url_unescape(char *text)
{
        char *to = text;

        for (const char *s = text; *s; s++, to++) {
                char digits[3] = {};

                *to = *s;
                if (*s != '%')
                        continue;
                memcpy(digits, s + 1, s[1] ? 2 : 1);
                if (hex_decode(digits, to, 1) < 0 || *to == '\0')
                        return false;
                s += 2;
        }
        *to = '\0';
        return true;
}

const char *url_text(const char *url, char text[URL_TEXT_MAX])
{
        size_t size = 0, user;
        const char *s = authority(url, &size), *at = s ? memrchr(s, '@', size) : NULL;
        const char *colon = at ? memchr(s, ':', (size_t)(at - s)) : NULL;

        user = colon ? (size_t)(colon - url) + 1 : 0;
        if (snprintf(text, URL_TEXT_MAX, "%.*s%s%s", (int)MIN(user, (size_t)URL_TEXT_MAX), url,
                     colon ? "xxxxx" : "", colon ? at : url) >= URL_TEXT_MAX)
                strcpy(text + URL_TEXT_MAX - 4, "…");
        return text;
}
