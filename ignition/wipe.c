/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What must not outlive its use. After the files stage nobody needs contents, keys and password
 * hashes any more: the tables say which settings are such, and they leave the cache and the state.
 * The configuration stays valid, because the umount stage reads it. The files' old bytes are
 * overwritten before they are let go: memory of a tmpfs is not cleared when it is freed. */

#include <fcntl.h>

#include "agent.h"
#include "fields.h"
#include "wipe.h"

static const char *const secret_members[] = { "luksPersistKeyFiles", "luksPersistVolumeKeyFiles",
                                              "providerOutputFiles" };

static int wipe_object(json_object *object, const struct config_record *record);

static int wipe_member(json_object *object, const struct config_field *f, json_object *value)
{
        int r = 0;

        if (f->flags & CONFIG_SECRET) {
                json_object_object_del(object, f->key);
                return 0;
        }
        if (f->flags & CONFIG_SECRET_URL)
                return json_object_object_add(object, f->key, json_object_new_string("data:,"));
        if (f->type == TYPE_OBJECT)
                return wipe_object(value, f->record);
        for (size_t i = 0; f->type == TYPE_LIST && i < json_object_array_length(value) && r == 0;
             i++)
                r = wipe_object(json_object_array_get_idx(value, i), f->record);
        return r;
}

static int wipe_object(json_object *object, const struct config_record *record)
{
        int r = 0;

        for (const struct config_field *f = record->fields; f->key && r == 0; f++) {
                json_object *value = NULL;

                if (json_object_object_get_ex(object, f->key, &value) && value)
                        r = wipe_member(object, f, value);
        }
        return r;
}

int config_wipe(json_object *tree, struct error *err)
{
        return wipe_object(tree, &config_record) < 0 ? error_oom(err) : 0;
}

static int overwrite(int fd, struct error *err)
{
        static const char zeros[4096];
        struct stat st;

        if (fstat(fd, &st) < 0)
                return error_errno(err, "fstat");
        for (off_t at = 0; at < st.st_size; at += (off_t)sizeof(zeros)) {
                int r = io_pwrite(fd, zeros, (size_t)MIN(st.st_size - at, (off_t)sizeof(zeros)),
                                  (uint64_t)at, err);

                if (r < 0)
                        return r;
        }
        return 0;
}

/* The new file first: cut off in between, there is one of them. */
static int wipe_cache(struct agent *a, json_object *tree, struct error *err)
{
        const char *path = a->options.config_cache, *text;
        _cleanup_close_ int old = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
        int r;

        if (old < 0)
                return error_errno(err, "open '%s'", path);
        text = json_object_to_json_string_ext(tree, JSON_C_TO_STRING_PLAIN |
                                                            JSON_C_TO_STRING_NOSLASHESCAPE);
        if (!text)
                return error_oom(err);
        r = file_write(AT_FDCWD, path, text, strlen(text), 0640, err);
        return r < 0 ? r : overwrite(old, err);
}

static int wipe_state(struct agent *a, struct error *err)
{
        const char *path = a->options.state_file;
        _cleanup_close_ int old = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
        int r;

        for (size_t i = 0; i < ARRAY_SIZE(secret_members); i++)
                if (a->state.root)
                        json_object_object_del(a->state.root, secret_members[i]);
        r = state_set_wiped(&a->state);
        if (r < 0)
                return error_oom(err);
        r = state_save(&a->state, path, err);
        return r < 0 || old < 0 ? r : overwrite(old, err);
}

int agent_wipe(struct agent *a, struct error *err)
{
        json_object *tree;
        int r;

        r = config_tree(&a->config, 0, &tree, err);
        if (r < 0)
                return r;
        r = config_wipe(tree, err);
        if (r >= 0)
                r = wipe_state(a, err);
        if (r >= 0)
                r = wipe_cache(a, tree, err);
        json_object_put(tree);
        return error_prefix(err, r, "wiping secrets");
}
