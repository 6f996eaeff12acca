/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See report.h. Keys stand in a fixed order and lists in the order of their sources, which is
 * sorted, so the text is a function of the build's inputs. */

#include <fcntl.h>

#include "io.h"
#include "output.h"
#include "report.h"
#include "strv.h"

static void put_string(json_object *object, const char *key, const char *value)
{
        json_object_object_add(object, key, json_object_new_string(value ?: ""));
}

static void put_number(json_object *object, const char *key, uint64_t value)
{
        json_object_object_add(object, key, json_object_new_uint64(value));
}

static void put_digest(json_object *object, const char *key, const struct sha256 *digest)
{
        char hex[SHA256_HEX_SIZE];

        put_string(object, key, sha256_hex(digest, hex));
}

static json_object *put_list(json_object *object, const char *key)
{
        json_object *list = json_object_new_array();

        json_object_object_add(object, key, list);
        return list;
}

static json_object *add_item(json_object *list)
{
        json_object *item = json_object_new_object();

        json_object_array_add(list, item);
        return item;
}

static void put_packages(json_object *root, const struct package_set *set)
{
        json_object *list = put_list(root, "packages");

        for (size_t i = 0; i < set->count; i++) {
                const struct package *p = &set->items[i];
                json_object *item = add_item(list);

                put_string(item, "name", p->name);
                put_string(item, "version", p->version);
                put_string(item, "architecture", p->architecture);
                put_string(item, "repository", p->repository);
                put_digest(item, "sha256", &p->sha256);
        }
}

static void put_findings(json_object *root, const struct merge_result *merge)
{
        json_object *list = put_list(root, "notCovered");

        for (size_t i = 0; i < merge->findings.count; i++) {
                json_object *item = add_item(list);

                put_string(item, "subject", merge->findings.items[i].subject);
                put_string(item, "reason", merge->findings.items[i].reason);
        }
}

static void put_ids(json_object *root, const char *key, const struct id_allocation *items,
                    size_t count)
{
        json_object *object = json_object_new_object();

        for (size_t i = 0; i < count; i++)
                put_number(object, items[i].name, items[i].id);
        json_object_object_add(root, key, object);
}

/* A disk of holes has no plain digest: reading gigabytes of zeros would take longer than the build.
 */
static const char *digest_key(const char *name)
{
        return output_sparse(name) ? "sparseSha256" : "sha256";
}

static void put_artifacts(json_object *root, const struct composition *c)
{
        json_object *list = put_list(root, "artifacts");

        for (size_t i = 0; i < c->artifacts.count; i++) {
                json_object *item = add_item(list);

                put_string(item, "name", c->artifacts.items[i].name);
                put_number(item, "size", c->artifacts.items[i].size);
                put_digest(item, digest_key(c->artifacts.items[i].name),
                           &c->artifacts.items[i].sha256);
        }
}

/* What PCR 11 holds after each phase of a boot, for whoever attests a machine. */
static void put_pcr(json_object *root, const struct pcr_prediction *pcr)
{
        json_object *object = json_object_new_object();

        for (enum pcr_phase p = 0; p < _PCR_PHASE_MAX; p++)
                put_digest(object, pcr_phase_path(p), &pcr->values[p]);
        json_object_object_add(root, "pcr11", object);
}

static json_object *describe(const struct manifest *m, const struct composition *c)
{
        json_object *root = json_object_new_object();
        json_object *warnings;

        put_string(root, "image", m->name);
        put_string(root, "version", m->version);
        put_string(root, "architecture", m->architecture);
        put_string(root, "slipway", SLIPWAY_VERSION);
        put_number(root, "epoch", c->epoch);
        put_digest(root, "key", &c->key);
        put_digest(root, "commit", &c->commit);
        put_digest(root, "rootHash", &c->root_hash);
        put_number(root, "usrSize", c->usr_size);
        put_number(root, "hashTreeSize", c->tree_size);
        put_number(root, "initrdSize", c->initrd_size);
        put_number(root, "ukiSize", c->uki_size);
        put_pcr(root, &c->pcr);
        put_artifacts(root, c);
        json_object_object_add(root, "layout", layout_json(&c->layout));
        put_packages(root, &c->packages);
        put_ids(root, "users", c->merge.users.items, c->merge.users.count);
        put_ids(root, "groups", c->merge.groups.items, c->merge.groups.count);
        put_findings(root, &c->merge);
        warnings = put_list(root, "warnings");
        STRV_FOREACH (warning, c->packages.warnings)
                json_object_array_add(warnings, json_object_new_string(*warning));
        return root;
}

int report_text(const struct manifest *m, const struct composition *c, char **ret,
                struct error *err)
{
        json_object *root = describe(m, c);
        const char *text = json_object_to_json_string_ext(
                root, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE);
        char *copy = NULL;

        if (!text || asprintf(&copy, "%s\n", text) < 0)
                copy = NULL;
        json_object_put(root);
        if (!copy)
                return error_oom(err);
        *ret = copy;
        return 0;
}

/* ---- reading ---- */

static int get_string(const struct json_document *d, json_object *object, const char *key,
                      char **ret, struct error *err)
{
        json_object *value = json_object_object_get(object, key);

        return field_string(d, value, &(struct field){ .key = key }, ret, err);
}

static int get_number(const struct json_document *d, json_object *object, const char *key,
                      uint64_t *ret, struct error *err)
{
        json_object *value = json_object_object_get(object, key);

        return field_uint(d, value, &(struct field){ .key = key }, ret, err);
}

static int get_digest(const struct json_document *d, json_object *object, const char *key,
                      struct sha256 *ret, struct error *err)
{
        json_object *value = json_object_object_get(object, key);

        return field_digest(d, value, &(struct field){ .key = key }, ret, err);
}

static int get_artifact(const struct json_document *d, json_object *item, struct artifact *a,
                        struct error *err)
{
        int r;

        r = get_string(d, item, "name", &a->name, err);
        if (r >= 0 && strchr(a->name, '/'))
                r = json_error(d, item, err, -EINVAL, "bad artifact name '%s'", a->name);
        if (r >= 0)
                r = get_number(d, item, "size", &a->size, err);
        return r < 0 ? r : get_digest(d, item, digest_key(a->name), &a->sha256, err);
}

static int get_artifacts(const struct json_document *d, struct report_summary *s, struct error *err)
{
        json_object *list = json_object_object_get(d->root, "artifacts");
        size_t n;
        int r = 0;

        if (!json_object_is_type(list, json_type_array))
                return json_error(d, d->root, err, -EINVAL, "no list of artifacts");
        n = json_object_array_length(list);
        s->artifacts.items = calloc(MAX(n, (size_t)1), sizeof(struct artifact));
        if (!s->artifacts.items)
                return error_oom(err);
        for (size_t i = 0; r >= 0 && i < n; i++) {
                s->artifacts.count = i + 1;
                r = get_artifact(d, json_object_array_get_idx(list, i), &s->artifacts.items[i],
                                 err);
        }
        return r;
}

static int get_summary(const struct json_document *d, struct report_summary *s, struct error *err)
{
        int r;

        if (!json_object_is_type(d->root, json_type_object))
                return json_error(d, d->root, err, -EINVAL, "not a report");
        r = get_string(d, d->root, "image", &s->image, err);
        if (r >= 0)
                r = get_string(d, d->root, "version", &s->version, err);
        if (r >= 0)
                r = get_string(d, d->root, "architecture", &s->architecture, err);
        if (r >= 0)
                r = get_digest(d, d->root, "commit", &s->commit, err);
        if (r >= 0)
                r = get_digest(d, d->root, "rootHash", &s->root_hash, err);
        if (r >= 0)
                r = get_number(d, d->root, "usrSize", &s->usr_size, err);
        if (r >= 0)
                r = get_number(d, d->root, "hashTreeSize", &s->tree_size, err);
        return r < 0 ? r : get_artifacts(d, s, err);
}

static int find_report(const char *directory, char **ret, struct error *err)
{
        _cleanup_closedir_ DIR *dir = opendir(directory);
        _cleanup_free_ char *found = NULL;
        struct dirent *entry;

        if (!dir)
                return error_errno(err, "%s", directory);
        while ((entry = readdir(dir))) {
                if (entry->d_name[0] == '.' || !endswith(entry->d_name, ".report.json"))
                        continue;
                if (found)
                        return error_set(err, -EINVAL, "%s: more than one report", directory);
                found = string_format("%s/%s", directory, entry->d_name);
                if (!found)
                        return error_oom(err);
        }
        if (!found)
                return error_set(err, -ENOENT, "%s: no *.report.json: not the output of a build",
                                 directory);
        *ret = TAKE_PTR(found);
        return 0;
}

int report_load(const char *directory, struct report_summary *ret, struct error *err)
{
        _cleanup_report_summary_ struct report_summary s = {};
        _cleanup_json_ struct json_document d = {};
        _cleanup_free_ char *path = NULL;
        int r;

        r = find_report(directory, &path, err);
        if (r >= 0)
                r = json_load_file(AT_FDCWD, path, &d, err);
        if (r >= 0)
                r = get_summary(&d, &s, err);
        if (r < 0)
                return r;
        *ret = TAKE_STRUCT(s);
        return 0;
}

void report_summary_done(struct report_summary *s)
{
        free(s->image);
        free(s->version);
        free(s->architecture);
        for (size_t i = 0; i < s->artifacts.count; i++)
                free(s->artifacts.items[i].name);
        free(s->artifacts.items);
        memset(s, 0, sizeof(*s));
}
