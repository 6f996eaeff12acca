/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See health.h. What the files say; health-run.c does it. */

#include <fcntl.h>

#include "health.h"
#include "io.h"
#include "strv.h"

static const struct health_ops *const kinds[] = {
        &health_units_ops,   &health_no_failed_units_ops, &health_http_ops,
        &health_command_ops, &health_container_ops,
};

static const char *const directories[] = { "usr/lib/slipway/health.d", "etc/slipway/health.d" };

static const struct field_range timeout_range = { 1, HEALTH_DEADLINE_MAX };
static const struct field_range status_range = { 100, 599 };

static void http_done(void *object)
{
        struct health_http *http = object;

        free(http->url);
}

static int http_check(const struct json_document *d, json_object *value, void *object,
                      struct error *err)
{
        struct health_http *http = object;

        if (!startswith(http->url, "http://") && !startswith(http->url, "https://"))
                return json_error(d, value, err, -EINVAL, "\"url\" must be http:// or https://");
        http->status = http->status ?: 200;
        return 0;
}

static const struct field http_fields[] = {
        { "url", field_string, offsetof(struct health_http, url), FIELD_MANDATORY, "What to GET",
          NULL },
        { "status", field_uint, offsetof(struct health_http, status), 0,
          "The answer's status, 200 by default; redirects are not followed", &status_range },
        {},
};

static const struct record http_record = { "http", sizeof(struct health_http), http_fields,
                                           http_done, http_check };

static void check_done(void *object)
{
        struct health_check *c = object;

        free(c->name);
        strv_free(c->units);
        http_done(&c->http);
        strv_free(c->command);
        free(c->container);
        free(c->broken);
}

static int check_check(const struct json_document *d, json_object *value, void *object,
                       struct error *err)
{
        struct health_check *c = object;
        size_t found = 0;

        if (strlen(c->name) > HEALTH_NAME_MAX)
                return json_error(d, value, err, -EINVAL, "\"name\" is longer than %d bytes",
                                  HEALTH_NAME_MAX);
        for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
                if (!kinds[i]->is_set(c))
                        continue;
                c->ops = kinds[i];
                found++;
        }
        if (found != 1)
                return json_error(d, value, err, -EINVAL,
                                  "a check is exactly one of units, noFailedUnits, http, command "
                                  "and container, not %zu",
                                  found);
        c->timeout = c->timeout ?: HEALTH_TIMEOUT_DEFAULT;
        return 0;
}

#define CHECK(key_, decode_, member_, flags_, help_, argument_)                                    \
        {                                                                                          \
                key_, decode_, offsetof(struct health_check, member_), flags_, help_, argument_    \
        }
static const struct field check_fields[] = {
        CHECK("name", field_string, name, FIELD_MANDATORY, "For messages and the history", NULL),
        CHECK("timeout", field_uint, timeout, 0, "Seconds of one try, 30 by default",
              &timeout_range),
        CHECK("units", field_strings, units, 0, "Units that must be active", NULL),
        CHECK("noFailedUnits", field_bool, no_failed_units, 0,
              "The default target is reached, and no unit has failed", NULL),
        CHECK("http", field_record, http, 0, "A URL that must answer", &http_record),
        CHECK("command", field_strings, command, 0, "A program that must exit with status 0", NULL),
        CHECK("container", field_string, container, 0, "A container that must be running", NULL),
        {},
};

static const struct record check_record = { "check", sizeof(struct health_check), check_fields,
                                            check_done, check_check };

static int health_check_all(const struct json_document *d, json_object *value, void *object,
                            struct error *err)
{
        struct health *h = object;

        if (h->checks.count > HEALTH_CHECKS_MAX)
                return json_error(d, value, err, -E2BIG, "more than %d checks", HEALTH_CHECKS_MAX);
        return 0;
}

static const struct field health_fields[] = {
        { "checks", field_records, offsetof(struct health, checks), FIELD_MANDATORY,
          "What to check", &check_record },
        { "deadline", field_uint, offsetof(struct health, deadline), 0,
          "Seconds for all checks together, 300 by default; of several files the largest",
          &timeout_range },
        {},
};

void health_done(struct health *h)
{
        field_array_done(&h->checks, &check_record);
}

static void record_done(void *object)
{
        health_done(object);
}

const struct record health_record = { "health", sizeof(struct health), health_fields, record_done,
                                      health_check_all };

/* ---- all files ---- */

/* Moves the checks over. */
static int add_checks(struct health *h, struct field_array *more)
{
        size_t total = h->checks.count + more->count;
        struct health_check *items;

        if (more->count == 0)
                return 0;
        items = reallocarray(h->checks.items, total, sizeof(*items));
        if (!items)
                return -ENOMEM;
        memcpy(items + h->checks.count, more->items, more->count * sizeof(*items));
        h->checks = (struct field_array){ items, total };
        free(more->items);
        *more = (struct field_array){};
        return 0;
}

static int add_broken(struct health *h, const char *name, const char *why)
{
        struct field_array one = { calloc(1, sizeof(struct health_check)), 1 };
        struct health_check *c = one.items;
        int r = -ENOMEM;

        if (!c)
                return -ENOMEM;
        *c = (struct health_check){ .name = strdup(name),
                                    .ops = &health_broken_ops,
                                    .timeout = HEALTH_TIMEOUT_DEFAULT,
                                    .broken = strdup(why) };
        if (c->name && c->broken)
                r = add_checks(h, &one);
        field_array_done(&one, &check_record);
        return r;
}

static int add_file(struct health *h, int root_fd, const char *directory, const char *name,
                    struct error *err)
{
        _cleanup_free_ char *path = string_format("%s/%s", directory, name);
        _cleanup_(health_done) struct health more = {};
        struct error reason = {};
        int r;

        if (!path)
                return error_oom(err);
        r = record_load(root_fd, path, &health_record, &more, &reason);
        if (r >= 0 && h->checks.count + more.checks.count > HEALTH_CHECKS_MAX)
                r = error_set(&reason, -E2BIG, "%s: more than %d checks in all files", path,
                              HEALTH_CHECKS_MAX);
        if (r < 0)
                return add_broken(h, name, reason.message) < 0 ? error_oom(err) : 0;
        h->deadline = MAX(h->deadline, more.deadline);
        return add_checks(h, &more.checks) < 0 ? error_oom(err) : 0;
}

static int list_names(int root_fd, const char *directory, char ***names, struct error *err)
{
        int fd = openat(root_fd, directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_closedir_ DIR *d = fd < 0 ? NULL : fdopendir(fd);

        if (!d)
                return errno == ENOENT ? 0 : error_errno(err, "%s", directory);
        for (struct dirent *e = readdir(d); e; e = readdir(d)) {
                if (e->d_name[0] == '.' || !endswith(e->d_name, ".json") ||
                    strv_contains(*names, e->d_name))
                        continue;
                if (strv_extend(names, e->d_name) < 0)
                        return error_oom(err);
        }
        return 0;
}

/* The last directory that has the file wins. */
static const char *directory_of(int root_fd, const char *name)
{
        for (size_t i = ARRAY_SIZE(directories) - 1; i > 0; i--) {
                _cleanup_free_ char *path = string_format("%s/%s", directories[i], name);

                if (!path || faccessat(root_fd, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
                        return directories[i];
        }
        return directories[0];
}

int health_load(const char *root, struct health *ret, struct error *err)
{
        _cleanup_close_ int root_fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_(health_done) struct health h = {};
        _cleanup_strv_ char **names = NULL;
        int r = 0;

        if (root_fd < 0)
                return error_errno(err, "%s", root);
        for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(directories); i++)
                r = list_names(root_fd, directories[i], &names, err);
        strv_sort(names);
        STRV_FOREACH (name, names)
                if (r >= 0)
                        r = add_file(&h, root_fd, directory_of(root_fd, *name), *name, err);
        if (r < 0)
                return r;
        h.deadline = h.deadline ?: HEALTH_DEADLINE_DEFAULT;
        *ret = TAKE_STRUCT(h);
        return 0;
}
