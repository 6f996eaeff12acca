/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The rules about disks, partitions, RAID, file systems and LUKS. Messages are the original's. */

#include "data-url.h"
#include "fields.h"
#include "uuid.h"

#define ERROR(c, at, key, ...)   findings_add((c)->findings, FINDING_ERROR, at, key, __VA_ARGS__)
#define WARNING(c, at, key, ...) findings_add((c)->findings, FINDING_WARNING, at, key, __VA_ARGS__)

static bool one_of(const char *s, const char *const *names)
{
        for (; *names; names++)
                if (streq(s, *names))
                        return true;
        return false;
}

/* ---- disks ---- */

void partition_identify(const void *object, char *ret, size_t size)
{
        const struct partition *p = object;

        if (p->number.set && p->number.value != 0)
                snprintf(ret, size, "number:%jd", (intmax_t)p->number.value);
        else
                snprintf(ret, size, "%s%s", p->label ? "label:" : "", p->label ?: "");
}

static void validate_guid(const struct check *c, const struct partition *p, const char *key,
                          const char *guid)
{
        struct uuid uuid;

        if (!string_is_empty(guid) && uuid_parse(guid, &uuid) < 0)
                ERROR(c, p->at, key,
                      "doesn't match the form \"01234567-89AB-CDEF-EDCB-A98765432101\"");
}

void validate_partition(const struct check *c, const void *object)
{
        const struct partition *p = object;
        bool others = p->label || !string_is_empty(p->type_guid) || !string_is_empty(p->guid) ||
                      p->start_mib.set || p->size_mib.set;

        if (config_is_false(&p->should_exist) && others)
                ERROR(c, p->at, NULL,
                      "shouldExist specified false with other options also specified");
        if (p->number.value == 0 && !p->label)
                ERROR(c, p->at, NULL, "a partition number >= 1 or a label must be specified");
        if (p->label && strlen(p->label) > 36)
                ERROR(c, p->at, "label", "partition labels may not exceed 36 characters");
        if (p->label && strchr(p->label, ':'))
                ERROR(c, p->at, "label",
                      "partition label will be truncated to text before the colon");
        validate_guid(c, p, "typeGuid", p->type_guid);
        validate_guid(c, p, "guid", p->guid);
}

static bool numbers_collide(const struct partition *a, const struct partition *b)
{
        return a->number.value != 0 && a->number.value == b->number.value;
}

static bool labels_collide(const struct partition *a, const struct partition *b)
{
        return a->label && b->label && streq(a->label, b->label);
}

/* A start of 0 is where there is room. */
static bool has_place(const struct partition *p)
{
        return p->start_mib.set && p->size_mib.set && p->start_mib.value != 0;
}

/* Its last MiB; of a size of 0, which takes all there is, its first. Wraps as the original's does.
 */
static int64_t last_mib(const struct partition *p)
{
        uint64_t size = (uint64_t)p->size_mib.value;

        return (int64_t)((uint64_t)p->start_mib.value + (size ? size - 1 : 0));
}

/* To the letter, for sizes that are none. */
static bool reaches_into(const struct partition *p, const struct partition *o)
{
        int64_t from = p->start_mib.value, to = last_mib(p);
        int64_t first = o->start_mib.value, last = last_mib(o);

        return (from >= first && from <= last) || (to >= first && to <= last) ||
               (from < first && to > last);
}

static bool partitions_overlap(const struct partition *a, const struct partition *b)
{
        return has_place(a) && has_place(b) && (reaches_into(a, b) || reaches_into(b, a));
}

static void validate_pairs(const struct check *c, const struct disk *d, const struct partition *b)
{
        static const struct {
                bool (*found)(const struct partition *, const struct partition *);
                const char *text;
        } rules[] = {
                { numbers_collide, "partition numbers collide" },
                { labels_collide, "cannot use the same partition label twice" },
                { partitions_overlap, "partitions overlap" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
                const struct partition *a = d->partitions.items;

                while (a < b && !rules[i].found(a, b))
                        a++;
                if (a < b)
                        ERROR(c, b->at, NULL, "%s", rules[i].text);
        }
}

/* Which partition has to go is not known before those without a number have one. */
static void validate_removal(const struct check *c, const struct disk *d)
{
        bool unnumbered = false, removed = false;

        CONFIG_FOREACH(struct partition, p, &d->partitions)
        {
                unnumbered = unnumbered || p->number.value == 0;
                removed = removed || config_is_false(&p->should_exist);
        }
        if (unnumbered && removed)
                ERROR(c, d->at, "partitions",
                      "shouldExist is false for a partition and other partition(s) has start or size 0");
}

enum { PARTITIONS_MAX = 1024 }; /* pairs are compared; a GPT has 128 entries */

void validate_disk(const struct check *c, const void *object)
{
        const struct disk *d = object;

        validate_path(c, d->at, "device", d->device, "disk device is required");
        if (string_is_empty(d->device))
                return;
        if (d->partitions.count > PARTITIONS_MAX) {
                ERROR(c, d->at, "partitions", "more than %d partitions", PARTITIONS_MAX);
                return;
        }
        CONFIG_FOREACH(struct partition, p, &d->partitions)
        validate_pairs(c, d, p);
        validate_removal(c, d);
}

/* ---- RAID ---- */

void validate_raid(const struct check *c, const void *object)
{
        static const char *const levels[] = { "linear", "raid0",  "0",  "stripe", "raid1", "1",
                                              "mirror", "raid4",  "4",  "raid5",  "5",     "raid6",
                                              "6",      "raid10", "10", NULL };
        static const char *const spareless[] = { "linear", "raid0", "0", "stripe", NULL };
        const struct raid *r = object;
        json_object *devices = json_member(r->at, "devices");
        char index[24];

        if (string_is_empty(r->level))
                ERROR(c, r->at, "level", "raid level is required");
        else if (!one_of(r->level, levels))
                ERROR(c, r->at, "level", "unrecognized raid level");
        else if (r->spares.value != 0 && one_of(r->level, spareless))
                ERROR(c, r->at, "level", "spares unsupported for linear and raid0 arrays");
        if (r->devices.count == 0)
                ERROR(c, r->at, "devices", "raid devices required");
        for (size_t i = 0; i < r->devices.count; i++) {
                snprintf(index, sizeof(index), "%zu", i);
                validate_path(c, devices, index, r->devices.items[i], "path not specified");
        }
}

/* ---- file systems ---- */

static const struct {
        const char *name;
        unsigned since;
        size_t label_max; /* 0: not checked */
} formats[] = {
        { "ext4", 0, 16 }, { "btrfs", 0, 256 }, { "xfs", 0, 12 },     { "swap", 0, 15 },
        { "vfat", 0, 11 }, { "none", 3, 0 },    { "virtiofs", 7, 0 },
};

enum { VIRTIOFS_TAG_MAX = 36 };

static void validate_format(const struct check *c, const struct filesystem *f)
{
        bool others = !string_is_empty(f->path) || !string_is_empty(f->label) ||
                      !string_is_empty(f->uuid) || config_is_true(&f->wipe) ||
                      f->options.count > 0 || f->mount_options.count > 0;

        if (string_is_empty(f->format)) {
                if (others)
                        ERROR(c, f->at, "format",
                              "format cannot be empty when path, label, uuid, wipeFilesystem, "
                              "options, or mountOptions is specified");
                if (!string_is_empty(f->label))
                        ERROR(c, f->at, "label",
                              "filesystem must specify format if label is specified");
                return;
        }
        for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
                if (!streq(formats[i].name, f->format) || formats[i].since > c->minor)
                        continue;
                if (f->label && formats[i].label_max && strlen(f->label) > formats[i].label_max)
                        ERROR(c, f->at, "label",
                              "filesystem labels cannot be longer than %zu "
                              "characters when using %s",
                              formats[i].label_max, f->format);
                return;
        }
        ERROR(c, f->at, "format", "invalid filesystem format");
}

/* Nothing is made there: the "device" is the tag under which the host shares a directory. */
static void validate_virtiofs(const struct check *c, const struct filesystem *f)
{
        if (string_is_empty(f->device))
                ERROR(c, f->at, "device", "device is required");
        else if (strlen(f->device) > VIRTIOFS_TAG_MAX)
                ERROR(c, f->at, "device", "virtiofs tags cannot be longer than %d characters",
                      VIRTIOFS_TAG_MAX);
        if (!string_is_empty(f->label))
                ERROR(c, f->at, "label", "virtiofs does not support label");
        if (!string_is_empty(f->uuid))
                ERROR(c, f->at, "uuid", "virtiofs does not support uuid");
        if (config_is_true(&f->wipe))
                ERROR(c, f->at, "wipeFilesystem", "virtiofs does not support wipeFilesystem");
        if (f->options.count > 0)
                ERROR(c, f->at, "options", "virtiofs does not support options");
}

void validate_filesystem(const struct check *c, const void *object)
{
        const struct filesystem *f = object;

        if (c->minor >= 7 && f->format && streq(f->format, "virtiofs"))
                validate_virtiofs(c, f);
        else
                validate_path(c, f->at, "device", f->device, "path not specified");
        if (!string_is_empty(f->path))
                validate_path(c, f->at, "path", f->path, "path not specified");
        validate_format(c, f);
}

/* A file system on a whole disk that is also partitioned deserves a word. */
void validate_storage(const struct check *c, const void *object)
{
        const struct storage *s = object;

        CONFIG_FOREACH(struct filesystem, f, &s->filesystems)
        CONFIG_FOREACH(struct disk, d, &s->disks)
        {
                if (!f->device || !d->device || !streq(f->device, d->device))
                        continue;
                if (d->partitions.count > 0)
                        WARNING(c, f->at, "device", "filesystem overwrites partitioned device");
                else if (config_is_true(&d->wipe_table) && !config_is_true(&f->wipe))
                        WARNING(c, f->at, "device",
                                "device matches disk with wipeTable enabled; filesystem will be wiped");
        }
}

/* ---- LUKS ---- */

void validate_luks(const struct check *c, const void *object)
{
        const struct luks *l = object;
        bool clevis = l->clevis.tang.count > 0 || config_is_true(&l->clevis.tpm2) ||
                      l->clevis.custom.pin || l->clevis.custom.config;

        if (l->name && strchr(l->name, '/'))
                ERROR(c, l->at, "name", "device names cannot contain slashes");
        if (l->label && strlen(l->label) > 47)
                ERROR(c, l->at, "label", "luks device labels cannot be longer than 47 characters");
        validate_path(c, l->at, "device", l->device, "disk device is required");
        if (!source_valid(c, &l->key_file))
                ERROR(c, l->at, "keys", "invalid key-file source");
        if (config_is_true(&l->cex.enabled) && (clevis || l->key_file.source))
                ERROR(c, l->at, "cex", "cex cannot be combined with clevis or a key file");
}

void validate_clevis(const struct check *c, const void *object)
{
        static const char *const pins[] = { "tpm2", "tang", "sss", NULL };
        const struct clevis *v = object;
        const struct clevis_custom *custom = &v->custom;
        /* In 3.2 the object being there is enough. */
        bool used = c->minor <= 2 ? custom->at != NULL : !string_is_empty(custom->pin);

        if (used && (v->tang.count > 0 || config_is_true(&v->tpm2) || v->threshold.value != 0))
                ERROR(c, v->at, NULL,
                      "cannot use custom clevis config with tpm2, tang, or threshold");
        if (string_is_empty(custom->pin) && string_is_empty(custom->config) &&
            (c->minor <= 2 || !config_is_true(&custom->needs_network)))
                return;
        if (string_is_empty(custom->pin) && c->minor > 2)
                ERROR(c, custom->at, "pin", "missing required custom clevis pin");
        else if (c->minor < 6 && !(custom->pin && one_of(custom->pin, pins)))
                ERROR(c, custom->at, "pin", "unsupported clevis pin");
        if (string_is_empty(custom->config))
                ERROR(c, custom->at, "config", "missing required custom clevis config");
}

static bool is_json(const char *text)
{
        _cleanup_json_ struct json_document document = {};
        struct error err;

        return json_load("", text, strlen(text), true, &document, &err) == 0;
}

void validate_tang(const struct check *c, const void *object)
{
        const struct tang *t = object;
        char scheme[URL_SCHEME_MAX];

        if (url_scheme(t->url ?: "", scheme) < 0)
                ERROR(c, t->at, "url", "unable to parse url");
        else if (!streq(scheme, "http") && !streq(scheme, "https"))
                ERROR(c, t->at, "url", "invalid url scheme");
        if (string_is_empty(t->thumbprint))
                ERROR(c, t->at, "thumbprint", "thumbprint is required");
        if (!string_is_empty(t->advertisement) && !is_json(t->advertisement))
                ERROR(c, t->at, "advertisement", "advertisement is not valid JSON");
}
