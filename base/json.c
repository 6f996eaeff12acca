/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See json.h. The scanner checks the grammar of RFC 8259 strictly (json-c is lenient in places) and
 * stores the offset of a value in the json-c object's user data. It descends through text and
 * values together: the keys it meets, unescaped by json-c, lead to the children. */

#include <stdarg.h>

#include "io.h"
#include "json-internal.h"

struct scanner {
        const char *name, *text;
        size_t size, offset;
        unsigned depth, deepest;
        bool lenient, values_made;
        struct json_duplicate *duplicates; /* in the order of the text */
        size_t count, capacity;
        struct error *err;
};

static void locate(const char *text, size_t offset, unsigned *line, unsigned *column)
{
        *line = *column = 1;
        for (size_t i = 0; i < offset; i++) {
                (*column)++;
                if (text[i] == '\n') {
                        (*line)++;
                        *column = 1;
                }
        }
}

_printf_(3, 4) static int fail_at(const struct scanner *s, size_t offset, const char *format, ...)
{
        char message[256];
        unsigned line, column;
        va_list ap;

        va_start(ap, format);
        vsnprintf(message, sizeof(message), format, ap);
        va_end(ap);
        locate(s->text, offset, &line, &column);
        return error_set(s->err, -EINVAL, "%s:%u:%u: %s", s->name, line, column, message);
}

static int peek(const struct scanner *s)
{
        return s->offset < s->size ? (unsigned char)s->text[s->offset] : -1;
}

static void skip_space(struct scanner *s)
{
        int c;

        while ((c = peek(s)) == ' ' || c == '\t' || c == '\r' || c == '\n')
                s->offset++;
}

static bool accept(struct scanner *s, char c)
{
        if (peek(s) != c)
                return false;
        s->offset++;
        return true;
}

static int expected(struct scanner *s, const char *what)
{
        if (s->offset >= s->size)
                return fail_at(s, s->offset, "expected %s, found the end of the text", what);
        if (peek(s) < 0x20 || peek(s) >= 0x7f)
                return fail_at(s, s->offset, "expected %s, found byte 0x%02x", what, peek(s));
        return fail_at(s, s->offset, "expected %s, found '%c'", what, peek(s));
}

static int scan_escape(struct scanner *s)
{
        int c = peek(s);

        if (c <= 0 || !strchr("\"\\/bfnrtu", c))
                return expected(s, "an escape sequence");
        s->offset++;
        if (c != 'u')
                return 0;
        for (int i = 0; i < 4; i++, s->offset++)
                if (peek(s) <= 0 || !strchr("0123456789abcdefABCDEF", peek(s)))
                        return expected(s, "four hex digits");
        return 0;
}

/* Scans a string token, quotes included. */
/* What means nothing in a string: nearly all of it. */
static void skip_plain(struct scanner *s)
{
        const uint8_t *p = (const uint8_t *)s->text + s->offset;
        const uint8_t *end = (const uint8_t *)s->text + s->size;

        while (p < end && *p >= 0x20 && *p != '"' && *p != '\\')
                p++;
        s->offset = (size_t)(p - (const uint8_t *)s->text);
}

static int scan_string(struct scanner *s)
{
        size_t start = s->offset;
        int r;

        if (!accept(s, '"'))
                return expected(s, "a string");
        for (;;) {
                int c;

                skip_plain(s);
                c = peek(s);
                if (c < 0)
                        return fail_at(s, start, "string is not closed");
                if (c < 0x20)
                        return fail_at(s, s->offset, "control character in a string");
                s->offset++;
                if (c == '"')
                        return 0;
                if (c == '\\') {
                        r = scan_escape(s);
                        if (r < 0)
                                return r;
                }
        }
}

static bool scan_digits(struct scanner *s)
{
        size_t start = s->offset;

        while (peek(s) >= '0' && peek(s) <= '9')
                s->offset++;
        return s->offset > start;
}

static int scan_number(struct scanner *s)
{
        accept(s, '-');
        if (!accept(s, '0') && !scan_digits(s))
                return expected(s, "a digit");
        if (accept(s, '.') && !scan_digits(s))
                return expected(s, "a digit");
        if (accept(s, 'e') || accept(s, 'E')) {
                if (!accept(s, '+'))
                        accept(s, '-');
                if (!scan_digits(s))
                        return expected(s, "a digit");
        }
        return 0;
}

static int scan_word(struct scanner *s)
{
        static const char *const words[] = { "true", "false", "null" };

        for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
                size_t n = strlen(words[i]);

                if (s->size - s->offset >= n && memcmp(s->text + s->offset, words[i], n) == 0) {
                        s->offset += n;
                        return 0;
                }
        }
        return expected(s, "a value");
}

static int scan_value(struct scanner *s, json_object *value);

/* The keys of an object so far: as they stand in the text while they are few and plain, which
 * nearly all are, else by what they say. */
enum { TOKENS_MAX = 16 };

struct keys {
        size_t count;
        struct {
                const char *text;
                size_t size;
        } tokens[TOKENS_MAX];
        json_object *seen; /* key: how often it was there before */
};

static int count_key(struct scanner *s, json_object *seen, const char *key)
{
        json_object *count = NULL;

        if (json_object_object_get_ex(seen, key, &count))
                return json_object_int_inc(count, 1) ? (int)json_object_get_int64(count) : 0;
        count = json_object_new_int(0);
        if (count && json_object_object_add(seen, key, count) == 0)
                return 0;
        json_object_put(count);
        return error_oom(s->err);
}

/* Whether it is one of the tokens; if not, it is now when there is room. */
static bool is_new_token(struct keys *keys, const char *text, size_t size)
{
        for (size_t i = 0; i < keys->count; i++)
                if (keys->tokens[i].size == size && memcmp(keys->tokens[i].text, text, size) == 0)
                        return false;
        if (keys->count == TOKENS_MAX)
                return false;
        keys->tokens[keys->count].text = text;
        keys->tokens[keys->count++].size = size;
        return true;
}

static int count_tokens(struct scanner *s, struct keys *keys)
{
        keys->seen = json_object_new_object();
        if (!keys->seen)
                return error_oom(s->err);
        for (size_t i = 0; i < keys->count; i++) {
                _cleanup_free_ char *key =
                        strndup(keys->tokens[i].text + 1, keys->tokens[i].size - 2);
                int r = key ? count_key(s, keys->seen, key) : error_oom(s->err);

                if (r < 0)
                        return r;
        }
        return 0;
}

static int note_duplicate(struct scanner *s, int count)
{
        if (s->values_made)
                return 0;
        if (array_reserve(&s->duplicates, &s->capacity, s->count + 1, sizeof(*s->duplicates)) < 0)
                return error_oom(s->err);
        s->duplicates[s->count++] = (struct json_duplicate){ s->offset - 1, count };
        return 0;
}

static json_object *child_of(json_object *object, const char *key, int count)
{
        _cleanup_free_ char *marked = NULL;

        if (!json_object_is_type(object, json_type_object))
                return NULL;
        if (count == 0)
                return json_object_object_get(object, key);
        marked = string_format("%s" JSON_DUPLICATE_MARK "%d", key, count);
        return marked ? json_object_object_get(object, marked) : NULL;
}

static bool utf8_valid(const char *text, size_t size, size_t *ret_bad)
{
        for (size_t i = 0; i < size;) {
                size_t n = utf8_length(text + i, size - i);

                *ret_bad = i;
                if (n == 0)
                        return false;
                i += n;
        }
        return true;
}

/* What a key says is what stands between its quotes. */
static bool is_plain(const char *token, size_t size)
{
        size_t bad;

        return !memchr(token, '\\', size) && utf8_valid(token, size, &bad);
}

/* The key from start to here. Setting json-c up for one costs more than all else of a key. */
static int unescape_key(struct scanner *s, size_t start, char **ret)
{
        const char *token = s->text + start;
        size_t size = s->offset - start;
        _cleanup_buffer_ struct buffer replaced = {};
        json_object *key;

        if (is_plain(token, size)) {
                *ret = strndup(token + 1, size - 2);
                return *ret ? 0 : error_oom(s->err);
        }
        if (json_replace(token, size, &replaced) < 0)
                return error_oom(s->err);
        key = json_tokener_parse(replaced.data);
        if (!key)
                return fail_at(s, start, "bad string");
        *ret = strdup(json_object_get_string(key));
        json_object_put(key);
        return *ret ? 0 : error_oom(s->err);
}

/* A key whose object has no values yet, or none to be found. */
static int note_key(struct scanner *s, struct keys *keys, size_t start, char **ret_key)
{
        const char *token = s->text + start;
        size_t size = s->offset - start;
        int r = 0;

        if (!keys->seen && is_plain(token, size) && is_new_token(keys, token, size))
                return 0;
        if (!keys->seen)
                r = count_tokens(s, keys);
        if (r >= 0)
                r = unescape_key(s, start, ret_key);
        return r < 0 ? r : count_key(s, keys->seen, *ret_key);
}

/* Scans "key" and finds the child it leads to; keys (NULL: none stands twice) collects those that
 * were there before. */
static int scan_key(struct scanner *s, json_object *object, struct keys *keys,
                    json_object **ret_child)
{
        _cleanup_free_ char *key = NULL;
        size_t start = s->offset;
        int r, count;

        r = scan_string(s);
        if (r < 0)
                return r;
        count = r = keys ? note_key(s, keys, start, &key) : 0;
        if (count > 0)
                r = s->lenient ? note_duplicate(s, count)
                               : fail_at(s, start, "duplicate key \"%s\"", key);
        if (r >= 0 && !key && json_object_is_type(object, json_type_object))
                r = unescape_key(s, start, &key);
        if (r >= 0)
                *ret_child = key ? child_of(object, key, count) : NULL;
        return r;
}

static int scan_members(struct scanner *s, json_object *object, struct keys *keys)
{
        skip_space(s);
        if (accept(s, '}'))
                return 0;
        for (;;) {
                json_object *child = NULL;
                int r;

                skip_space(s);
                r = scan_key(s, object, keys, &child);
                if (r < 0)
                        return r;
                skip_space(s);
                if (!accept(s, ':'))
                        return expected(s, "':'");
                r = scan_value(s, child);
                if (r < 0)
                        return r;
                skip_space(s);
                if (accept(s, '}'))
                        return 0;
                if (!accept(s, ','))
                        return expected(s, "',' or '}'");
        }
}

static int scan_object(struct scanner *s, json_object *object)
{
        bool unique = s->values_made && s->count == 0;
        struct keys keys;
        int r;

        keys.count = 0;
        keys.seen = NULL;
        r = scan_members(s, object, unique ? NULL : &keys);
        json_object_put(keys.seen);
        return r;
}

static int scan_array(struct scanner *s, json_object *array)
{
        bool fits = json_object_is_type(array, json_type_array);

        skip_space(s);
        if (accept(s, ']'))
                return 0;
        for (size_t i = 0;; i++) {
                int r = scan_value(s, fits && i < json_object_array_length(array)
                                              ? json_object_array_get_idx(array, i)
                                              : NULL);

                if (r < 0)
                        return r;
                skip_space(s);
                if (accept(s, ']'))
                        return 0;
                if (!accept(s, ','))
                        return expected(s, "',' or ']'");
        }
}

static int scan_nested(struct scanner *s, json_object *value,
                       int (*scan)(struct scanner *, json_object *))
{
        unsigned limit = s->lenient ? JSON_LENIENT_DEPTH_MAX : JSON_DEPTH_MAX;
        int r;

        if (++s->depth > limit)
                return fail_at(s, s->offset, "nested deeper than %u", limit);
        s->deepest = MAX(s->deepest, s->depth);
        s->offset++;
        r = scan(s, value);
        s->depth--;
        return r;
}

/* value may be NULL: then there is nothing to remember (null, or a duplicate that lost). */
static int scan_value(struct scanner *s, json_object *value)
{
        int c;

        skip_space(s);
        c = peek(s);
        /* The serializer is reset because json-c keeps the text of a double in the user data. */
        if (value)
                json_object_set_serializer(value, NULL, (void *)(uintptr_t)(s->offset + 1), NULL);
        if (c == '{')
                return scan_nested(s, value, scan_object);
        if (c == '[')
                return scan_nested(s, value, scan_array);
        if (c == '"')
                return scan_string(s);
        if (c == '-' || (c >= '0' && c <= '9'))
                return scan_number(s);
        return scan_word(s);
}

static int scan_text(struct scanner *s, json_object *root)
{
        int r = scan_value(s, root);

        if (r < 0)
                return r;
        skip_space(s);
        if (s->offset < s->size)
                return fail_at(s, s->offset, "text behind the top-level value");
        return 0;
}

/* json-c's values of a text whose grammar is known to be right. It is not told to be strict: then
 * since 0.17 it refuses numbers beyond 64 bits, which are JSON. */
static int make_values(const struct scanner *s, const char *text, size_t size, json_object **ret)
{
        json_tokener *tokener = json_tokener_new_ex((int)s->deepest + 2);
        int r = 0;

        if (!tokener)
                return error_oom(s->err);
        *ret = json_tokener_parse_ex(tokener, text, (int)size + 1);
        if (!*ret && json_tokener_get_error(tokener) != json_tokener_success)
                r = fail_at(s, json_tokener_get_parse_end(tokener), "%s",
                            json_tokener_error_desc(json_tokener_get_error(tokener)));
        json_tokener_free(tokener);
        return r;
}

static int parse(struct json_document *d, bool lenient, struct error *err)
{
        struct scanner s = {
                .name = d->name, .text = d->text, .size = d->size, .lenient = lenient, .err = err
        };
        _cleanup_buffer_ struct buffer replaced = {};
        size_t bad;
        int r;

        if (!lenient && !utf8_valid(d->text, d->size, &bad))
                return fail_at(&s, bad, "not UTF-8");
        /* The grammar first: then json-c only meets texts it cannot misread. */
        r = scan_text(&s, NULL);
        if (r < 0) {
                free(s.duplicates);
                return r;
        }
        s.values_made = true;
        r = !lenient ? 0 : json_mark(d->text, d->size, s.duplicates, s.count, &replaced);
        free(s.duplicates);
        if (r < 0)
                return error_oom(err);
        r = lenient ? make_values(&s, replaced.data, replaced.size, &d->root)
                    : make_values(&s, d->text, d->size, &d->root);
        if (r < 0)
                return r;
        s.offset = s.depth = 0;
        return scan_text(&s, d->root);
}

int json_load(const char *name, const char *text, size_t size, bool lenient,
              struct json_document *ret, struct error *err)
{
        _cleanup_json_ struct json_document d = {};
        int r;

        if (size > JSON_TEXT_MAX)
                return error_set(err, -EFBIG, "%s: larger than %d bytes", name, JSON_TEXT_MAX);
        d.name = strdup(name);
        d.text = malloc(size + 1);
        if (!d.name || !d.text)
                return error_oom(err);
        memcpy(d.text, text, size);
        d.text[size] = '\0';
        d.size = size;
        r = parse(&d, lenient, err);
        if (r < 0)
                return r;
        *ret = TAKE_STRUCT(d);
        return 0;
}

int json_load_file(int dir_fd, const char *path, struct json_document *ret, struct error *err)
{
        _cleanup_free_ char *text = NULL;
        size_t size;
        int r;

        r = file_read(dir_fd, path, JSON_TEXT_MAX, &text, &size, err);
        if (r < 0)
                return r;
        return json_load(path, text, size, false, ret, err);
}

void json_document_done(struct json_document *d)
{
        json_object_put(d->root);
        free(d->name);
        free(d->text);
        memset(d, 0, sizeof(*d));
}

bool json_position(const struct json_document *d, json_object *value, unsigned *ret_line,
                   unsigned *ret_column)
{
        uintptr_t offset = value ? (uintptr_t)json_object_get_userdata(value) : 0;

        if (offset == 0 || offset - 1 > d->size)
                return false;
        locate(d->text, offset - 1, ret_line, ret_column);
        return true;
}

const char *json_literal(const struct json_document *d, json_object *value)
{
        uintptr_t offset = value ? (uintptr_t)json_object_get_userdata(value) : 0;

        return offset == 0 || offset - 1 > d->size ? NULL : d->text + offset - 1;
}

/* Goes back from the value: in a key every quote has a backslash before it. */
bool json_key_position(const struct json_document *d, json_object *value, unsigned *ret_line,
                       unsigned *ret_column)
{
        const char *start = json_literal(d, value), *at = start;

        while (at && at > d->text && *--at != ':')
                ;
        while (at && at > d->text && *--at != '"')
                ;
        if (!at || *at != '"')
                return false;
        do
                at--;
        while (at > d->text && (*at != '"' || at[-1] == '\\'));
        if (at <= d->text)
                return false;
        locate(d->text, (size_t)(at - d->text), ret_line, ret_column);
        return true;
}

int json_error(const struct json_document *d, json_object *value, struct error *err, int code,
               const char *format, ...)
{
        char message[ERROR_MESSAGE_MAX / 2];
        unsigned line, column;
        va_list ap;

        va_start(ap, format);
        vsnprintf(message, sizeof(message), format, ap);
        va_end(ap);
        if (!json_position(d, value, &line, &column))
                return error_set(err, code, "%s: %s", d->name, message);
        return error_set(err, code, "%s:%u:%u: %s", d->name, line, column, message);
}
