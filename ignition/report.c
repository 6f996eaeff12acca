/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See report.h. Nothing here may make a failure worse: what cannot be written or sent is a line in
 * the log. */

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#include "fetch.h"
#include "findings.h"
#include "report.h"
#include "strv.h"

enum { REPORT_SIZE_MAX = 1024 * 1024, REPORT_SEND_MS = 30000 };

static const char url_argument[] = "ignition.report.url";
static const char root_directory[] = "var/lib/ignition";
static const char file_name[] = "report.json";
static const char block_name[] = "failure";

static const struct {
        const char *stage; /* NULL: any */
        int code;          /* 0: any */
        const char *text;
} advices[] = {
        { NULL, -EOPNOTSUPP, "Remove the setting from the configuration" },
        { NULL, -ENOSPC, "Give the machine a larger disk, or ask for less" },
        { NULL, -EIO, "Check the disk: it cannot be read or written" },
        { NULL, -ECOMM, "Check that what is named answers, and that the machine can reach it" },
        { NULL, -ETIMEDOUT, "Check that what is named answers, and that the machine can reach it" },
        { NULL, -ENETDOWN, "Check the machine's network" },
        { NULL, -ENETUNREACH, "Check the machine's network" },
        { NULL, -ECONNREFUSED, "Check the server that is named: it refuses connections" },
        { NULL, -EBADMSG, "Check what is named: it is not what the configuration expects" },
        { NULL, -EINVAL, "Correct the configuration (ignition-validate checks one beforehand)" },
        { "disks", 0, "Compare the configuration with the disks (ignition plan shows both)" },
        { NULL, 0, "Correct the cause" },
};

const char *report_advice(const char *stage, int code)
{
        for (size_t i = 0; i < ARRAY_SIZE(advices); i++)
                if ((!advices[i].stage || streq(advices[i].stage, stage)) &&
                    (advices[i].code == 0 || advices[i].code == code))
                        return advices[i].text;
        return "";
}

/* ---- the report as JSON; what memory does not suffice for is left out ---- */

static void put(json_object *object, const char *key, json_object *value)
{
        if (value && json_object_object_add(object, key, value) != 0)
                json_object_put(value);
}

static void put_text(json_object *object, const char *key, const char *text)
{
        put(object, key, json_object_new_string(text));
}

static json_object *stages_of(json_object *report)
{
        json_object *stages = json_member(report, "stages");

        if (json_object_is_type(stages, json_type_array))
                return stages;
        put(report, "stages", json_object_new_array());
        return json_member(report, "stages");
}

/* Milliseconds of the processor that this process and those it waited for have used. */
static int64_t processor_ms(void)
{
        static const int whose[] = { RUSAGE_SELF, RUSAGE_CHILDREN };
        int64_t us = 0;

        for (size_t i = 0; i < ARRAY_SIZE(whose); i++) {
                struct rusage u = {};

                getrusage(whose[i], &u);
                us += (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000LL + u.ru_utime.tv_usec +
                      u.ru_stime.tv_usec;
        }
        return us / 1000;
}

static void add_stage(json_object *report, const char *stage, uint64_t ms, bool passed)
{
        json_object *stages = stages_of(report), *entry = json_object_new_object();

        if (!stages || !entry || json_object_array_add(stages, entry) != 0) {
                json_object_put(entry);
                return;
        }
        put_text(entry, "name", stage);
        put_text(entry, "result", passed ? "passed" : "failed");
        put(entry, "milliseconds", json_object_new_int64((int64_t)ms));
        put(entry, "processorMilliseconds", json_object_new_int64(processor_ms()));
}

/* The setting is "$.storage.files.0, line 4 col 9". */
static void add_failure(json_object *report, const struct agent *a, const char *stage,
                        const struct error *err)
{
        const char *comma = strstr(a->setting, ", line ");
        size_t size = comma ? (size_t)(comma - a->setting) : strlen(a->setting);
        json_object *failure = json_object_new_object();
        int line, column;

        if (!failure)
                return;
        put_text(failure, "stage", stage);
        if (size > 0)
                put(failure, "setting", json_object_new_string_len(a->setting, (int)size));
        if (comma && sscanf(comma, ", line %d col %d", &line, &column) == 2) {
                put(failure, "line", json_object_new_int(line));
                put(failure, "column", json_object_new_int(column));
        }
        put_text(failure, "reason", err->message);
        put_text(failure, "advice", report_advice(stage, err->code));
        put(report, "failure", failure);
}

/* Without their texts. */
static void add_configs(json_object *report, const struct agent *a)
{
        static const char *const keys[] = { "kind", "source", "referenced" };
        json_object *from = state_get(&a->state, "fetchedConfigs", json_type_array);
        json_object *configs = json_object_new_array();
        size_t n = from ? json_object_array_length(from) : 0;

        for (size_t i = 0; configs && i < n; i++) {
                json_object *entry = json_object_new_object();

                for (size_t k = 0; entry && k < ARRAY_SIZE(keys); k++)
                        put(entry, keys[k],
                            json_object_get(
                                    json_member(json_object_array_get_idx(from, i), keys[k])));
                if (!entry || json_object_array_add(configs, entry) != 0)
                        json_object_put(entry);
        }
        put(report, "configs", configs);
}

static void add_circumstances(json_object *report, const struct agent *a)
{
        _cleanup_free_ char *id = NULL;
        struct error ignored;
        time_t now = time(NULL);
        char date[64];
        struct tm tm;

        put_text(report, "version", SLIPWAY_VERSION);
        if (a->options.platform)
                put_text(report, "platform", a->options.platform);
        if (file_read(AT_FDCWD, "/proc/sys/kernel/random/boot_id", 128, &id, NULL, &ignored) >= 0) {
                id[strcspn(id, "\n")] = '\0';
                put_text(report, "bootID", id);
        }
        if (gmtime_r(&now, &tm) && strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%SZ", &tm) > 0)
                put_text(report, "date", date);
        add_configs(report, a);
}

/* ---- where it is kept ---- */

/* "<directory of the state file>/<name>" */
static char *beside_state(const struct agent *a, const char *name)
{
        const char *state = a->options.state_file, *slash = strrchr(state, '/');
        char *path;

        return asprintf(&path, "%.*s%s", slash ? (int)(slash + 1 - state) : 0, state, name) < 0
                       ? NULL
                       : path;
}

/* What the stages before wrote in this boot; else an empty one. NULL: out of memory. */
static json_object *load(const struct agent *a, bool first)
{
        _cleanup_json_ struct json_document document = {};
        _cleanup_free_ char *path = beside_state(a, file_name), *text = NULL;
        struct error ignored;
        size_t size;

        if (!first && path && access(path, F_OK) == 0 &&
            file_read(AT_FDCWD, path, REPORT_SIZE_MAX, &text, &size, &ignored) >= 0 &&
            json_load(path, text, size, true, &document, &ignored) >= 0 &&
            json_object_is_type(document.root, json_type_object))
                return json_object_get(document.root);
        return json_object_new_object();
}

/* The caller frees. NULL: out of memory. */
static char *as_text(json_object *report)
{
        const char *json = json_object_to_json_string_ext(
                report,
                JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED | JSON_C_TO_STRING_NOSLASHESCAPE);

        return json ? string_format("%s\n", json) : NULL;
}

static int write_file(struct agent *a, const char *name, const char *text, struct error *err)
{
        _cleanup_free_ char *path = beside_state(a, name), *parent = path ? strdup(path) : NULL;
        char *slash;
        int r = 0;

        if (!parent)
                return error_oom(err);
        slash = strrchr(parent, '/');
        if (slash)
                *slash = '\0';
        if (slash && *parent)
                r = path_mkdirs(AT_FDCWD, parent, 0755, err);
        return r < 0 ? r : file_write(AT_FDCWD, path, text, strlen(text), 0600, err);
}

/* Something is mounted at --root: ROOT, not the directory in the initrd. */
static bool root_is_mounted(const struct agent *a)
{
        struct stat root, parent;

        return a->root.fd >= 0 && fstat(a->root.fd, &root) == 0 &&
               fstatat(a->root.fd, "..", &parent, 0) == 0 && root.st_dev != parent.st_dev;
}

static int copy_to_root(struct agent *a, const char *text, struct error *err)
{
        _cleanup_close_ int dir = -1;

        if (!root_is_mounted(a))
                return 0;
        dir = path_open_dir(a->root.fd, root_directory, 0755, err);
        return dir < 0 ? dir : file_write(dir, file_name, text, strlen(text), 0600, err);
}

/* ---- sending ---- */

bool report_needs_network(void)
{
        _cleanup_free_ char *url = kernel_argument(url_argument);

        return !string_is_empty(url);
}

static int send(struct agent *a, const char *text, struct error *err)
{
        static const struct http_header headers[] = {
                { .name = "Content-Type", .value = "application/json" },
        };
        _cleanup_free_ char *url = kernel_argument(url_argument), *answer = NULL;
        const struct fetch_request request = {
                .url = url,
                .method = "POST",
                .headers = headers,
                .header_count = ARRAY_SIZE(headers),
                .body = text,
                .body_size = strlen(text),
                .timeout_ms = REPORT_SEND_MS,
        };
        size_t size;

        if (string_is_empty(url) || a->offline)
                return 0;
        a->deadline = 0;
        return fetch_text(a, &request, &answer, &size, err);
}

/* ---- all of it ---- */

static void warn(struct agent *a, int r, const char *what, const struct error *err)
{
        if (r < 0)
                log_line(&a->log, LOG_WARNING, "%s: %s", what, err->message);
}

static void show_failure(struct agent *a, const char *stage, const struct error *failure)
{
        _cleanup_buffer_ struct buffer block = {};
        const char *place = *a->setting ? strstr(failure->message, a->setting) : NULL;
        struct error err = {};
        int size = (int)strlen(failure->message);

        /* "…: <setting>" */
        if (place && streq(place, a->setting) && place >= failure->message + 2)
                size = (int)(place - failure->message) - 2;
        buffer_printf(&block, "\n======== Ignition failed: stage %s ========\n", stage);
        if (*a->setting)
                buffer_printf(&block, "Setting:    %s\n", a->setting);
        buffer_printf(&block, "Reason:     %.*s\n", size, failure->message);
        buffer_printf(&block, "What to do: %s, and boot again.\n",
                      report_advice(stage, failure->code));
        buffer_puts(&block, "            This machine is not marked as provisioned; the next boot "
                            "starts from the beginning.\n");
        log_failure(&a->log, stage, failure->message, block.failed ? "" : block.data);
        if (!block.failed)
                warn(a, write_file(a, block_name, block.data, &err), "report", &err);
}

static void publish(struct agent *a, json_object *report, bool final)
{
        _cleanup_free_ char *text = as_text(report);
        struct error err = {};

        if (!text)
                return;
        warn(a, write_file(a, file_name, text, &err), "report", &err);
        if (!final)
                return;
        warn(a, copy_to_root(a, text, &err), "report on ROOT", &err);
        warn(a, send(a, text, &err), "sending the report", &err);
}

static void tell_platform(struct agent *a, const char *stage, const struct error *failure)
{
        const struct provider *provider = provider_find(a->options.platform);

        if (provider && provider->failed)
                provider->failed(a, stage, failure->message);
}

void report_stage(struct agent *a, const char *stage, uint64_t started, const struct error *err)
{
        json_object *report = load(a, streq(stage, "fetch-offline"));

        if (err)
                tell_platform(a, stage, err);
        if (err)
                show_failure(a, stage, err);
        if (!report)
                return;
        put_text(report, "status", err ? "failed" : "running");
        add_circumstances(report, a);
        add_stage(report, stage, clock_ms() - started, !err);
        if (err)
                add_failure(report, a, stage, err);
        publish(a, report, err != NULL);
        json_object_put(report);
}

int report_complete(struct agent *a, struct error *err)
{
        json_object *report = load(a, false);

        if (!report)
                return error_oom(err);
        put_text(report, "status", "complete");
        add_circumstances(report, a);
        publish(a, report, true);
        json_object_put(report);
        return 0;
}
