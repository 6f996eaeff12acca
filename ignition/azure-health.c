/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The report that ends the creation of a virtual machine: without one the platform gives up after
 * some twenty minutes, and never says why.
 *
 * There are two ways to say the same. The classic one, which every agent speaks, is three exchanges
 * in XML: which versions WireServer has, the goal state, and the report, which names the goal
 * state's incarnation, container and instance, so that a report of another life of this machine
 * counts for nothing. The newer one is a single JSON text that names nothing. The machine says it
 * once, in the classic way; in the newer one where WireServer does not have the other.
 *
 * The goal state may have moved on between question and report: then the report is refused, and
 * made again from the new one. */

#include <time.h>

#include "azure.h"
#include "fetch.h"
#include "json.h"
#include "strv.h"
#include "xml.h"

#define AGENT_VERSION AZURE_AGENT "/" SLIPWAY_VERSION
#define HELP_URL      "https://aka.ms/linuxprovisioningerror"

enum { REPORTS_MAX = 5, URL_SIZE = 128, PAUSE_MS = 2000, TRY_MS = 60000, TOTAL_MS = 1200000 };

static const unsigned statuses[] = { 429, 0 };

/* ---- what is said ---- */

static bool needs_quotes(const char *text)
{
        return text[strcspn(text, "|\"\r\n")];
}

/* A field of the line, as CSV with '|' between fields. */
static void add_field(struct buffer *b, const char *field)
{
        if (b->size > 0)
                buffer_puts(b, "|");
        if (!needs_quotes(field)) {
                buffer_puts(b, field);
                return;
        }
        buffer_puts(b, "\"");
        for (; *field; field++) {
                if (*field == '"')
                        buffer_puts(b, "\"");
                buffer_append(b, field, 1);
        }
        buffer_puts(b, "\"");
}

/* Shorter by one character of UTF-8. */
static void drop_last(char *text)
{
        size_t n = strlen(text);

        while (n > 0 && (text[n - 1] & 0xc0) == 0x80)
                n--;
        text[n > 0 ? n - 1 : 0] = '\0';
}

static size_t count_characters(const char *text)
{
        size_t n = 0;

        for (; *text; text++)
                n += (*text & 0xc0) != 0x80;
        return n;
}

static char *make_text(const struct azure *z, const char *reason, const char *time)
{
        const struct {
                const char *key, *value;
        } fields[] = {
                { "result", reason ? "error" : "success" },
                { "reason", reason },
                { "agent", AGENT_VERSION },
                { "pps_type", "None" },
                { "vm_id", z->id },
                { "timestamp", time },
                { "documentation_url", reason ? HELP_URL : NULL },
        };
        struct buffer b = {};
        char *text = NULL;

        for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
                _cleanup_free_ char *field = NULL;

                if (!fields[i].value)
                        continue;
                field = string_format("%s=%s", fields[i].key, fields[i].value);
                if (field)
                        add_field(&b, field);
                else
                        b.failed = true;
        }
        return buffer_take(&b, &text, NULL) < 0 ? NULL : text;
}

char *azure_health_text(const struct azure *z, const char *reason, size_t max)
{
        _cleanup_free_ char *cut = reason ? strdup(reason) : NULL;
        time_t now = time(NULL);
        char date[64] = "";
        struct tm tm;

        if (gmtime_r(&now, &tm))
                strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%SZ", &tm);
        for (;;) {
                char *text = !reason || cut ? make_text(z, cut, date) : NULL;

                if (!text || !cut || !*cut || count_characters(text) <= max)
                        return text;
                free(text);
                drop_last(cut);
        }
}

char *azure_health_xml(const struct azure_goal_state *g, const char *description)
{
        struct buffer b = {};
        char *text = NULL;

        buffer_puts(&b, "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n"
                        "<Health xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\""
                        " xmlns:xsd=\"http://www.w3.org/2001/XMLSchema\">\n"
                        "  <GoalStateIncarnation>");
        xml_escape(&b, g->incarnation);
        buffer_puts(&b, "</GoalStateIncarnation>\n  <Container>\n    <ContainerId>");
        xml_escape(&b, g->container);
        buffer_puts(&b, "</ContainerId>\n    <RoleInstanceList>\n      <Role>\n"
                        "        <InstanceId>");
        xml_escape(&b, g->instance);
        buffer_puts(&b, "</InstanceId>\n        <Health>\n          <State>");
        buffer_puts(&b, description ? "NotReady" : "Ready");
        buffer_puts(&b, "</State>\n");
        if (description) {
                buffer_puts(&b, "          <Details>\n            <SubStatus>ProvisioningFailed"
                                "</SubStatus>\n            <Description>");
                xml_escape(&b, description);
                buffer_puts(&b, "</Description>\n          </Details>\n");
        }
        buffer_puts(&b, "        </Health>\n      </Role>\n    </RoleInstanceList>\n"
                        "  </Container>\n</Health>\n");
        return buffer_take(&b, &text, NULL) < 0 ? NULL : text;
}

static bool add_member(json_object *object, const char *key, json_object *value)
{
        if (object && value && json_object_object_add(object, key, value) == 0)
                return true;
        json_object_put(value);
        return false;
}

static bool fill_report(json_object *report, const char *description)
{
        json_object *details;

        if (!description)
                return add_member(report, "state", json_object_new_string("Ready"));
        details = json_object_new_object();
        return add_member(report, "state", json_object_new_string("NotReady")) &&
               add_member(report, "details", details) &&
               add_member(details, "subStatus", json_object_new_string("ProvisioningFailed")) &&
               add_member(details, "description", json_object_new_string(description));
}

char *azure_health_json(const char *description)
{
        json_object *report = json_object_new_object();
        char *text = NULL;

        if (report && fill_report(report, description)) {
                const char *json = json_object_to_json_string_ext(
                        report, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);

                text = json ? strdup(json) : NULL;
        }
        json_object_put(report);
        return text;
}

/* ---- how it is said ---- */

struct report {
        struct azure *azure;
        struct azure_patience patience;
        const char *description; /* NULL: Ready */
        char address[AZURE_ADDRESS_SIZE];
};

enum way { WAY_CLASSIC, WAY_JSON };

/* One exchange; path begins with '/'. */
static int ask(struct report *r, struct azure_question *q, const char *path, struct error *err)
{
        char url[URL_SIZE];

        snprintf(url, sizeof(url), "http://%s%s", r->address, path);
        q->url = url;
        q->patience = &r->patience;
        return azure_ask(r->azure, q, err);
}

static const char *const classic_headers[] = { "x-ms-agent-name: " AZURE_AGENT,
                                               "x-ms-version: 2012-11-30",
                                               "User-Agent: " AGENT_VERSION, NULL };

static int take_versions(const char *text, size_t size, void *userdata, struct error *err)
{
        bool classic;
        int r = azure_versions_parse(text, size, &classic, err);

        if (r >= 0)
                *(enum way *)userdata = classic ? WAY_CLASSIC : WAY_JSON;
        return r;
}

/* A WireServer that knows nothing of versions has none of the classic protocol. */
static int choose_way(struct report *r, enum way *ret, struct error *err)
{
        struct azure_question q = { .what = "WireServer's versions",
                                    .headers = classic_headers,
                                    .take = take_versions,
                                    .userdata = ret };
        int code = ask(r, &q, "/?comp=versions", err);

        if (code < 0 && q.status != 404)
                return code;
        if (q.status == 404)
                *ret = WAY_JSON;
        log_line(r->azure->log, LOG_INFO, "WireServer at %s: health report in %s", r->address,
                 *ret == WAY_CLASSIC ? "XML" : "JSON");
        return 0;
}

static int take_goal_state(const char *text, size_t size, void *userdata, struct error *err)
{
        return azure_goal_state_parse(text, size, userdata, err);
}

/* *ret_stale: refused for what it named. */
static int report_goal_state(struct report *r, bool *ret_stale, struct error *err)
{
        static const char *const headers[] = { "x-ms-agent-name: " AZURE_AGENT,
                                               "x-ms-version: 2012-11-30",
                                               "User-Agent: " AGENT_VERSION,
                                               "Content-Type: text/xml; charset=utf-8", NULL };
        _cleanup_(azure_goal_state_done) struct azure_goal_state goal = {};
        struct azure_question get = { .what = "goal state",
                                      .headers = classic_headers,
                                      .take = take_goal_state,
                                      .userdata = &goal };
        struct azure_question post = { .what = "health report", .headers = headers };
        _cleanup_free_ char *body = NULL;
        int code = ask(r, &get, "/machine/?comp=goalstate", err);

        if (code < 0)
                return code;
        body = azure_health_xml(&goal, r->description);
        if (!body)
                return error_oom(err);
        post.body = body;
        code = ask(r, &post, "/machine/?comp=health", err);
        *ret_stale = code < 0 && (post.status == 400 || post.status == 404 || post.status == 410);
        return code;
}

static int report_classic(struct report *r, struct error *err)
{
        uint64_t pause_ms = 0;

        for (unsigned n = 1;; n++) {
                bool stale = false;
                int code = report_goal_state(r, &stale, err);

                if (!stale)
                        return code;
                if (n == REPORTS_MAX)
                        return error_prefix(err, code, "refused %u times", n);
                log_line(r->azure->log, LOG_WARNING, "%s: asking for the goal state again",
                         err->message);
                pause_ms = fetch_next_pause(pause_ms);
                code = clock_sleep(pause_ms, err);
                if (code < 0)
                        return code;
        }
}

static int report_json(struct report *r, struct error *err)
{
        static const char *const headers[] = { "User-Agent: " AGENT_VERSION,
                                               "x-ms-guest-agent-name: " AZURE_AGENT
                                               " v" SLIPWAY_VERSION,
                                               "Content-Type: application/json", NULL };
        _cleanup_free_ char *body = azure_health_json(r->description);
        struct azure_question q = { .what = "health report", .headers = headers, .body = body };

        return body ? ask(r, &q, "/provisioning/health", err) : error_oom(err);
}

int azure_health_report(struct azure *z, const struct azure_health *h, struct error *err)
{
        _cleanup_free_ char *description =
                h->reason ? azure_health_text(z, h->reason, AZURE_DESCRIPTION_MAX) : NULL;
        struct report r = { .azure = z,
                            .description = description,
                            .patience = { .statuses = statuses,
                                          .connect_ms = TRY_MS,
                                          .attempt_ms = TRY_MS,
                                          .pause_ms = PAUSE_MS,
                                          .attempts = h->attempts } };
        const uint64_t deadline = z->deadline;
        enum way way = WAY_CLASSIC;
        int code;

        if (h->reason && !description)
                return error_oom(err);
        azure_wireserver(z, r.address);
        z->deadline = clock_earlier(deadline, clock_deadline(h->total_ms ?: TOTAL_MS));
        code = choose_way(&r, &way, err);
        if (code >= 0)
                code = way == WAY_CLASSIC ? report_classic(&r, err) : report_json(&r, err);
        z->deadline = deadline;
        return code;
}
