/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See package.h and package-record.h. */

#include <ctype.h>

#include "mirror.h"
#include "package-record.h"
#include "strv.h"

enum { PACKAGE_TEXT_MAX = 256 };

#define PACKAGE_SIZE_MAX (16 * GIB)

static const struct field_range size_range = { 1, PACKAGE_SIZE_MAX };

static void package_done(void *object)
{
        struct package *p = object;

        free(p->name);
        free(p->version);
        free(p->architecture);
        free(p->repository);
        free(p->filename);
        memset(p, 0, sizeof(*p));
}

void package_set_done(struct package_set *set)
{
        for (size_t i = 0; i < set->count; i++)
                package_done(&set->items[i]);
        free(set->items);
        strv_free(set->warnings);
        memset(set, 0, sizeof(*set));
}

static bool package_equal(const struct package *a, const struct package *b)
{
        return streq(a->name, b->name) && streq(a->version, b->version) &&
               streq(a->architecture, b->architecture) && streq(a->repository, b->repository) &&
               streq(a->filename, b->filename) && a->size == b->size &&
               sha256_equal(&a->sha256, &b->sha256);
}

static bool texts_equal(char **a, char **b)
{
        for (; a && b && *a && *b; a++, b++)
                if (!streq(*a, *b))
                        return false;
        return (!a || !*a) && (!b || !*b);
}

bool package_set_equal(const struct package_set *a, const struct package_set *b)
{
        if (a->count != b->count || a->newest != b->newest ||
            !texts_equal(a->warnings, b->warnings))
                return false;
        for (size_t i = 0; i < a->count; i++)
                if (!package_equal(&a->items[i], &b->items[i]))
                        return false;
        return true;
}

static bool text_valid(const char *text, const char *extra)
{
        if (strlen(text) > PACKAGE_TEXT_MAX || !isalnum((unsigned char)*text))
                return false;
        for (; *text; text++)
                if (!isalnum((unsigned char)*text) && !strchr(extra, *text))
                        return false;
        return true;
}

const char *package_problem(const struct package *p)
{
        if (!text_valid(p->name, "+-."))
                return "a bad name";
        if (!text_valid(p->version, "+-.~:"))
                return "a bad version";
        if (!text_valid(p->architecture, "-"))
                return "a bad architecture";
        if (!url_path_valid(p->filename))
                return "a bad file name";
        if (p->size == 0 || p->size > PACKAGE_SIZE_MAX)
                return "a bad size";
        return NULL;
}

static int package_check(const struct json_document *d, json_object *value, void *object,
                         struct error *err)
{
        const char *problem = package_problem(object);

        return problem ? json_error(d, value, err, -EINVAL, "package with %s", problem) : 0;
}

#define PACKAGE_FIELD(key, decode, member, help, argument)                                         \
        {                                                                                          \
                key, decode, offsetof(struct package, member), FIELD_MANDATORY, help, argument     \
        }

const struct record package_record = {
        "package",
        sizeof(struct package),
        (const struct field[]){
                PACKAGE_FIELD("name", field_string, name, "Name of the package.", NULL),
                PACKAGE_FIELD("version", field_string, version, "Its exact version.", NULL),
                PACKAGE_FIELD("architecture", field_string, architecture, "Its architecture.",
                              NULL),
                PACKAGE_FIELD("repository", field_string, repository,
                              "Logical name of the repository that has it.", NULL),
                PACKAGE_FIELD("filename", field_string, filename,
                              "Path of the package below the repository's URL.", NULL),
                PACKAGE_FIELD("size", field_uint, size, "Bytes of the package file.", &size_range),
                PACKAGE_FIELD("sha256", field_digest, sha256, "Digest of the package file.", NULL),
                {},
        },
        package_done,
        package_check,
};

int package_compare(const void *a, const void *b)
{
        const struct package *x = a, *y = b;
        int r = strcmp(x->name, y->name);

        return r ? r : strcmp(x->architecture, y->architecture);
}
