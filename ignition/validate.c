/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The rules about resources, nodes, units and the tree as a whole; those about disks are in
 * validate-devices.c. Messages are the original's. */

#include "data-url.h"
#include "fields.h"
#include "unit-syntax.h"
#include "url.h"

static const struct {
        const char *name;
        unsigned since;
} schemes[] = {
        { "http", 0 }, { "https", 0 }, { "tftp", 0 }, { "s3", 0 },
        { "data", 0 }, { "gs", 2 },    { "arn", 4 },
};

#define ERROR(c, at, key, ...)   findings_add((c)->findings, FINDING_ERROR, at, key, __VA_ARGS__)
#define WARNING(c, at, key, ...) findings_add((c)->findings, FINDING_WARNING, at, key, __VA_ARGS__)

/* ---- resources ---- */

static bool scheme_allowed(const char *scheme, unsigned minor)
{
        for (size_t i = 0; i < ARRAY_SIZE(schemes); i++)
                if (streq(schemes[i].name, scheme))
                        return schemes[i].since <= minor;
        return false;
}

/* A pair of a query, as Go reads it: what has a ';' or a bad escape is passed over. */
static bool is_version_id(const char *pair, size_t size, bool *ret_empty)
{
        _cleanup_free_ char *key = strndup(pair, size);
        char *value = key ? strchr(key, '=') : NULL;

        if (!key || strchr(key, ';'))
                return false;
        if (value)
                *value++ = '\0';
        if (!url_unescape(key) || (value && !url_unescape(value)))
                return false;
        *ret_empty = string_is_empty(value);
        return streq(key, "versionId");
}

/* The first versionId in the query of an s3 or arn URL must not be empty. */
static bool version_id_valid(const char *url)
{
        const char *pair = url + strcspn(url, "?#");

        while (*pair == '?' || *pair == '&') {
                size_t n = strcspn(++pair, "&#");
                bool empty;

                if (is_version_id(pair, n, &empty))
                        return !empty;
                pair += n;
        }
        return true;
}

/* arn:PARTITION:s3:REGION:ACCOUNT:BUCKET/KEY, or …:accesspoint/NAME/…; slashes count wherever they
 * stand. */
static bool arn_valid(const char *url)
{
        const char *part = url, *end = url + strcspn(url, "?#"), *service = NULL;
        size_t slashes = 0;

        for (unsigned i = 1; i <= 5; i++) {
                part = memchr(part, ':', (size_t)(end - part));
                if (!part)
                        return false;
                part++;
                service = i == 2 ? part : service;
        }
        for (const char *s = url; s < end; s++)
                slashes += *s == '/';
        return !startswith(url + strlen("arn:"), "/") && startswith(service, "s3:") &&
               slashes >= (startswith(part, "accesspoint/") ? 2 : 1);
}

/* 0 or an error: what is wrong with a URL. No URL is right. */
static int check_source(const struct check *c, const char *url, struct error *err)
{
        _cleanup_free_ char *data = NULL;
        char scheme[URL_SCHEME_MAX];
        size_t size;

        if (string_is_empty(url))
                return 0;
        if (url_scheme(url, scheme) < 0)
                return error_set(err, -EINVAL, "unable to parse url");
        if (!scheme_allowed(scheme, c->minor))
                return error_set(err, -EINVAL, "invalid url scheme");
        if (streq(scheme, "data"))
                return data_url_decode(url, &data, &size, err);
        if (streq(scheme, "arn") && !arn_valid(url))
                return error_set(err, -EINVAL, "invalid S3 ARN format");
        if ((streq(scheme, "s3") || streq(scheme, "arn")) && !version_id_valid(url))
                return error_set(err, -EINVAL, "invalid S3 object VersionId");
        return 0;
}

bool source_valid(const struct check *c, const struct resource *r)
{
        struct error ignored;

        return check_source(c, r->source, &ignored) == 0;
}

static void validate_headers(const struct check *c, const struct resource *r)
{
        char scheme[URL_SCHEME_MAX];

        if (r->headers.count == 0)
                return;
        if (string_is_empty(r->source) || url_scheme(r->source, scheme) < 0)
                ERROR(c, r->at, "httpHeaders", "unable to parse url");
        else if (!streq(scheme, "http") && !streq(scheme, "https"))
                ERROR(c, r->at, "httpHeaders", "cannot use HTTP headers with this source scheme");
}

static void check_resource(const struct check *c, const struct resource *r, bool hash_alone)
{
        struct error err;

        if (check_source(c, r->source, &err) < 0)
                ERROR(c, r->at, "source", "%s", err.message);
        if (!string_is_empty(r->compression) && !streq(r->compression, "gzip"))
                ERROR(c, r->at, "compression", "invalid compression method");
        if (r->verification.hash && !r->source && !hash_alone)
                ERROR(c, r->verification.at, "hash",
                      "source must be specified if verification is specified");
        validate_headers(c, r);
}

void validate_resource(const struct check *c, const void *object)
{
        check_resource(c, object, false);
}

void validate_reference(const struct check *c, const void *object)
{
        check_resource(c, object, c->minor == 0);
}

/* The original looks at the source a second time here, and so says the same again. */
static void validate_required_source(const struct check *c, const struct resource *r)
{
        struct error err;

        if (string_is_empty(r->source))
                ERROR(c, r->at, NULL, "source is required");
        else if (check_source(c, r->source, &err) < 0)
                ERROR(c, r->at, NULL, "%s", err.message);
}

/* In 3.0 a configuration without source is valid here, and an error when it is fetched. */
void validate_merged_reference(const struct check *c, const void *object)
{
        validate_reference(c, object);
        if (c->minor >= 1)
                validate_required_source(c, object);
}

void validate_authority(const struct check *c, const void *object)
{
        const struct resource *r = object;

        validate_reference(c, object);
        if (c->minor >= 1)
                validate_required_source(c, object);
        else if (string_is_empty(r->source))
                ERROR(c, r->at, "source", "invalid url scheme");
}

void validate_header(const struct check *c, const void *object)
{
        const struct http_header *h = object;

        if (string_is_empty(h->name))
                ERROR(c, h->at, "name", "HTTP header name can't be empty");
        if (h->value && !*h->value)
                ERROR(c, h->at, "value", "unable to parse HTTP header");
}

void validate_verification(const struct check *c, const void *object)
{
        const struct verification *v = object;
        const char *dash = v->hash ? strchr(v->hash, '-') : NULL;
        size_t want;

        if (!v->hash)
                return;
        if (!dash) {
                ERROR(c, v->at, "hash", "malformed hash specifier");
                return;
        }
        want = startswith(v->hash, "sha512-")                    ? 128
               : startswith(v->hash, "sha256-") && c->minor >= 1 ? 64
                                                                 : 0;
        if (want == 0)
                ERROR(c, v->at, "hash", "unrecognized hash function");
        else if (strlen(dash + 1) != want)
                ERROR(c, v->at, "hash", "incorrect size for hash sum");
}

static void validate_proxy_url(const struct check *c, json_object *at, const char *key,
                               const char *url)
{
        char scheme[URL_SCHEME_MAX];

        if (!url)
                return;
        if (url_scheme(url, scheme) < 0)
                ERROR(c, at, key, "unable to parse url");
        else if (!streq(scheme, "http") && !streq(scheme, "https"))
                ERROR(c, at, key, "proxies must be http(s)");
        else if (streq(key, "httpsProxy") && streq(scheme, "http"))
                WARNING(c, at, key, "insecure plaintext HTTP proxy specified for HTTPS resources");
}

void validate_proxy(const struct check *c, const void *object)
{
        const __typeof__(((struct config_tree *)NULL)->proxy) *p = object;

        validate_proxy_url(c, p->at, "httpProxy", p->http);
        validate_proxy_url(c, p->at, "httpsProxy", p->https);
}

/* ---- nodes ---- */

void validate_owner(const struct check *c, const void *object)
{
        const struct owner *o = object;

        if (o->id.set && !string_is_empty(o->name))
                ERROR(c, o->at, NULL, "cannot set both id and name");
}

bool path_is_simple(const char *path)
{
        if (streq(path, "/"))
                return true;
        while (*path == '/') {
                size_t n = strcspn(++path, "/");

                if (n == 0 || (n == 1 && path[0] == '.') || (n == 2 && strncmp(path, "..", 2) == 0))
                        return false;
                path += n;
        }
        return true;
}

void validate_path(const struct check *c, json_object *at, const char *key, const char *path,
                   const char *missing)
{
        if (string_is_empty(path))
                ERROR(c, at, key, "%s", missing);
        else if (*path != '/')
                ERROR(c, at, key, "path not absolute");
        else if (!path_is_simple(path))
                ERROR(c, at, key, "path is not fully simplified");
}

static void validate_node(const struct check *c, const struct node *node)
{
        validate_path(c, node->at, "path", node->path, "path not specified");
}

static void validate_mode(const struct check *c, json_object *at, const struct config_int *mode)
{
        if (!mode->set)
                return;
        if (mode->value < 0 || mode->value > 07777)
                ERROR(c, at, "mode", "illegal file mode");
        if ((mode->value & 07000) && c->minor < 6)
                WARNING(c, at, "mode",
                        "setuid/setgid/sticky bits are not supported in spec versions older than "
                        "3.6.0");
}

void validate_file(const struct check *c, const void *object)
{
        const struct file *f = object;

        validate_node(c, &f->node);
        validate_mode(c, f->node.at, &f->mode);
        if (config_is_true(&f->node.overwrite) && !f->contents.source)
                ERROR(c, f->node.at, "overwrite",
                      "overwrite must be false if source is unspecified");
}

void validate_directory(const struct check *c, const void *object)
{
        const struct directory *d = object;

        validate_node(c, &d->node);
        validate_mode(c, d->node.at, &d->mode);
}

static void warn_owner(const struct check *c, const struct owner *o)
{
        if (o->id.set)
                WARNING(c, o->at, "id", "user/group ignored for hard link");
        if (o->name)
                WARNING(c, o->at, "name", "user/group ignored for hard link");
}

void validate_link(const struct check *c, const void *object)
{
        const struct link *l = object;

        validate_node(c, &l->node);
        if (string_is_empty(l->target) && c->minor >= 3)
                ERROR(c, l->node.at, "target", "link target is required");
        if (!config_is_true(&l->hard))
                return;
        warn_owner(c, &l->node.user);
        warn_owner(c, &l->node.group);
}

/* ---- units ---- */

static bool has_suffix_of(const char *name, const char *const *suffixes)
{
        for (; *suffixes; suffixes++)
                if (endswith(name, *suffixes))
                        return true;
        return false;
}

static void validate_contents(const struct check *c, json_object *at, const char *contents,
                              bool *ret_install)
{
        struct error err = {};

        if (contents && unit_syntax_check(contents, ret_install, &err) < 0)
                ERROR(c, at, "contents", "invalid unit content: %s", err.message);
}

void validate_unit(const struct check *c, const void *object)
{
        static const char *const suffixes[] = { ".service",   ".socket",   ".device", ".mount",
                                                ".automount", ".swap",     ".target", ".path",
                                                ".timer",     ".snapshot", ".slice",  ".scope",
                                                NULL };
        const struct unit *u = object;
        bool install = true;

        if (!u->name || !has_suffix_of(u->name, suffixes))
                ERROR(c, u->at, "name", "invalid systemd unit extension");
        validate_contents(c, u->at, u->contents, &install);
        if (config_is_true(&u->enabled) && !string_is_empty(u->contents) && !install)
                WARNING(c, u->at, "contents",
                        "unit \"%s\" is enabled, but has no install section so enable does nothing",
                        u->name ?: "");
}

void validate_dropin(const struct check *c, const void *object)
{
        const struct dropin *d = object;

        if (!d->name || !endswith(d->name, ".conf"))
                ERROR(c, d->at, "name", "invalid systemd drop-in extension");
        validate_contents(c, d->at, d->contents, NULL);
}

static void validate_instance(const struct check *c, const struct config_list *units,
                              const struct unit *instance, const char *template_name)
{
        CONFIG_FOREACH(struct unit, u, units)
        {
                struct error ignored;
                bool install = true;

                if (!u->name || !streq(u->name, template_name) || string_is_empty(u->contents))
                        continue;
                if (unit_syntax_check(u->contents, &install, &ignored) == 0 && !install)
                        WARNING(c, instance->at, "contents",
                                "template unit \"%s\" for \"%s\" doesn't have Install section",
                                u->name, instance->name);
                return;
        }
}

void validate_systemd(const struct check *c, const void *object)
{
        const __typeof__(((struct config_root *)NULL)->systemd) *s = object;
        char name[256];

        CONFIG_FOREACH(struct unit, u, &s->units)
        if (config_is_true(&u->enabled) && u->name && unit_template(u->name, name, sizeof(name)))
                validate_instance(c, &s->units, u, name);
}

/* ---- the tree ---- */

/* The paths of all links (set to the link) or of all units and drop-ins with contents. */
static json_object *link_paths(const struct config_root *root)
{
        json_object *set = json_object_new_object();

        CONFIG_FOREACH(struct link, l, &root->storage.links)
        json_object_object_add(set, l->node.path ?: "", NULL);
        return set;
}

static void add_unit_path(json_object *set, const char *name, const char *dropin)
{
        _cleanup_free_ char *path = NULL;

        if (asprintf(&path, "/etc/systemd/system/%s%s%s", name, dropin ? ".d/" : "", dropin ?: "") <
            0)
                path = NULL;
        if (path)
                json_object_object_add(set, path, NULL);
}

static json_object *unit_paths(const struct config_root *root)
{
        json_object *set = json_object_new_object();

        CONFIG_FOREACH(struct unit, u, &root->systemd.units)
        {
                if (u->name && !string_is_empty(u->contents))
                        add_unit_path(set, u->name, NULL);
                CONFIG_FOREACH(struct dropin, d, &u->dropins)
                if (u->name && d->name && !string_is_empty(d->contents))
                        add_unit_path(set, u->name, d->name);
        }
        return set;
}

/* A link deeper than a path can be is not looked for: of a long path that would take very long. */
static bool below_any(json_object *set, const char *path)
{
        char parent[4096];

        snprintf(parent, sizeof(parent), "%s", path);
        for (char *slash; (slash = strrchr(parent, '/')) && slash > parent;) {
                *slash = '\0';
                if (json_object_object_get_ex(set, parent, NULL))
                        return true;
        }
        return *path == '/' && json_object_object_get_ex(set, "", NULL);
}

struct path_sets {
        json_object *links, *units;
};

static void path_sets_done(struct path_sets *sets)
{
        json_object_put(sets->links);
        json_object_put(sets->units);
}

static void validate_placement(const struct check *c, const struct path_sets *sets,
                               const struct node *node, const char *kind)
{
        if (!node->path)
                return;
        if (below_any(sets->links, node->path))
                ERROR(c, node->at, NULL, "%s path includes link in config", kind);
        if (json_object_object_get_ex(sets->units, node->path, NULL))
                ERROR(c, node->at, "path", "path conflicts with systemd unit or dropin");
}

/* An absolute path without empty components, "." and "..". */
static char *simplified(const char *path)
{
        char *simple = malloc(strlen(path) + 2), *end = simple;

        while (simple && *path) {
                size_t n = strcspn(++path, "/");

                if (n == 2 && strncmp(path, "..", 2) == 0) {
                        while (end > simple && *--end != '/')
                                ;
                } else if (n > 0 && !(n == 1 && *path == '.')) {
                        *end++ = '/';
                        end = mempcpy(end, path, n);
                }
                path += n;
        }
        if (simple)
                strcpy(end, end == simple ? "/" : "");
        return simple;
}

/* A relative target is joined to the link's own path, as the original does. */
static void validate_hard_link(const struct check *c, const struct storage *s,
                               const struct link *link)
{
        _cleanup_free_ char *whole = NULL, *target = NULL;
        const char *from = link->node.path ?: "";

        if (!config_is_true(&link->hard) || !link->target)
                return;
        if (*link->target == '/')
                from = "";
        else if (*from != '/')
                return;
        whole = string_format("%s/%s", from, link->target);
        target = whole ? simplified(whole) : NULL;
        CONFIG_FOREACH(struct directory, d, &s->directories)
        if (d->node.path && target && streq(d->node.path, target))
                ERROR(c, link->node.at, NULL, "hard link target is a directory");
}

void validate_root(const struct check *c, const void *object)
{
        const struct config_root *root = object;
        _cleanup_(path_sets_done) struct path_sets sets = { link_paths(root), unit_paths(root) };

        CONFIG_FOREACH(struct file, f, &root->storage.files)
        validate_placement(c, &sets, &f->node, "file");
        CONFIG_FOREACH(struct directory, d, &root->storage.directories)
        validate_placement(c, &sets, &d->node, "directory");
        CONFIG_FOREACH(struct link, l, &root->storage.links)
        {
                validate_placement(c, &sets, &l->node, "link");
                validate_hard_link(c, &root->storage, l);
        }
}
