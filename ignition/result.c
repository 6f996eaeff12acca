/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* /etc/.ignition-result.json: the stamp "this machine is provisioned". Written durably after all
 * else has reached the disks, so it is never there without the rest. */

#include <time.h>

#include "files.h"
#include "json.h"

const char result_path[] = "/etc/.ignition-result.json";

int result_exists(struct work *w, bool *ret_exists, struct error *err)
{
        _cleanup_free_ char *path = NULL;
        struct stat st;
        int r;

        r = root_resolve(w->root, result_path, &path, err);
        if (r >= 0)
                r = root_find(w->root, path, &st, err);
        *ret_exists = r > 0;
        return r;
}

static void add_string(json_object *object, const char *key, const char *value)
{
        json_object_object_add(object, key, json_object_new_string(value));
}

static void add_boot_id(json_object *result)
{
        struct error ignored;
        char *id = NULL;

        if (file_read(-1, "/proc/sys/kernel/random/boot_id", 128, &id, NULL, &ignored) < 0)
                return;
        id[strcspn(id, "\n")] = '\0';
        add_string(result, "provisioningBootID", id);
        free(id);
}

static void add_date(json_object *result)
{
        time_t now = time(NULL);
        struct tm tm;
        char text[64];

        if (gmtime_r(&now, &tm) && strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm) > 0)
                add_string(result, "provisioningDate", text);
}

/* The report of an earlier provisioning is kept inside the new one. */
static int add_previous(struct work *w, json_object *result, struct error *err)
{
        _cleanup_json_ struct json_document document = {};
        _cleanup_free_ char *text = NULL;
        struct error ignored;
        int r;

        r = root_read(w->root, result_path, &text, err);
        if (r < 0 || !text)
                return r;
        log_line(&w->agent->log, LOG_WARNING,
                 "Ignition has already run on this system. Unexpected behavior may occur.");
        if (json_load(result_path, text, strlen(text), true, &document, &ignored) >= 0)
                json_object_object_add(result, "previousReport", json_object_get(document.root));
        return 0;
}

static int write_text(struct work *w, json_object *result, struct error *err)
{
        const char *json = json_object_to_json_string_ext(
                result,
                JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED | JSON_C_TO_STRING_NOSLASHESCAPE);
        _cleanup_free_ char *text = NULL, *path = NULL;
        _cleanup_place_ struct place place = PLACE_NULL;
        int r;

        if (!json || asprintf(&text, "%s\n", json) < 0) {
                text = NULL;
                return error_oom(err);
        }
        r = root_resolve(w->root, result_path, &path, err);
        if (r >= 0)
                r = place_make(w->root, path, &place, err);
        return r < 0 ? r : file_write(place.dir, place.name, text, strlen(text), 0600, err);
}

int result_write(struct work *w, struct error *err)
{
        json_object *result = json_object_new_object();
        int r;

        if (!result)
                return error_oom(err);
        add_boot_id(result);
        add_date(result);
        json_object_object_add(result, "userConfigProvided",
                               json_object_new_boolean(state_has_user_config(&w->agent->state)));
        r = add_previous(w, result, err);
        if (r >= 0)
                r = write_text(w, result, err);
        json_object_put(result);
        return r;
}
