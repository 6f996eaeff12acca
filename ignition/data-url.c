/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See data-url.h. The grammar, as strict as the original's decoder takes it:
 *   data:[type/[subtype]][;attribute=value]*[;base64],data
 * data is percent-encoded, or standard padded base64. What may stand in a URL unescaped is
 * RFC 3986's unreserved and reserved set without '#', '[' and ']'. Other URLs are looked at as
 * Go's url.Parse() does: scheme, characters of user and host, number of the port, escapes. */

#include <ctype.h>

#include "base64.h"
#include "data-url.h"
#include "digest.h"

static const char token_extra[] = "!#$&'*+-.^_`|{}~";

static bool is_url_char(char c)
{
        return c > 0 && (isalnum((unsigned char)c) || strchr("-_.~!*'();:@&=+$,/?%", c));
}

/* Percent-decoding in place of the whole text; false on a bad escape or character. */
static bool unescape(const char *text, char *ret, size_t *ret_size)
{
        size_t n = 0;

        for (; *text; text++) {
                char digits[3] = {};

                if (!is_url_char(*text))
                        return false;
                if (*text != '%') {
                        ret[n++] = *text;
                        continue;
                }
                memcpy(digits, text + 1, text[1] ? 2 : 1);
                if (hex_decode(digits, ret + n, 1) < 0)
                        return false;
                n++;
                text += 2;
        }
        ret[n] = '\0';
        *ret_size = n;
        return true;
}

static size_t token_length(const char *s)
{
        size_t n = 0;

        while (s[n] > 0 && (isalnum((unsigned char)s[n]) || strchr(token_extra, s[n])))
                n++;
        return n;
}

/* A "quoted string" or a token with escapes. */
static size_t value_length(const char *s)
{
        size_t n = 0;

        if (*s != '"') {
                while (token_length(s + n) > 0 || s[n] == '%')
                        n++;
                return n;
        }
        for (n = 1; s[n] && s[n] != '"'; n++)
                if (s[n] == '\\' && s[n + 1])
                        n++;
        return s[n] == '"' ? n + 1 : 0;
}

/* Skips ";attribute=value" and ";base64"; returns the comma, or NULL. */
static const char *skip_parameters(const char *s, bool *ret_base64)
{
        while (*s == ';') {
                size_t n = token_length(++s);

                if (n == 6 && strncmp(s, "base64", 6) == 0 && s[6] == ',') {
                        *ret_base64 = true;
                        return s + 6;
                }
                if (n == 0 || s[n] != '=')
                        return NULL;
                s += n + 1;
                n = value_length(s);
                if (n == 0)
                        return NULL;
                s += n;
        }
        return *s == ',' ? s : NULL;
}

static const char *skip_media_type(const char *s)
{
        size_t n;

        if (*s == ',' || *s == ';')
                return s;
        n = token_length(s);
        if (n == 0 || s[n] != '/')
                return NULL;
        s += n + 1;
        return s + token_length(s);
}

int data_url_decode(const char *url, char **ret, size_t *ret_size, struct error *err)
{
        _cleanup_free_ char *plain = NULL;
        const char *s = startswith(url, "data:");
        bool base64 = false;
        size_t size;

        s = s ? skip_media_type(s) : NULL;
        s = s ? skip_parameters(s, &base64) : NULL;
        if (!s)
                return error_set(err, -EINVAL, "not a data: URL (data:[type/subtype][;base64],…)");
        s++;
        plain = malloc(strlen(s) + 1);
        if (!plain)
                return error_oom(err);
        if (base64) {
                int r = base64_decode(s, strlen(s), ret, ret_size);

                return r < 0 ? error_set(err, r, "bad base64 in a data: URL") : 0;
        }
        if (!unescape(s, plain, &size))
                return error_set(err, -EINVAL, "bad percent-encoding in a data: URL");
        *ret = TAKE_PTR(plain);
        *ret_size = size;
        return 0;
}

/* Every '%' starts an escape. */
static bool escapes_valid(const char *s, size_t size)
{
        for (size_t i = 0; i < size; i++)
                if (s[i] == '%' && (i + 2 >= size || !isxdigit((unsigned char)s[i + 1]) ||
                                    !isxdigit((unsigned char)s[i + 2])))
                        return false;
        return true;
}

static bool all_of(const char *s, size_t size, const char *extra)
{
        for (size_t i = 0; i < size; i++)
                if ((unsigned char)s[i] < 0x80 && !isalnum((unsigned char)s[i]) &&
                    !strchr(extra, s[i]))
                        return false;
        return true;
}

/* ":" and digits, or nothing. */
static bool port_valid(const char *s, size_t size)
{
        if (size > 0 && *s != ':')
                return false;
        for (size_t i = 1; i < size; i++)
                if (s[i] < '0' || s[i] > '9')
                        return false;
        return true;
}

static const char host_extra[] = "-_.~!$&'()*+,;=:[]<>\"";

/* An escape in a host stands for "%" or a byte outside ASCII; in the name of an interface also for
 * what needs none, and a blank. */
static bool host_escapes_valid(const char *s, size_t size, bool zone)
{
        for (const char *at = s; (at = memchr(at, '%', size - (size_t)(at - s))); at += 3) {
                char digits[3] = {};
                uint8_t byte;

                if (size - (size_t)(at - s) < 3)
                        return false;
                memcpy(digits, at + 1, 2);
                if (hex_decode(digits, &byte, 1) < 0)
                        return false;
                if (byte == '%' ||
                    (zone ? byte == ' ' || (byte < 0x80 && all_of((char *)&byte, 1, host_extra))
                          : byte >= 0x80))
                        continue;
                return false;
        }
        return true;
}

/* Characters and escapes of a host, or of the name of an interface in one. */
static bool host_text_valid(const char *s, size_t size, bool zone)
{
        for (size_t i = 0; i < size; i++)
                if (s[i] != '%' && !all_of(s + i, 1, host_extra))
                        return false;
        return host_escapes_valid(s, size, zone);
}

static bool host_valid(const char *host, size_t size)
{
        const char *port, *zone = size > 0 && *host == '[' ? memmem(host, size, "%25", 3) : NULL;

        if (zone) { /* the interface of a link-local address */
                port = memchr(zone, ']', size - (size_t)(zone - host));
                return port && host_text_valid(host, (size_t)(zone - host), false) &&
                       host_text_valid(zone + 3, (size_t)(port - zone) - 3, true) &&
                       port_valid(port + 1, (size_t)(host + size - port) - 1);
        }
        if (!host_text_valid(host, size, false))
                return false;
        if (size > 0 && *host == '[') {
                port = memrchr(host, ']', size);
                return port && port_valid(port + 1, (size_t)(host + size - port) - 1);
        }
        port = memrchr(host, ':', size);
        return !port || port_valid(port, (size_t)(host + size - port));
}

/* What follows "//" up to the path: [user[:password]@]host[:port] */
static bool authority_valid(const char *s, size_t size)
{
        const char *at = memrchr(s, '@', size);
        size_t user = at ? (size_t)(at - s) : 0;

        if (!at)
                return host_valid(s, size);
        return all_of(s, user, "-._:~!$&'()*+,;=%@") && escapes_valid(s, user) &&
               host_valid(at + 1, size - user - 1);
}

static bool hierarchy_valid(const char *rest)
{
        size_t size = strcspn(rest, "?#"), authority;

        if (!startswith(rest, "//"))
                return *rest != '/' || escapes_valid(rest, size);
        authority = strcspn(rest + 2, "/?#");
        return authority_valid(rest + 2, authority) &&
               escapes_valid(rest + 2 + authority, size - 2 - authority);
}

/* Without scheme: a ':' in the first segment would look like one. */
static bool relative_valid(const char *url)
{
        size_t size = strcspn(url, "?#");

        if (startswith(url, "//"))
                return hierarchy_valid(url);
        return !memchr(url, ':', strcspn(url, "/?#")) && escapes_valid(url, size);
}

int url_scheme(const char *url, char ret[URL_SCHEME_MAX])
{
        size_t n = 0;
        const char *fragment = strchr(url, '#');

        for (const char *s = url; *s; s++)
                if ((unsigned char)*s < 0x20 || *s == 0x7f)
                        return -EINVAL;
        if (fragment && !escapes_valid(fragment, strlen(fragment)))
                return -EINVAL;
        while (isalpha((unsigned char)url[n]) ||
               (n > 0 && url[n] > 0 && (isdigit((unsigned char)url[n]) || strchr("+-.", url[n]))))
                n++;
        if (url[n] != ':' || n == 0 || n >= URL_SCHEME_MAX) {
                ret[0] = '\0';
                return n >= URL_SCHEME_MAX || relative_valid(url) ? 0 : -EINVAL;
        }
        for (size_t i = 0; i < n; i++)
                ret[i] = (char)tolower((unsigned char)url[i]);
        ret[n] = '\0';
        return hierarchy_valid(url + n + 1) ? 0 : -EINVAL;
}
