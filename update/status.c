/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See status.h. Part of the program: it prints. */

#include <time.h>

#include "status.h"
#include "verbs.h"

/* What is not there says so by its absence: a disk image has no ESP that could be mounted, and who
 * may read a disk may not be allowed to mount one. */
int status_load(const struct host_places *places, struct status *ret, struct error *err)
{
        _cleanup_free_ char *path = host_path(places, SITE_STATE_PATH);
        int r;

        *ret = (struct status){ .host = HOST_NULL };
        r = path ? host_load(places, &ret->host, err) : error_oom(err);
        if (r >= 0)
                r = site_memory_load(path, &ret->memory, err);
        if (r < 0)
                return r;
        if (places->esp || !places->disk)
                ret->has_entries = host_load_entries(&ret->host, NULL) >= 0;
        return 0;
}

void status_done(struct status *s)
{
        host_done(&s->host);
        site_memory_done(&s->memory);
}

static const struct boot_entry *entry_of(const struct status *s, const struct slot *slot)
{
        return s->has_entries && *slot_version(slot)
                       ? entries_find(&s->host.entries, slot_version(slot))
                       : NULL;
}

const char *status_entry(const struct status *s, const struct slot *slot)
{
        const struct boot_entry *e = entry_of(s, slot);

        if (!e)
                return NULL;
        return !e->counted ? "good" : boot_entry_bootable(e) ? "trial" : "bad";
}

static const char *state_of(const struct status *s, const struct slot *slot)
{
        return slot == s->host.running ? "running" : *slot_version(slot) ? "idle" : "empty";
}

/* The release that boots next, when it is another one than runs. */
static const char *pending(const struct status *s)
{
        const struct boot_entry *next = s->has_entries ? entries_next(&s->host.entries) : NULL;

        return next && s->host.running && !streq(next->version, slot_version(s->host.running))
                       ? next->version
                       : NULL;
}

static json_object *slot_json(const struct status *s, const struct slot *slot)
{
        const struct boot_entry *entry = entry_of(s, slot);
        json_object *object = json_object_new_object();
        char uuid[UUID_TEXT_SIZE], name[2] = { slot->name };

        add_text(object, "slot", name);
        add_text(object, "state", state_of(s, slot));
        add_text(object, "version", *slot_version(slot) ? slot_version(slot) : NULL);
        add_text(object, "entry", status_entry(s, slot));
        if (entry && entry->counted) {
                add_number(object, "triesLeft", entry->tries_left);
                add_number(object, "triesDone", entry->tries_done);
        }
        add_number(object, "partition", slot->usr.number);
        add_text(object, "uuid", uuid_text(&slot->usr.uuid, uuid));
        add_number(object, "size", slot->usr.size);
        add_number(object, "hashTreeSize", slot->tree.size);
        return object;
}

static json_object *memory_json(const struct site_memory *m)
{
        json_object *object = json_object_new_object();
        char hex[SHA256_HEX_SIZE];

        add_number(object, "time", m->checked);
        add_text(object, "site", m->site);
        add_text(object, "channel", m->channel);
        add_text(object, "version", m->version);
        add_text(object, "rootHash", sha256_hex(&m->root_hash, hex));
        return object;
}

static void print_status_json(const struct status *s)
{
        json_object *root = json_object_new_object(), *slots = json_object_new_array();
        char hex[SHA256_HEX_SIZE];

        add_text(root, "disk", s->host.disk);
        add_text(root, "rootHash", sha256_hex(&s->host.root_hash, hex));
        json_object_object_add(root, "slots", slots);
        for (size_t i = 0; i < s->host.slots.count; i++)
                json_object_array_add(slots, slot_json(s, &s->host.slots.items[i]));
        add_text(root, "pending", pending(s));
        json_object_object_add(root, "lastCheck", s->memory.site ? memory_json(&s->memory) : NULL);
        print_json(root);
}

static void print_slot(const struct status *s, const struct slot *slot)
{
        const struct boot_entry *entry = entry_of(s, slot);
        char tries[48] = "";

        if (entry && entry->counted)
                snprintf(tries, sizeof(tries), ", %u tries left", entry->tries_left);
        printf("slot %c  %-8s %-16s %6ju MiB  %s%s\n", slot->name, state_of(s, slot),
               *slot_version(slot) ? slot_version(slot) : "-", (uintmax_t)(slot->usr.size / MIB),
               status_entry(s, slot) ?: "-", tries);
}

void status_print(const struct status *s, bool json)
{
        char hex[SHA256_HEX_SIZE], date[64];
        time_t checked = (time_t)s->memory.checked;
        struct tm tm;

        if (json) {
                print_status_json(s);
                return;
        }
        printf("disk %s, root hash %s\n", s->host.disk, sha256_hex(&s->host.root_hash, hex));
        for (size_t i = 0; i < s->host.slots.count; i++)
                print_slot(s, &s->host.slots.items[i]);
        if (!s->host.running)
                puts("none of these slots is the running one");
        if (pending(s))
                printf("release %s boots next\n", pending(s));
        if (s->memory.site && gmtime_r(&checked, &tm) &&
            strftime(date, sizeof(date), "%Y-%m-%d %H:%M UTC", &tm) > 0)
                printf("last check %s: %s %s offers %s\n", date, s->memory.site, s->memory.channel,
                       s->memory.version);
}
