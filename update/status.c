/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See status.h. Part of the program: it prints. */

#include <json-c/json.h>

#include "status.h"

int status_load(const char *command_line, const char *disk, struct status *ret, struct error *err)
{
        struct status s = {};
        struct uuid usr, tree;
        int r = 0;

        if (!slot_root_hash(command_line, &s.root_hash))
                return error_set(err, -ENODATA,
                                 "usrhash= is not on the kernel command line: not a Slipway host");
        gpt_uuids_from_root_hash(&s.root_hash, &usr, &tree);
        if (disk)
                s.disk = strdup(disk);
        else
                r = slot_disk(&usr, &s.disk, err);
        if (r >= 0 && !s.disk)
                r = error_oom(err);
        if (r >= 0)
                r = slots_load(s.disk, &s.slots, err);
        if (r < 0) {
                free(s.disk);
                return r;
        }
        *ret = s;
        ret->running = slots_find(&ret->slots, &ret->root_hash);
        return 0;
}

void status_done(struct status *s)
{
        free(s->disk);
        *s = (struct status){};
}

static const char *state_of(const struct status *s, const struct slot *slot)
{
        return slot == s->running ? "running" : *slot_version(slot) ? "idle" : "empty";
}

static json_object *slot_json(const struct status *s, const struct slot *slot)
{
        json_object *object = json_object_new_object();
        char uuid[UUID_TEXT_SIZE];

        json_object_object_add(object, "slot", json_object_new_string_len(&slot->name, 1));
        json_object_object_add(object, "state", json_object_new_string(state_of(s, slot)));
        json_object_object_add(object, "version",
                               *slot_version(slot) ? json_object_new_string(slot_version(slot))
                                                   : NULL);
        json_object_object_add(object, "partition", json_object_new_uint64(slot->usr.number));
        json_object_object_add(object, "uuid",
                               json_object_new_string(uuid_text(&slot->usr.uuid, uuid)));
        json_object_object_add(object, "size", json_object_new_uint64(slot->usr.size));
        json_object_object_add(object, "hashTreeSize", json_object_new_uint64(slot->tree.size));
        return object;
}

static void print_json(const struct status *s)
{
        json_object *root = json_object_new_object(), *slots = json_object_new_array();
        char hex[SHA256_HEX_SIZE];

        json_object_object_add(root, "disk", json_object_new_string(s->disk));
        json_object_object_add(root, "rootHash",
                               json_object_new_string(sha256_hex(&s->root_hash, hex)));
        json_object_object_add(root, "slots", slots);
        for (size_t i = 0; i < s->slots.count; i++)
                json_object_array_add(slots, slot_json(s, &s->slots.items[i]));
        puts(json_object_to_json_string_ext(root, JSON_C_TO_STRING_PRETTY |
                                                          JSON_C_TO_STRING_NOSLASHESCAPE));
        json_object_put(root);
}

void status_print(const struct status *s, bool json)
{
        char hex[SHA256_HEX_SIZE];

        if (json) {
                print_json(s);
                return;
        }
        printf("disk %s, root hash %s\n", s->disk, sha256_hex(&s->root_hash, hex));
        for (size_t i = 0; i < s->slots.count; i++) {
                const struct slot *slot = &s->slots.items[i];

                printf("slot %c  %-8s %-16s %6ju MiB\n", slot->name, state_of(s, slot),
                       *slot_version(slot) ? slot_version(slot) : "-",
                       (uintmax_t)(slot->usr.size / MIB));
        }
        if (!s->running)
                puts("none of these slots is the running one");
}
