/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See config.h. */

#include <fcntl.h>

#include "config.h"
#include "strv.h"

static const char *const strategies[] = { "off", "reboot", "fleetlock", "marker", NULL };
static const char *const days[] = { "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun", NULL };

enum { NAME_MAX_LENGTH = 64, WEEK_MINUTES = 7 * 24 * 60 };

static const struct field_range window_length = { 1, WEEK_MINUTES };

static int check_window(const struct json_document *d, json_object *value, void *object,
                        struct error *err)
{
        const struct update_window *w = object;

        STRV_FOREACH (day, w->days)
                if (!strv_contains((char *const *)days, *day))
                        return json_error(
                                d, value, err, -EINVAL,
                                "\"days\": '%s' is not Mon, Tue, Wed, Thu, Fri, Sat or Sun", *day);
        if (!w->start != !w->length_minutes)
                return json_error(d, value, err, -EINVAL,
                                  "\"start\" and \"lengthMinutes\" go together");
        if (w->start && !update_window_start(w->start, NULL))
                return json_error(d, value, err, -EINVAL, "\"start\" must be \"HH:MM\"");
        return 0;
}

static void window_done(void *object)
{
        struct update_window *w = object;

        strv_free(w->days);
        free(w->start);
}

#define FIELD(key_, decoder_, member_, help_, argument_)                                           \
        {                                                                                          \
                .key = key_, .decode = decoder_,                                                   \
                .offset = offsetof(struct update_config, member_), .help = help_,                  \
                .argument = argument_                                                              \
        }

static const struct field window_fields[] = {
        { "days", field_strings, offsetof(struct update_window, days), 0,
          "Days on which the window opens; none named: all", NULL },
        { "start", field_string, offsetof(struct update_window, start), 0,
          "When it opens, \"HH:MM\" of local time", NULL },
        { "lengthMinutes", field_uint, offsetof(struct update_window, length_minutes), 0,
          "How long it is open", &window_length },
        {},
};

static const struct record window_record = { .name = "window",
                                             .size = sizeof(struct update_window),
                                             .fields = window_fields,
                                             .done = window_done,
                                             .check = check_window };

static const struct field fields[] = {
        FIELD("site", field_string, site, "URL of the update site; without it updates are off",
              NULL),
        FIELD("channel", field_string, channel, "Channel to follow", NULL),
        FIELD("keys", field_strings, keys, "Directories of public keys", NULL),
        FIELD("revoked", field_strings, revoked, "Directories of keys that no longer count", NULL),
        FIELD("window", field_record, window, "When updates are taken and reboots are made",
              &window_record),
        FIELD("reboot", field_enum, reboot, "What follows an update", strategies),
        FIELD("fleetlockUrl", field_string, fleetlock_url, "Base URL of the FleetLock server",
              NULL),
        FIELD("fleetlockGroup", field_string, fleetlock_group, "This machine's group there", NULL),
        {},
};

static bool is_url(const char *text)
{
        const char *rest = startswith(text, "https://") ?: startswith(text, "http://");

        return rest && *rest && *rest != '/' && strlen(text) <= UPDATE_URL_MAX &&
               !strpbrk(text, " \t\r\n?#");
}

/* Part of the name of an OSTree ref, and of a path. */
static bool is_name(const char *text)
{
        return strlen(text) <= NAME_MAX_LENGTH && text[0] != '.' && text[0] != '-' &&
               text[strspn(text,
                           "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")] ==
                       '\0';
}

static int check(const struct json_document *d, json_object *value, void *object, struct error *err)
{
        const struct update_config *c = object;

        if (c->site && !is_url(c->site))
                return json_error(d, value, err, -EINVAL,
                                  "\"site\" must be an http or https URL without query");
        if (c->channel && !is_name(c->channel))
                return json_error(d, value, err, -EINVAL, "\"channel\": no such name");
        if (c->fleetlock_url && !is_url(c->fleetlock_url))
                return json_error(d, value, err, -EINVAL,
                                  "\"fleetlockUrl\" must be an http or https URL without query");
        if (c->fleetlock_group && !is_name(c->fleetlock_group))
                return json_error(d, value, err, -EINVAL, "\"fleetlockGroup\": no such name");
        if (c->reboot == REBOOT_FLEETLOCK && !c->fleetlock_url)
                return json_error(d, value, err, -EINVAL,
                                  "\"reboot\": \"fleetlock\" needs \"fleetlockUrl\"");
        STRV_FOREACH (path, c->keys)
                if (**path != '/')
                        return json_error(d, value, err, -EINVAL, "\"keys\": not absolute");
        STRV_FOREACH (path, c->revoked)
                if (**path != '/')
                        return json_error(d, value, err, -EINVAL, "\"revoked\": not absolute");
        return 0;
}

static void config_done(void *object)
{
        struct update_config *c = object;

        free(c->site);
        free(c->channel);
        strv_free(c->keys);
        strv_free(c->revoked);
        window_done(&c->window);
        free(c->fleetlock_url);
        free(c->fleetlock_group);
        *c = (struct update_config){};
}

const struct record update_config_record = {
        .name = "the update configuration",
        .size = sizeof(struct update_config),
        .fields = fields,
        .done = config_done,
        .check = check,
};

void update_config_done(struct update_config *c)
{
        config_done(c);
}

bool update_window_start(const char *text, unsigned *ret_minutes)
{
        unsigned hours, minutes;
        int end = 0;

        if (strlen(text) != 5 || strspn(text, "0123456789:") != 5 ||
            sscanf(text, "%2u:%2u%n", &hours, &minutes, &end) != 2 || end != 5 || hours > 23 ||
            minutes > 59)
                return false;
        if (ret_minutes)
                *ret_minutes = hours * 60 + minutes;
        return true;
}

static bool on_day(const struct update_window *w, const char *day)
{
        return !w->days || !*w->days || strv_contains(w->days, day);
}

/* Whether a window that opened `ago` days before today reaches to this minute of today. */
static bool opened(const struct update_window *w, const struct tm *now, unsigned start, int ago)
{
        unsigned minute = (unsigned)(now->tm_hour * 60 + now->tm_min + ago * 24 * 60);
        const char *day = days[(now->tm_wday + 6 - ago % 7 + 7) % 7];

        return on_day(w, day) && minute >= start && minute < start + w->length_minutes;
}

bool update_window_open(const struct update_window *w, const struct tm *now)
{
        unsigned start;

        if (!w->start)
                return on_day(w, days[(now->tm_wday + 6) % 7]);
        if (!update_window_start(w->start, &start))
                return false;
        for (int ago = 0; ago <= 7; ago++)
                if (opened(w, now, start, ago))
                        return true;
        return false;
}

static int default_text(char **text, const char *value)
{
        if (!*text)
                *text = strdup(value);
        return *text ? 0 : -ENOMEM;
}

static int default_directories(char ***list, const char *name)
{
        static const char *const places[] = { "/usr/lib/slipway", "/etc/slipway" };

        for (size_t i = 0, given = *list != NULL; !given && i < ARRAY_SIZE(places); i++) {
                _cleanup_free_ char *path = string_format("%s/%s", places[i], name);

                if (!path || strv_extend(list, path) < 0)
                        return -ENOMEM;
        }
        return 0;
}

int update_config_load(const char *root, struct update_config *ret, struct error *err)
{
        _cleanup_free_ char *path = string_format("%s" UPDATE_CONFIG_PATH, root ?: "");
        _cleanup_(update_config_done) struct update_config c = {};
        int r;

        if (!path)
                return error_oom(err);
        r = faccessat(AT_FDCWD, path, F_OK, 0) < 0 && errno == ENOENT
                    ? 0
                    : record_load(AT_FDCWD, path, &update_config_record, &c, err);
        if (r < 0)
                return r;
        if (default_text(&c.channel, "stable") < 0 ||
            default_text(&c.fleetlock_group, "default") < 0 ||
            default_directories(&c.keys, "keys.d") < 0 ||
            default_directories(&c.revoked, "revoked.d") < 0)
                return error_oom(err);
        *ret = TAKE_STRUCT(c);
        return 0;
}
