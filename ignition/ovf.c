/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* OVF environments: an XML text of which only the properties matter,
 *   <Property oe:key="guestinfo.ignition.config.data" oe:value="…"/>
 * Comments are skipped; attributes are found by their names without the prefix. */

#include "data-url.h"
#include "vmware.h"

enum { ATTRIBUTE_MAX = URL_MAX, ENTITY_MAX = 8 };

static const char blanks[] = " \t\r\n";

struct attribute {
        const char *name, *value;
        size_t name_size, value_size;
};

/* The attribute at *at, which goes behind it; false: the tag ends. */
static bool next_attribute(const char **at, struct attribute *ret)
{
        const char *s = *at + strspn(*at, blanks), *colon, *end;

        ret->name_size = strcspn(s, " \t\r\n=/><");
        ret->name = s;
        colon = memchr(s, ':', ret->name_size);
        if (colon) {
                ret->name_size -= (size_t)(colon + 1 - s);
                ret->name = colon + 1;
        }
        s = ret->name + ret->name_size;
        s += strspn(s, blanks);
        if (ret->name_size == 0 || *s != '=')
                return false;
        s += 1 + strspn(s + 1, blanks);
        end = *s == '"' || *s == '\'' ? strchr(s + 1, *s) : NULL;
        if (!end || end - s > ATTRIBUTE_MAX)
                return false;
        ret->value = s + 1;
        ret->value_size = (size_t)(end - s - 1);
        *at = end + 1;
        return true;
}

static bool is_text(const char *s, size_t size, const char *text)
{
        return size == strlen(text) && memcmp(s, text, size) == 0;
}

/* One character for "&…;" at s, of which *ret_size bytes are used; -1: no such entity. */
static int entity(const char *s, size_t size, size_t *ret_size)
{
        static const struct {
                const char *name;
                char c;
        } entities[] = {
                { "amp", '&' }, { "apos", '\'' }, { "gt", '>' }, { "lt", '<' }, { "quot", '"' },
        };
        const char *end = memchr(s, ';', MIN(size, (size_t)ENTITY_MAX));
        bool hex = size > 2 && s[2] == 'x';
        long code;

        if (!end)
                return -1;
        *ret_size = (size_t)(end - s) + 1;
        for (size_t i = 0; i < ARRAY_SIZE(entities); i++)
                if (is_text(s + 1, *ret_size - 2, entities[i].name))
                        return entities[i].c;
        if (s[1] != '#')
                return -1;
        code = strtol(s + 2 + hex, NULL, hex ? 16 : 10);
        return code > 0 && code < 128 ? (int)code : -1;
}

static int unescape(const struct attribute *a, char **ret, struct error *err)
{
        _cleanup_free_ char *text = malloc(a->value_size + 1);
        size_t n = 0, used;

        if (!text)
                return error_oom(err);
        for (size_t i = 0; i < a->value_size; i += used) {
                int c = a->value[i];

                used = 1;
                if (c == '&')
                        c = entity(a->value + i, a->value_size - i, &used);
                if (c == -1 && a->value[i] == '&')
                        return error_set(err, -EINVAL, "OVF environment: unknown entity");
                text[n++] = (char)c;
        }
        text[n] = '\0';
        *ret = TAKE_PTR(text);
        return 0;
}

/* Behind "<Property" of any prefix, which *at is moved to; false: no more. */
static bool next_property(const char **at)
{
        const char *s = *at;

        while ((s = strchr(s, '<'))) {
                const char *name = ++s, *colon;
                size_t size = strcspn(s, " \t\r\n/>");

                if (startswith(s, "!--")) {
                        s = strstr(s, "-->");
                        if (!s)
                                return false;
                        continue;
                }
                colon = memchr(name, ':', size);
                size -= colon ? (size_t)(colon + 1 - name) : 0;
                name = colon ? colon + 1 : name;
                *at = name + size;
                if (is_text(name, size, "Property"))
                        return true;
        }
        return false;
}

int ovf_property(const char *xml, const char *key, char **ret, struct error *err)
{
        *ret = NULL;
        while (next_property(&xml)) {
                struct attribute attribute, found_key = {}, found_value = {};

                while (next_attribute(&xml, &attribute)) {
                        if (is_text(attribute.name, attribute.name_size, "key"))
                                found_key = attribute;
                        if (is_text(attribute.name, attribute.name_size, "value"))
                                found_value = attribute;
                }
                if (found_key.value && found_value.value &&
                    is_text(found_key.value, found_key.value_size, key))
                        return unescape(&found_value, ret, err);
        }
        return 0;
}
