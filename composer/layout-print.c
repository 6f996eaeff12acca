/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The layout as text (sizes in MiB) and as JSON (in bytes). Unknown values (a content that was not
 * built yet, UUIDs without a root hash) are shown as "-" and are absent from the JSON. */

#include "layout.h"

enum { SIZE_TEXT_MAX = 32 };

/* In MiB, which everything on the disk is a multiple of. */
static char *size_text(uint64_t bytes, char *ret)
{
        if (bytes == 0)
                return strcpy(ret, "-");
        snprintf(ret, SIZE_TEXT_MAX, bytes % MIB ? "%.1f" : "%.0f", (double)bytes / MIB);
        return ret;
}

static bool uuid_known(const struct uuid *u)
{
        return memcmp(u, &(struct uuid){}, sizeof(*u)) != 0;
}

static const char *uuid_or_dash(const struct uuid *u, char *ret)
{
        return uuid_known(u) ? uuid_text(u, ret) : "-";
}

static void print_row(const struct partition *p, size_t number, struct buffer *out)
{
        char start[SIZE_TEXT_MAX], size[SIZE_TEXT_MAX], used[SIZE_TEXT_MAX], left[SIZE_TEXT_MAX];
        char uuid[UUID_TEXT_SIZE];

        buffer_printf(out, "%2zu  %-14s  %c     %-26s  %8s  %8s  %8s  %8s  %s\n", number,
                      partition_role_name(p->role), p->slot ?: '-', p->label,
                      size_text(p->start, start), size_text(p->size, size),
                      size_text(p->used, used), size_text(p->size - p->used, left),
                      uuid_or_dash(&p->uuid, uuid));
}

/* Where the last partition ends. */
static uint64_t layout_end(const struct layout *layout)
{
        const struct partition *last = &layout->partitions[layout->count - 1];

        return last->start + last->size;
}

void layout_print(const struct layout *layout, struct buffer *out)
{
        char size[SIZE_TEXT_MAX], start[SIZE_TEXT_MAX], rest[SIZE_TEXT_MAX];
        char uuid[UUID_TEXT_SIZE];
        uint64_t end = layout_end(layout);

        buffer_printf(out, "disk  %s MiB  %s\n", size_text(layout->disk_size, size),
                      uuid_or_dash(&layout->disk_uuid, uuid));
        buffer_printf(out, "%2s  %-14s  %-4s  %-26s  %8s  %8s  %8s  %8s  %s\n", "#", "role", "slot",
                      "label", "start", "size", "used", "left", "uuid");
        for (size_t i = 0; i < layout->count; i++)
                print_row(&layout->partitions[i], i + 1, out);
        buffer_printf(out, "%2s  %-14s  %-4s  %-26s  %8s  %8s  made by the first boot\n", "-",
                      partition_role_name(PARTITION_ROOT), "-", "root", size_text(end, start),
                      size_text(layout->disk_size - end - MIB, rest));
}

/* Takes value over; false when out of memory. */
static bool add(json_object *object, const char *key, json_object *value)
{
        if (value && json_object_object_add(object, key, value) == 0)
                return true;
        json_object_put(value);
        return false;
}

static bool add_size(json_object *object, const char *key, uint64_t value)
{
        return add(object, key, json_object_new_uint64(value));
}

static bool add_uuid(json_object *object, const char *key, const struct uuid *u)
{
        char text[UUID_TEXT_SIZE];

        return !uuid_known(u) || add(object, key, json_object_new_string(uuid_text(u, text)));
}

static bool fill_partition(json_object *object, const struct partition *p)
{
        const char slot[] = { p->slot, '\0' };

        return add(object, "role", json_object_new_string(partition_role_name(p->role))) &&
               (!p->slot || add(object, "slot", json_object_new_string(slot))) &&
               add(object, "label", json_object_new_string(p->label)) &&
               add_uuid(object, "uuid", &p->uuid) && add_uuid(object, "type", &p->type) &&
               add_size(object, "attributes", p->attributes) &&
               add_size(object, "start", p->start) && add_size(object, "size", p->size) &&
               (p->used == 0 || add_size(object, "used", p->used));
}

static bool fill_layout(json_object *object, const struct layout *layout)
{
        json_object *array = json_object_new_array();

        if (!add(object, "partitions", array))
                return false;
        for (size_t i = 0; i < layout->count; i++) {
                json_object *item = json_object_new_object();

                if (!item || !fill_partition(item, &layout->partitions[i]) ||
                    json_object_array_add(array, item) < 0) {
                        json_object_put(item);
                        return false;
                }
        }
        return add_size(object, "disk_size", layout->disk_size) &&
               add_uuid(object, "disk_uuid", &layout->disk_uuid);
}

json_object *layout_json(const struct layout *layout)
{
        json_object *object = json_object_new_object();

        if (object && !fill_layout(object, layout)) {
                json_object_put(object);
                return NULL;
        }
        return object;
}
