/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See crypttab.h. Lines are added to what the root has; keys come from the state, where the disks
 * stage put them. A volume with clevis has no key file. */

#include <fcntl.h>

#include "block.h"
#include "crypttab.h"
#include "data-url.h"
#include "luks-volume.h"

static const char crypttab_path[] = "/etc/crypttab", keys_dir[] = "/etc/luks";

/* The data: URL of the volume's key; NULL: it has none to be kept. */
static const char *key_url(const struct work *w, const struct luks *luks)
{
        json_object *keys = state_get(&w->agent->state, "luksPersistKeyFiles", json_type_object);
        json_object *url = NULL;

        if (keys && json_object_object_get_ex(keys, luks->name, &url))
                return json_object_get_string(url);
        return NULL;
}

static char *key_path(const struct luks *luks)
{
        return string_format("%s/%s", keys_dir, luks->name);
}

static int note(struct work *w, const char *path, bool whole_text, struct error *err)
{
        _cleanup_free_ char *resolved = NULL;
        struct stat st;
        int r = root_resolve(w->root, path, &resolved, err);

        if (r < 0)
                return r;
        return whole_text && root_stat(w->root, resolved, &st)
                       ? journal_note_text(&w->journal, resolved, err)
                       : journal_note(&w->journal, resolved, false, err);
}

int crypttab_plan(struct work *w, struct error *err)
{
        const struct config_list *list = &w->agent->config.root.storage.luks;
        int r = list->count > 0 ? note(w, crypttab_path, true, err) : 0;

        CONFIG_FOREACH(struct luks, luks, list)
        {
                _cleanup_free_ char *path = key_path(luks);

                if (!path)
                        return error_oom(err);
                if (r >= 0 && key_url(w, luks))
                        r = note(w, path, true, err);
        }
        return r;
}

static int publish(struct work *w, const char *path, const void *data, size_t size,
                   struct error *err)
{
        _cleanup_place_ struct place place = PLACE_NULL;
        _cleanup_draft_ struct draft draft = DRAFT_NULL;
        _cleanup_free_ char *resolved = NULL;
        int r;

        r = root_resolve(w->root, path, &resolved, err);
        if (r >= 0)
                r = place_make(w->root, resolved, &place, err);
        if (r >= 0)
                r = draft_open(&draft, place.dir, place.name, 0600, err);
        if (r >= 0)
                r = io_write(draft.fd, data, size, err);
        return r < 0 ? r : draft_publish(&draft, err);
}

static int make_keys_dir(struct work *w, struct error *err)
{
        _cleanup_place_ struct place place = PLACE_NULL;
        _cleanup_free_ char *resolved = NULL;
        int r;

        r = root_resolve(w->root, keys_dir, &resolved, err);
        if (r >= 0)
                r = place_make(w->root, resolved, &place, err);
        if (r >= 0 && mkdirat(place.dir, place.name, 0700) < 0 && errno != EEXIST)
                r = error_errno(err, "%s", keys_dir);
        return r;
}

static int write_key(struct work *w, const char *path, const char *url, struct error *err)
{
        _cleanup_free_ char *key = NULL;
        size_t size = 0;
        int r;

        r = data_url_decode(url, &key, &size, err);
        if (r >= 0)
                r = make_keys_dir(w, err);
        if (r >= 0)
                r = publish(w, path, key, size, err);
        if (key)
                explicit_bzero(key, size);
        return r;
}

static bool needs_network(const struct clevis *c)
{
        return c->tang.count > 0 || config_is_true(&c->custom.needs_network);
}

static int add_volume(struct work *w, const struct luks *luks, struct buffer *lines,
                      struct error *err)
{
        _cleanup_free_ char *path = key_path(luks);
        _cleanup_block_ struct block b = BLOCK_NULL;
        const char *url = key_url(w, luks);
        char uuid[64];
        int r;

        if (!path)
                return error_oom(err);
        r = block_open(luks->device, O_RDONLY, &b, err);
        if (r >= 0)
                r = luks_uuid(b.node, uuid, err);
        if (r >= 0 && url)
                r = write_key(w, path, url, err);
        if (r >= 0)
                buffer_printf(lines, "%s UUID=%s %s luks%s,x-initrd.attach\n", luks->name, uuid,
                              url ? path : "none", needs_network(&luks->clevis) ? ",_netdev" : "");
        return agent_setting(w->agent, luks->at, NULL, r);
}

int crypttab_apply(struct work *w, struct error *err)
{
        const struct config_list *list = &w->agent->config.root.storage.luks;
        _cleanup_buffer_ struct buffer lines = {};
        _cleanup_free_ char *before = NULL, *text = NULL;
        int r = 0;

        if (list->count == 0)
                return 0;
        r = root_read(w->root, crypttab_path, &before, err);
        if (r < 0)
                return r;
        buffer_puts(&lines, before ?: "");
        if (lines.size > 0 && lines.data[lines.size - 1] != '\n')
                buffer_puts(&lines, "\n");
        CONFIG_FOREACH(struct luks, luks, list)
        if (r >= 0)
                r = add_volume(w, luks, &lines, err);
        if (r < 0)
                return r;
        if (buffer_take(&lines, &text, NULL) < 0)
                return error_oom(err);
        return publish(w, crypttab_path, text, strlen(text), err);
}
