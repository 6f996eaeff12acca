/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Pools of key-value pairs: lists in which a key is there once, in the order of their arrival. */

#include "kvp.h"

#include "strv.h"

void kvp_pool_done(struct kvp_pool *p)
{
        free(p->records);
        *p = (struct kvp_pool){};
}

static struct kvp_record *find(const struct kvp_pool *p, const char *key)
{
        for (size_t i = 0; i < p->count; i++)
                if (streq(p->records[i].key, key))
                        return &p->records[i];
        return NULL;
}

const char *kvp_get(const struct kvp_pool *p, const char *key)
{
        const struct kvp_record *record = find(p, key);

        return record ? record->value : NULL;
}

int kvp_set(struct kvp_pool *p, const char *key, const char *value, struct error *err)
{
        struct kvp_record *record = find(p, key);

        if (!*key || strlen(key) >= KVP_KEY_MAX || strlen(value) >= KVP_VALUE_MAX)
                return error_set(err, -EINVAL, "key-value pair: a bad length");
        if (!record && p->count >= KVP_RECORDS_MAX)
                return error_set(err, -E2BIG, "more than %d key-value pairs", KVP_RECORDS_MAX);
        if (!record) {
                if (array_reserve(&p->records, &p->capacity, p->count + 1, sizeof(*record)) < 0)
                        return error_oom(err);
                record = &p->records[p->count++];
        }
        *record = (struct kvp_record){};
        strcpy(record->key, key);
        strcpy(record->value, value);
        return 0;
}

void kvp_delete(struct kvp_pool *p, const char *key)
{
        struct kvp_record *record = find(p, key);

        if (!record)
                return;
        p->count--;
        memmove(record, record + 1, (p->count - (size_t)(record - p->records)) * sizeof(*record));
}

int kvp_parse(const void *data, size_t size, struct kvp_pool *ret, struct error *err)
{
        const struct kvp_record *records = data;
        size_t count = size / sizeof(*records);

        if (size % sizeof(*records) != 0 || count > KVP_RECORDS_MAX)
                return error_set(err, -EINVAL, "%zu bytes of key-value pairs", size);
        for (size_t i = 0; i < count; i++)
                if (!records[i].key[0] || records[i].key[KVP_KEY_MAX - 1] ||
                    records[i].value[KVP_VALUE_MAX - 1])
                        return error_set(err, -EINVAL, "key-value pair %zu: a bad length", i);
        if (array_reserve(&ret->records, &ret->capacity, count, sizeof(*records)) < 0)
                return error_oom(err);
        if (count > 0)
                memcpy(ret->records, records, size);
        ret->count = count;
        return 0;
}

static bool join_parts(const struct kvp_pool *p, struct buffer *b)
{
        for (unsigned i = 0; i < KVP_RECORDS_MAX; i++) {
                char key[64];
                const char *part;

                snprintf(key, sizeof(key), "ignition.config.%u", i);
                part = kvp_get(p, key);
                if (!part)
                        return i > 0;
                buffer_puts(b, part);
        }
        return true;
}

int kvp_config(const struct kvp_pool *p, char **ret, size_t *ret_size, struct error *err)
{
        _cleanup_buffer_ struct buffer b = {};
        const char *whole = kvp_get(p, "ignition.config");

        *ret = NULL;
        if (whole)
                buffer_puts(&b, whole);
        else if (!join_parts(p, &b))
                return 0;
        return buffer_take(&b, ret, ret_size) < 0 ? error_oom(err) : 0;
}
