/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Reads XML 1.0 in UTF-8 as far as services need it to speak of themselves: elements, texts with
 * the five entities and numbered characters, CDATA. Comments, processing instructions and
 * attributes are passed over. There are no entities to declare: a DOCTYPE is refused, so a document
 * is never more than its bytes.
 *
 * One pass, one buffer: the texts of all open elements stand in it one behind the other, each
 * knows where its own begins, and the innermost gives its piece back when it ends. */

#include "xml.h"

#include "strv.h"

enum { ENTITY_MAX = 12 };

static const char blanks[] = " \t\r\n", byte_order_mark[] = "\xef\xbb\xbf";

struct reader {
        const char *at, *end;
        size_t depth;
        bool ended;                                        /* the root element is behind us */
        size_t names[XML_DEPTH_MAX], texts[XML_DEPTH_MAX]; /* where they begin */
        char path[XML_PATH_MAX];
        size_t path_size;
        struct buffer text;
        int (*fn)(const char *path, const char *text, void *userdata, struct error *err);
        void *userdata;
};

static int broken(const struct reader *r, struct error *err)
{
        return r->depth > 0 ? error_set(err, -EBADMSG, "XML: breaks off in <%s>", r->path)
                            : error_set(err, -EBADMSG, "XML: breaks off");
}

static size_t left(const struct reader *r)
{
        return (size_t)(r->end - r->at);
}

static bool take(struct reader *r, const char *token)
{
        size_t n = strlen(token);

        if (left(r) < n || memcmp(r->at, token, n) != 0)
                return false;
        r->at += n;
        return true;
}

/* Goes behind the token, wherever it is; NULL: nowhere, else what was before it. */
static const char *take_until(struct reader *r, const char *token, size_t *ret_size)
{
        const char *from = r->at, *found = memmem(from, left(r), token, strlen(token));

        if (!found)
                return NULL;
        *ret_size = (size_t)(found - from);
        r->at = found + strlen(token);
        return from;
}

static void skip_blanks(struct reader *r)
{
        while (r->at < r->end && strchr(blanks, *r->at))
                r->at++;
}

/* ---- texts ---- */

static void append_character(struct buffer *b, unsigned long code)
{
        const char bytes[] = {
                (char)(0xf0 | code >> 18),
                (char)((code < 0x10000 ? 0xe0 : 0x80) | (code >> 12 & 0x3f)),
                (char)((code < 0x800 ? 0xc0 : 0x80) | (code >> 6 & 0x3f)),
                (char)((code < 0x80 ? 0 : 0x80) | (code & (code < 0x80 ? 0x7f : 0x3f))),
        };
        size_t n = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;

        buffer_append(b, bytes + 4 - n, n);
}

/* "&#65;" or "&#x41;": without its frame. */
static bool append_number(struct buffer *b, const char *digits)
{
        bool hex = *digits == 'x';
        const char *known = hex ? "0123456789abcdefABCDEF" : "0123456789";
        unsigned long code = strtoul(digits + hex, NULL, hex ? 16 : 10);

        if (!digits[hex] || digits[hex + strspn(digits + hex, known)] || code == 0 ||
            code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
                return false;
        append_character(b, code);
        return true;
}

static bool append_entity(struct buffer *b, const char *name)
{
        static const struct {
                const char *name, *text;
        } entities[] = {
                { "amp", "&" }, { "apos", "'" }, { "gt", ">" }, { "lt", "<" }, { "quot", "\"" },
        };

        if (*name == '#')
                return append_number(b, name + 1);
        for (size_t i = 0; i < ARRAY_SIZE(entities); i++) {
                if (streq(name, entities[i].name)) {
                        buffer_puts(b, entities[i].text);
                        return true;
                }
        }
        return false;
}

static bool is_blank(const char *text, size_t size)
{
        while (size > 0 && strchr(blanks, text[size - 1]))
                size--;
        return size == 0;
}

static int add_text(struct reader *r, const char *text, size_t size, struct error *err)
{
        const char *end = text + size;

        if (r->depth == 0)
                return is_blank(text, size)
                               ? 0
                               : error_set(err, -EBADMSG, "XML: text outside of the document");
        while (text < end) {
                const char *ampersand = memchr(text, '&', (size_t)(end - text)), *semicolon;
                char name[ENTITY_MAX] = "";

                buffer_append(&r->text, text, (size_t)((ampersand ?: end) - text));
                if (!ampersand)
                        break;
                semicolon = memchr(ampersand, ';', MIN((size_t)(end - ampersand), sizeof(name)));
                if (semicolon)
                        memcpy(name, ampersand + 1, (size_t)(semicolon - ampersand) - 1);
                if (!append_entity(&r->text, name))
                        return error_set(err, -EBADMSG, "XML: unknown entity in <%s>", r->path);
                text = semicolon + 1;
        }
        return 0;
}

/* ---- elements ---- */

/* A name without its prefix; NULL: none. */
static const char *take_name(struct reader *r, size_t *ret_size)
{
        const char *name = r->at, *colon;

        while (r->at < r->end && !strchr(" \t\r\n/>=<\"'&", *r->at))
                r->at++;
        colon = memrchr(name, ':', (size_t)(r->at - name));
        name = colon ? colon + 1 : name;
        *ret_size = (size_t)(r->at - name);
        return *ret_size > 0 ? name : NULL;
}

static int open_element(struct reader *r, struct error *err)
{
        size_t size;
        const char *name = take_name(r, &size);

        if (!name || r->ended)
                return r->at == r->end ? broken(r, err)
                                       : error_set(err, -EBADMSG, "XML: a tag that is none");
        if (r->depth == XML_DEPTH_MAX || r->path_size + size + 2 > sizeof(r->path))
                return error_set(err, -EBADMSG, "XML: nested too deep");
        r->names[r->depth] = r->path_size;
        r->texts[r->depth++] = r->text.size;
        if (r->path_size > 0)
                r->path[r->path_size++] = '/';
        memcpy(r->path + r->path_size, name, size);
        r->path_size += size;
        r->path[r->path_size] = '\0';
        return 0;
}

/* Its text loses the blanks around it, is shown, and goes. */
static int close_element(struct reader *r, struct error *err)
{
        size_t start = r->texts[r->depth - 1], from = start;
        int code;

        while (r->text.size > start && strchr(blanks, r->text.data[r->text.size - 1]))
                r->text.data[--r->text.size] = '\0';
        while (from < r->text.size && strchr(blanks, r->text.data[from]))
                from++;
        if (r->text.failed)
                return error_oom(err);
        code = r->fn(r->path, r->text.data ? r->text.data + from : "", r->userdata, err);
        r->text.size = start;
        if (r->text.data)
                r->text.data[start] = '\0';
        r->path_size = r->names[--r->depth];
        r->path[r->path_size] = '\0';
        r->ended = r->depth == 0;
        return code;
}

/* Attributes, and the end of the tag. */
static int finish_tag(struct reader *r, struct error *err)
{
        while (r->at < r->end) {
                const char quote[] = { *r->at, '\0' };
                size_t size;

                if (take(r, ">"))
                        return 0;
                if (take(r, "/>"))
                        return close_element(r, err);
                r->at++;
                if (*quote == '<')
                        return error_set(err, -EBADMSG, "XML: a tag in <%s>", r->path);
                if ((*quote == '"' || *quote == '\'') && !take_until(r, quote, &size))
                        break;
        }
        return broken(r, err);
}

static int end_tag(struct reader *r, struct error *err)
{
        size_t size, start;
        const char *name = take_name(r, &size), *open;

        skip_blanks(r);
        if (!name || r->at == r->end)
                return broken(r, err);
        start = r->depth > 0 ? r->names[r->depth - 1] : 0;
        open = r->path + start + (start > 0);
        if (r->depth == 0 || !take(r, ">") || strlen(open) != size || memcmp(open, name, size) != 0)
                return error_set(err, -EBADMSG, "XML: </%.*s> ends nothing", (int)MIN(size, 64UL),
                                 name);
        return close_element(r, err);
}

/* ---- the document ---- */

/* Comments and the like: -EAGAIN when it is none of them. */
static int pass_over(struct reader *r, struct error *err)
{
        static const struct {
                const char *start, *end;
                bool is_text;
        } sections[] = {
                { "<!--", "-->", false },
                { "<?", "?>", false },
                { "<![CDATA[", "]]>", true },
        };

        for (size_t i = 0; i < ARRAY_SIZE(sections); i++) {
                const char *content;
                size_t size;

                if (!take(r, sections[i].start))
                        continue;
                content = take_until(r, sections[i].end, &size);
                if (!content || (sections[i].is_text && r->depth == 0))
                        return broken(r, err);
                if (sections[i].is_text)
                        buffer_append(&r->text, content, size);
                return 0;
        }
        return -EAGAIN;
}

static int read_markup(struct reader *r, struct error *err)
{
        int code = pass_over(r, err);

        if (code != -EAGAIN)
                return code;
        if (take(r, "<!"))
                return error_set(err, -EBADMSG, "XML: declarations are not allowed");
        if (take(r, "</"))
                return end_tag(r, err);
        r->at++;
        code = open_element(r, err);
        return code == 0 ? finish_tag(r, err) : code;
}

static int read_document(struct reader *r, struct error *err)
{
        int code = 0;

        take(r, byte_order_mark);
        while (code == 0 && r->at < r->end) {
                const char *text = r->at, *markup = memchr(text, '<', left(r));

                r->at = markup ?: r->end;
                code = add_text(r, text, (size_t)(r->at - text), err);
                if (code == 0 && markup)
                        code = read_markup(r, err);
        }
        return code != 0 ? code : r->ended ? 0 : broken(r, err);
}

int xml_for_elements(const char *text, size_t size,
                     int (*fn)(const char *path, const char *text, void *userdata,
                               struct error *err),
                     void *userdata, struct error *err)
{
        struct reader r = { .at = text, .end = text + size, .fn = fn, .userdata = userdata };
        int code;

        if (size > XML_SIZE_MAX || memchr(text, '\0', size))
                return error_set(err, -EBADMSG, "XML: %s",
                                 size > XML_SIZE_MAX ? "too long" : "a NUL byte");
        code = read_document(&r, err);
        buffer_done(&r.text);
        return code;
}

/* ---- texts by path ---- */

struct decoding {
        const struct xml_field *fields;
        size_t count;
        char *object;
};

static char **member(const struct decoding *d, size_t i)
{
        return (char **)(void *)(d->object + d->fields[i].offset);
}

static int take_field(const char *path, const char *text, void *userdata, struct error *err)
{
        struct decoding *d = userdata;

        for (size_t i = 0; i < d->count; i++) {
                if (!streq(d->fields[i].path, path) || *member(d, i))
                        continue;
                if (strlen(text) > d->fields[i].limit)
                        return error_set(err, -EINVAL, "<%s> is longer than %zu bytes", path,
                                         d->fields[i].limit);
                *member(d, i) = strdup(text);
                if (!*member(d, i))
                        return error_oom(err);
        }
        return 0;
}

int xml_decode(const char *text, size_t size, const struct xml_field *fields, size_t count,
               void *object, struct error *err)
{
        struct decoding d = { fields, count, object };
        int r = xml_for_elements(text, size, take_field, &d, err);

        for (size_t i = 0; r >= 0 && i < count; i++)
                if ((fields[i].flags & XML_MANDATORY) && (!*member(&d, i) || !**member(&d, i)))
                        r = error_set(err, -EINVAL, "there is no <%s>", fields[i].path);
        return r;
}

void xml_escape(struct buffer *b, const char *text)
{
        static const struct {
                char c;
                const char *text;
        } escapes[] = {
                { '&', "&amp;" },  { '<', "&lt;" },    { '>', "&gt;" },
                { '"', "&quot;" }, { '\'', "&apos;" },
        };

        for (; *text; text++) {
                const char *escape = NULL;

                for (size_t i = 0; !escape && i < ARRAY_SIZE(escapes); i++)
                        escape = escapes[i].c == *text ? escapes[i].text : NULL;
                if ((unsigned char)*text < ' ' && !strchr("\t\r\n", *text))
                        escape = "?";
                buffer_append(b, escape ?: text, escape ? strlen(escape) : 1);
        }
}
