/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Finds list entries that stand twice: over one list, or over the lists that share a key space
 * (files, directories and links; kernelArguments). A json-c object, made when the first
 * key needs it, serves as the set of keys. */

#include "fields.h"

static const char *identity_of(const struct config_record *record, const void *item, char *buffer,
                               size_t size)
{
        if (record->identify) {
                record->identify(item, buffer, size);
                return buffer;
        }
        return *(const char *const *)((const char *)item + record->identity) ?: "";
}

static int note(const struct check *c, json_object **seen, const char *key, json_object *at,
                const char *sub)
{
        if (!*seen && !(*seen = json_object_new_object()))
                return -ENOMEM;
        if (json_object_object_get_ex(*seen, key, NULL))
                findings_add(c->findings, FINDING_ERROR, at, sub, "duplicate entry defined");
        return json_object_object_add(*seen, key, NULL) < 0 ? -ENOMEM : 0;
}

static int check_list(const struct check *c, const struct config_field *f, const void *parent,
                      json_object **seen)
{
        const struct config_list *list = (const void *)((const char *)parent + f->offset);
        char buffer[256];
        int r = 0;

        for (size_t i = 0; i < list->count && r == 0; i++) {
                const void *item = (const char *)list->items + i * f->record->size;
                json_object *at = *(json_object *const *)item;
                const char *key = identity_of(f->record, item, buffer, sizeof(buffer));

                r = at ? note(c, seen, key, at, NULL)
                       : note(c, seen, key, *(json_object *const *)parent, f->key);
        }
        return r;
}

static int check_strings(const struct check *c, const struct config_field *f, const void *parent,
                         json_object **seen)
{
        const struct config_strings *strings = (const void *)((const char *)parent + f->offset);
        json_object *object = *(json_object *const *)parent, *array = json_member(object, f->key);
        char name[64];
        int r = 0;

        for (size_t i = 0; i < strings->count && r == 0; i++) {
                /* The list may be left from an earlier object of the same key, which is not this.
                 */
                snprintf(name, sizeof(name), "%s%s%zu", array ? "" : f->key, array ? "" : ".", i);
                r = note(c, seen, strings->items[i], array ?: object, name);
        }
        return r;
}

static int check_children(const struct check *c, const struct config_field *f, const void *member)
{
        const struct config_list *list = member;
        int r = 0;

        if (f->type == TYPE_OBJECT)
                return validate_duplicates(c, f->record, member);
        for (size_t i = 0; f->type == TYPE_LIST && i < list->count && r == 0; i++)
                r = validate_duplicates(c, f->record,
                                        (const char *)list->items + i * f->record->size);
        return r;
}

int validate_duplicates(const struct check *c, const struct config_record *record,
                        const void *object)
{
        json_object *seen = NULL;
        int r = 0;

        for (const struct config_field *f = record->fields; f->key && r == 0; f++) {
                if (!(f->flags & CONFIG_SHARES_KEYS)) {
                        json_object_put(seen);
                        seen = NULL;
                }
                if (f->type == TYPE_LIST && !(f->flags & CONFIG_DUPLICATES_ALLOWED))
                        r = check_list(c, f, object, &seen);
                if (f->type == TYPE_STRINGS && !(f->flags & CONFIG_DUPLICATES_ALLOWED))
                        r = check_strings(c, f, object, &seen);
                if (r == 0)
                        r = check_children(c, f, (const char *)object + f->offset);
        }
        json_object_put(seen);
        return r;
}
