/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See suite-release.h. The SHA256 field is a list, a line an index: digest, size, path. Other
 * digests are not looked at: without SHA256 there are no files. */

#include <time.h>

#include "deb822.h"
#include "mirror.h"
#include "suite-release.h"
#include "strv.h"

static int month_number(const char *name)
{
        static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

        for (int i = 0; i < 12; i++)
                if (strncmp(months + 3 * i, name, 3) == 0 && strlen(name) == 3)
                        return i;
        return -1;
}

static bool zone_is_utc(const char *zone)
{
        return streq(zone, "UTC") || streq(zone, "GMT") || streq(zone, "Z") || streq(zone, "+0000");
}

int suite_release_date_parse(const char *text, uint64_t *ret)
{
        char month[4], zone[6];
        struct tm t = {};
        int end = 0;
        time_t seconds;

        text += strcspn(text, ",");
        if (sscanf(text, ", %2d %3[A-Za-z] %4d %2d:%2d:%2d %5[A-Z0-9+]%n", &t.tm_mday, month,
                   &t.tm_year, &t.tm_hour, &t.tm_min, &t.tm_sec, zone, &end) != 7 ||
            text[end] || !zone_is_utc(zone))
                return -EINVAL;
        t.tm_mon = month_number(month);
        t.tm_year -= 1900;
        if (t.tm_mon < 0 || t.tm_year < 70 || t.tm_mday < 1 || t.tm_mday > 31 || t.tm_hour < 0 ||
            t.tm_hour > 23 || t.tm_min < 0 || t.tm_min > 59 || t.tm_sec < 0 || t.tm_sec > 60)
                return -EINVAL;
        seconds = timegm(&t);
        if (seconds < 0)
                return -EINVAL;
        *ret = (uint64_t)seconds;
        return 0;
}

static int add_file(struct suite_release *r, const char *path, uint64_t size,
                    const struct sha256 *sha256, struct error *err)
{
        struct suite_file *f;

        if (r->n_files >= SUITE_RELEASE_FILES_MAX)
                return error_set(err, -EFBIG, "lists more than %d files", SUITE_RELEASE_FILES_MAX);
        if (array_reserve(&r->files, &r->capacity, r->n_files + 1, sizeof(*f)) < 0)
                return error_oom(err);
        f = &r->files[r->n_files];
        *f = (struct suite_file){ strdup(path), size, *sha256 };
        if (!f->path)
                return error_oom(err);
        r->n_files++;
        return 0;
}

/* "<digest> <size> <path>" */
static int parse_file(struct suite_release *r, char *line, struct error *err)
{
        struct sha256 sha256;
        char *save = NULL, *end;
        const char *digest = strtok_r(line, " \t\r", &save);
        const char *size = strtok_r(NULL, " \t\r", &save);
        const char *path = strtok_r(NULL, " \t\r", &save);
        uint64_t bytes;

        if (!digest)
                return 0;
        if (!path || hex_decode(digest, sha256.bytes, sizeof(sha256.bytes)) < 0)
                return error_set(err, -EINVAL, "bad line in SHA256: '%s'", digest);
        errno = 0;
        bytes = strtoull(size, &end, 10);
        if (errno || *end || *size < '0' || *size > '9' || !url_path_valid(path))
                return error_set(err, -EINVAL, "bad size or path in SHA256: '%s'", path);
        return add_file(r, path, bytes, &sha256, err);
}

static int parse_files(const struct deb822_field *f, struct suite_release *r, struct error *err)
{
        _cleanup_free_ char *value = deb822_value(f);
        int ret;

        if (!value)
                return error_oom(err);
        for (char *save = NULL, *line = strtok_r(value, "\n", &save); line;
             line = strtok_r(NULL, "\n", &save)) {
                ret = parse_file(r, line, err);
                if (ret < 0)
                        return ret;
        }
        return 0;
}

static int parse_string(const struct deb822_field *f, char **ret, struct error *err)
{
        free(*ret);
        *ret = deb822_value(f);
        return *ret ? 0 : error_oom(err);
}

static int parse_date(const struct deb822_field *f, uint64_t *ret, struct error *err)
{
        _cleanup_free_ char *value = deb822_value(f);

        if (!value)
                return error_oom(err);
        if (suite_release_date_parse(value, ret) < 0)
                return error_set(err, -EINVAL, "bad date '%s' in %.*s", value, (int)f->name_size,
                                 f->name);
        return 0;
}

static int parse_architectures(const struct deb822_field *f, struct suite_release *r,
                               struct error *err)
{
        _cleanup_free_ char *value = deb822_value(f);
        _cleanup_strv_ char **words = NULL;

        if (!value || strv_split(value, " \t\r\n", &words) < 0)
                return error_oom(err);
        r->lists_all = strv_contains(words, "all");
        return 0;
}

static int parse_field(const struct deb822_field *f, struct suite_release *r, struct error *err)
{
        if (deb822_is(f, "Suite"))
                return parse_string(f, &r->suite, err);
        if (deb822_is(f, "Codename"))
                return parse_string(f, &r->codename, err);
        if (deb822_is(f, "Date"))
                return parse_date(f, &r->date, err);
        if (deb822_is(f, "Valid-Until"))
                return parse_date(f, &r->valid_until, err);
        if (deb822_is(f, "SHA256"))
                return parse_files(f, r, err);
        if (deb822_is(f, "Architectures"))
                return parse_architectures(f, r, err);
        if (deb822_is(f, "Acquire-By-Hash"))
                r->by_hash = deb822_bool(f, false);
        else if (deb822_is(f, "No-Support-for-Architecture-all"))
                r->merges_all = true;
        return 0;
}

static int compare_files(const void *a, const void *b)
{
        const struct suite_file *x = a, *y = b;

        return strcmp(x->path, y->path);
}

int suite_release_parse(const char *text, size_t size, struct suite_release *ret, struct error *err)
{
        _cleanup_suite_release_ struct suite_release release = {};
        struct deb822_field f;
        struct deb822 d;
        int r;

        deb822_init(&d, text, size);
        while (deb822_next(&d, &f)) {
                r = parse_field(&f, &release, err);
                if (r < 0)
                        return r;
        }
        if (release.date == 0)
                return error_set(err, -EINVAL, "has no Date");
        if (release.n_files == 0)
                return error_set(err, -EINVAL, "has no SHA256 list");
        qsort(release.files, release.n_files, sizeof(*release.files), compare_files);
        *ret = TAKE_STRUCT(release);
        return 0;
}

void suite_release_done(struct suite_release *r)
{
        for (size_t i = 0; i < r->n_files; i++)
                free(r->files[i].path);
        free(r->files);
        free(r->suite);
        free(r->codename);
        memset(r, 0, sizeof(*r));
}

const struct suite_file *suite_release_find(const struct suite_release *r, const char *path)
{
        const struct suite_file key = { .path = (char *)path };

        return bsearch(&key, r->files, r->n_files, sizeof(*r->files), compare_files);
}
