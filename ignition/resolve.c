/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* ignition.config.replace and .merge, resolved depth-first: a configuration is complete, with
 * everything that it refers to, before it is merged into the one that refers to it; `replace`
 * discards the rest of the one it stands in. What is fetched is fetched with the proxy, authorities
 * and timeouts known so far. The result lies over the image's base configurations and is validated
 * as a whole: two good configurations can make a bad one.
 *
 * While a configuration is worked on it is lent to the agent, so that a failure names its setting;
 * the tree beside it knows where each value was written. */

#include "fetch.h"
#include "origin.h"
#include "resolve.h"
#include "resource.h"
#include "strv.h"

/* Which configuration refers to which. */
struct chain {
        const char *source;
        const struct chain *up;
        unsigned depth;
};

struct resolver {
        struct agent *agent;
        char *settings;                /* what the client was configured with last */
        struct reference_watch *watch; /* of a dry run, else NULL */
};

/* ---- one text ---- */

static void log_findings(struct agent *a, const struct findings *findings)
{
        _cleanup_strv_ char **lines = NULL;

        if (!findings->text.data || strv_split(findings->text.data, "\n", &lines) < 0)
                return;
        STRV_FOREACH (line, lines)
                log_line(&a->log, startswith(*line, "error") ? LOG_ERR : LOG_WARNING, "%s", *line);
}

/* The first error among the findings is the reason of the failure; its place is the setting. */
static int explain(struct agent *a, const struct findings *findings, const char *what,
                   struct error *err)
{
        _cleanup_strv_ char **lines = NULL;

        if (!findings->text.data || strv_split(findings->text.data, "\n", &lines) < 0)
                return err->code;
        STRV_FOREACH (line, lines) {
                const char *at = startswith(*line, "error at ");
                const char *colon = at ? strstr(at, ": ") : NULL;

                if (!colon)
                        continue;
                snprintf(a->setting, sizeof(a->setting), "%.*s", (int)(colon - at), at);
                return error_set(err, err->code, "%s: %s", what, colon + 2);
        }
        return err->code;
}

int agent_parse(struct agent *a, const char *name, const char *text, size_t size,
                struct config *ret, struct error *err)
{
        _cleanup_findings_ struct findings findings = {};
        _cleanup_config_ struct config config = {};
        int r;

        r = config_load(name, text, size, &config, &findings, err);
        log_findings(a, &findings);
        if (r < 0)
                return explain(a, &findings, "config is not valid", err);
        if (config.has_nul)
                return error_set(err, -EINVAL, "%s: a string contains a NUL character", name);
        *ret = TAKE_STRUCT(config);
        return 0;
}

static bool experimental_allowed(const struct agent *a)
{
        _cleanup_free_ char *value = kernel_argument("ignition.experimental");

        return a->options.experimental || (value && !streq(value, "0"));
}

int source_load(struct agent *a, const struct config_text *text, struct config *ret_config,
                json_object **ret_tree, struct error *err)
{
        _cleanup_config_ struct config config = {};
        size_t number = strv_length(a->sources);
        int r;

        if (number >= REFERENCE_COUNT_MAX)
                return error_set(err, -ELOOP, "more than %d configurations", REFERENCE_COUNT_MAX);
        if (strv_extend(&a->sources, text->source) < 0)
                return error_oom(err);
        r = agent_parse(a, text->source, text->text, text->size, &config, err);
        if (r < 0)
                return error_prefix(err, r, "%.200s", text->source);
        if (config.minor == CONFIG_NEWEST_MINOR && !experimental_allowed(a))
                return error_set(err, -EOPNOTSUPP,
                                 "%.200s: version " CONFIG_NEWEST_VERSION
                                 " needs --experimental or ignition.experimental on the kernel "
                                 "command line",
                                 text->source);
        r = config_tree(&config, (unsigned)number, ret_tree, err);
        if (r >= 0)
                *ret_config = TAKE_STRUCT(config);
        return r;
}

int tree_merge(json_object **tree, json_object *child, struct error *err)
{
        json_object *merged;
        int r;

        if (!*tree) {
                *tree = child;
                return 0;
        }
        r = config_merge(*tree, child, &merged, err);
        json_object_put(child);
        if (r < 0)
                return r;
        json_object_put(*tree);
        *tree = merged;
        return 0;
}

/* ---- what the client needs to know ---- */

static const char *tree_text(json_object *tree)
{
        return json_object_to_json_string_ext(tree, JSON_C_TO_STRING_PLAIN |
                                                            JSON_C_TO_STRING_NOSLASHESCAPE);
}

/* {"ignition": …} without references, sharing the values. */
static json_object *settings_of(json_object *tree)
{
        json_object *settings = json_object_new_object(), *ignition = json_object_new_object();

        if (!settings || !ignition || json_object_object_add(settings, "ignition", ignition) < 0) {
                json_object_put(settings);
                return NULL;
        }
        json_object_object_foreach (json_member(tree, "ignition"), key, value)
                if (!streq(key, "config"))
                        json_object_object_add(ignition, key, json_object_get(value));
        return settings;
}

/* A dry run does without what is out of reach. */
static int excuse(struct agent *a, const struct reference_watch *watch, int code)
{
        if (!watch || code != FETCH_OFFLINE)
                return code;
        *a->setting = '\0';
        return 0;
}

/* Lends both to the agent for as long as something is done with them. */
static void lend(struct agent *a, const struct config *config, json_object *tree)
{
        a->config = config ? *config : (struct config){};
        a->tree = tree;
}

static int configure_with(struct resolver *r, json_object *settings, const char *text,
                          struct error *err)
{
        _cleanup_findings_ struct findings findings = {};
        _cleanup_config_ struct config config = {};
        int code;

        code = config_load("settings", text, strlen(text), &config, &findings, err);
        if (code < 0)
                return explain(r->agent, &findings, "merging configs resulted in an invalid config",
                               err);
        lend(r->agent, &config, settings);
        code = excuse(r->agent, r->watch, fetch_configure(r->agent, &config, err));
        lend(r->agent, NULL, NULL);
        return code;
}

/* The same settings again are no news: authorities are not fetched twice. */
static int configure(struct resolver *r, json_object *tree, struct error *err)
{
        _cleanup_tree_ json_object *settings = settings_of(tree);
        const char *text = settings ? tree_text(settings) : NULL;

        if (!text)
                return error_oom(err);
        if (r->settings && streq(r->settings, text))
                return 0;
        free(r->settings);
        r->settings = strdup(text);
        return r->settings ? configure_with(r, settings, text, err) : error_oom(err);
}

/* ---- references ---- */

static int render(struct resolver *r, const struct config_text *text, const struct chain *chain,
                  json_object *before, json_object **ret, struct error *err);

static int check_chain(const struct chain *chain, const char *source, struct error *err)
{
        if (chain->depth >= REFERENCE_DEPTH_MAX)
                return error_set(err, -ELOOP,
                                 "configurations refer to each other over more than %d "
                                 "steps",
                                 REFERENCE_DEPTH_MAX);
        for (const struct chain *c = chain; c; c = c->up)
                if (streq(c->source, source))
                        return error_set(err, -ELOOP,
                                         "configurations refer to each other in a "
                                         "circle: \"%.200s\" comes again",
                                         source);
        return 0;
}

/* What the original says of a fetched configuration: the path of its URL. */
static int note_fetched(struct agent *a, const char *url)
{
        const char *authority = strstr(url, "://");
        const char *path = authority ? strchr(authority + 3, '/') : NULL;
        _cleanup_free_ char *source = strndup(path ?: "", strcspn(path ?: "", "?#"));

        return source ? state_add_config(&a->state, "user", source, true) : -ENOMEM;
}

/* A name for people: a data: URL is its own content, and may be a secret. */
static char *name_of(const char *url)
{
        return startswith(url, "data:") ? strdup("data:") : strndup(url, strcspn(url, "?#"));
}

/* While the configuration is lent. */
static void tell(struct resolver *r, const struct resource *reference, const struct config *config,
                 int code)
{
        if (r->watch && (code >= 0 || code == FETCH_OFFLINE))
                r->watch->tried(r->watch, reference,
                                reference == &config->root.ignition.config.replace, code >= 0);
}

static int fetch_reference(struct resolver *r, const struct resource *reference,
                           const struct config *config, json_object *tree, struct config_text *ret,
                           struct error *err)
{
        int code;

        lend(r->agent, config, tree);
        code = resource_text(r->agent, reference, &ret->text, &ret->size, err);
        if (code == FETCH_NOT_FOUND)
                code = error_set(err, -ENOENT, "there is no such configuration (404)");
        if (code < 0 && code != FETCH_OFFLINE) {
                agent_setting(r->agent, reference->at, "source", code);
                error_prefix(err, code, "failed to fetch config");
        }
        tell(r, reference, config, code);
        lend(r->agent, NULL, NULL);
        if (code < 0)
                return code;
        ret->source = name_of(reference->source);
        if (!ret->source || note_fetched(r->agent, reference->source) < 0)
                return error_oom(err);
        log_line(&r->agent->log, LOG_INFO, "fetched referenced config from %s", ret->source);
        return 0;
}

/* Fetches what a configuration refers to and renders that. `before` is what lies under it. *ret is
 * NULL when a dry run cannot reach it. */
static int follow(struct resolver *r, const struct resource *reference, const struct config *config,
                  json_object *tree, const struct chain *chain, json_object *before,
                  json_object **ret, struct error *err)
{
        _cleanup_(config_text_done) struct config_text text = {};
        const struct chain next = { reference->source ?: "", chain, chain->depth + 1 };
        int code;

        code = check_chain(chain, next.source, err);
        if (code < 0) {
                lend(r->agent, config, tree);
                agent_setting(r->agent, reference->at, "source", code);
                lend(r->agent, NULL, NULL);
                return code;
        }
        *ret = NULL;
        code = fetch_reference(r, reference, config, tree, &text, err);
        if (code < 0)
                return excuse(r->agent, r->watch, code);
        return render(r, &text, &next, before, ret, err);
}

/* The client's settings are those of everything merged so far, whatever lies under it included. */
static int configure_over(struct resolver *r, json_object *before, json_object *tree,
                          struct error *err)
{
        _cleanup_tree_ json_object *all = json_object_get(before);
        int code = tree_merge(&all, json_object_get(tree), err);

        return code < 0 ? code : configure(r, all, err);
}

static int merge_references(struct resolver *r, const struct config *config, json_object *tree,
                            const struct chain *chain, json_object *before, json_object **ret,
                            struct error *err)
{
        _cleanup_tree_ json_object *merged = json_object_get(tree);

        CONFIG_FOREACH(struct resource, reference, &config->root.ignition.config.merge)
        {
                _cleanup_tree_ json_object *under = NULL;
                json_object *child;
                int code;

                code = configure_over(r, before, merged, err);
                if (code < 0)
                        return code;
                under = json_object_get(before);
                code = tree_merge(&under, json_object_get(merged), err);
                if (code >= 0)
                        code = follow(r, reference, config, tree, chain, under, &child, err);
                if (code >= 0 && child)
                        code = tree_merge(&merged, child, err);
                if (code < 0)
                        return code;
        }
        *ret = TAKE_PTR(merged);
        return 0;
}

static int render(struct resolver *r, const struct config_text *text, const struct chain *chain,
                  json_object *before, json_object **ret, struct error *err)
{
        _cleanup_config_ struct config config = {};
        _cleanup_tree_ json_object *tree = NULL;
        const struct resource *replace = &config.root.ignition.config.replace;
        int code;

        code = source_load(r->agent, text, &config, &tree, err);
        if (code < 0)
                return code;
        if (!replace->source)
                return merge_references(r, &config, tree, chain, before, ret, err);
        code = configure_over(r, before, tree, err);
        return code < 0 ? code : follow(r, replace, &config, tree, chain, NULL, ret, err);
}

/* ---- the whole ---- */

int agent_adopt(struct agent *a, json_object *tree, struct error *err)
{
        _cleanup_findings_ struct findings findings = {};
        const char *text = tree_text(tree);
        int r;

        if (!text)
                return error_oom(err);
        config_done(&a->config);
        r = config_load("merged", text, strlen(text), &a->config, &findings, err);
        json_object_get(tree);
        json_object_put(a->tree);
        a->tree = tree;
        if (r >= 0)
                return fetch_configure(a, &a->config, err);
        explain(a, &findings, "merging configs resulted in an invalid config", err);
        return agent_place_setting(a, r);
}

static int resolve_user(struct agent *a, const struct config_text *user,
                        struct reference_watch *watch, json_object **ret, struct error *err)
{
        struct resolver r = { .agent = a, .watch = watch };
        const struct chain top = { user->source, NULL, 0 };
        int code = render(&r, user, &top, NULL, ret, err);

        free(r.settings);
        return code;
}

static json_object *empty_tree(void)
{
        return json_tokener_parse("{\"ignition\":{\"version\":\"" CONFIG_NEWEST_VERSION "\"}}");
}

static int resolve(struct agent *a, const struct config_text *user, struct reference_watch *watch,
                   struct error *err)
{
        _cleanup_tree_ json_object *tree = NULL;
        json_object *base = NULL;
        int r = 0;

        if (user->size > 0)
                r = resolve_user(a, user, watch, &tree, err);
        if (r < 0)
                return r;
        if (!tree)
                tree = empty_tree();
        if (!tree)
                return error_oom(err);
        r = base_config_load(a, &base, err);
        if (r >= 0 && base) {
                r = tree_merge(&base, TAKE_PTR(tree), err);
                tree = base;
        }
        return r < 0 ? r : excuse(a, watch, agent_adopt(a, tree, err));
}

int agent_resolve(struct agent *a, const struct config_text *user, struct error *err)
{
        return resolve(a, user, NULL, err);
}

int agent_preview(struct agent *a, const struct config_text *user, struct reference_watch *watch,
                  struct error *err)
{
        a->offline = true;
        return resolve(a, user, watch, err);
}
