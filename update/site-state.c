/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See site-state.h. */

#include <fcntl.h>
#include <libgen.h>

#include "io.h"
#include "site-state.h"
#include "strv.h"

#define FIELD(key_, decoder_, member_)                                                             \
        {                                                                                          \
                .key = key_, .decode = decoder_, .offset = offsetof(struct site_memory, member_),  \
                .flags = FIELD_MANDATORY                                                           \
        }

static const struct field fields[] = {
        FIELD("summaryTimestamp", field_uint, summary_timestamp),
        FIELD("checked", field_uint, checked),
        FIELD("site", field_string, site),
        FIELD("channel", field_string, channel),
        FIELD("version", field_string, version),
        FIELD("rootHash", field_digest, root_hash),
        {},
};

static void memory_done(void *object)
{
        struct site_memory *m = object;

        free(m->site);
        free(m->channel);
        free(m->version);
        *m = (struct site_memory){};
}

static const struct record memory_record = { .name = "the state of the update site",
                                             .size = sizeof(struct site_memory),
                                             .fields = fields,
                                             .done = memory_done };

void site_memory_done(struct site_memory *m)
{
        memory_done(m);
}

int site_memory_load(const char *path, struct site_memory *ret, struct error *err)
{
        struct site_memory m = {};
        int r;

        if (faccessat(AT_FDCWD, path, F_OK, 0) < 0 && errno == ENOENT) {
                *ret = m;
                return 0;
        }
        r = record_load(AT_FDCWD, path, &memory_record, &m, err);
        if (r >= 0)
                *ret = m;
        return r;
}

static const char *memory_text(const struct site_memory *m, json_object *root)
{
        char hex[SHA256_HEX_SIZE];

        json_object_object_add(root, "summaryTimestamp",
                               json_object_new_uint64(m->summary_timestamp));
        json_object_object_add(root, "checked", json_object_new_uint64(m->checked));
        json_object_object_add(root, "site", json_object_new_string(m->site));
        json_object_object_add(root, "channel", json_object_new_string(m->channel));
        json_object_object_add(root, "version", json_object_new_string(m->version));
        json_object_object_add(root, "rootHash",
                               json_object_new_string(sha256_hex(&m->root_hash, hex)));
        return json_object_to_json_string_ext(root, JSON_C_TO_STRING_PRETTY |
                                                            JSON_C_TO_STRING_NOSLASHESCAPE);
}

int site_memory_save(const char *path, const struct site_memory *m, struct error *err)
{
        _cleanup_free_ char *copy = strdup(path);
        json_object *root = json_object_new_object();
        const char *text = root ? memory_text(m, root) : NULL;
        int r = text && copy ? path_mkdirs(AT_FDCWD, dirname(copy), 0755, err) : error_oom(err);

        if (r >= 0)
                r = file_write(AT_FDCWD, path, text, strlen(text), 0644, err);
        json_object_put(root);
        return r;
}
