/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owners and modes that maintainer scripts set because their user or group has no fixed id, then
 * what the layers say. */

#include "fixup.h"

static const struct attribute scripted[] = {
        { "/usr/bin/ssh-agent", "root", "_ssh", 02755 },
        { "/usr/etc/sudoers", "root", "root", 0440 },
        { "/usr/lib/dbus-1.0/dbus-daemon-launch-helper", "root", "messagebus", 04754 },
};

static int user_id(const struct fixup_context *c, const char *name, uint32_t *ret,
                   struct error *err)
{
        const struct user *user = name ? accounts_user(&c->accounts, name) : NULL;

        if (name && !user)
                return error_set(err, -ENOENT, "user '%s' is not in the image", name);
        *ret = user ? user->uid : *ret;
        return 0;
}

static int group_id(const struct fixup_context *c, const char *name, uint32_t *ret,
                    struct error *err)
{
        const struct group *group = name ? accounts_group(&c->accounts, name) : NULL;

        if (name && !group)
                return error_set(err, -ENOENT, "group '%s' is not in the image", name);
        *ret = group ? group->gid : *ret;
        return 0;
}

static int set_attribute(struct fixup_context *c, const struct attribute *a, struct tree_node *node,
                         struct error *err)
{
        uint32_t uid = node->inode->uid, gid = node->inode->gid;
        int r = user_id(c, a->user, &uid, err);

        if (r == 0)
                r = group_id(c, a->group, &gid, err);
        if (r == 0)
                r = fixup_unshare(node, err);
        if (r < 0)
                return error_prefix(err, r, "%s", a->path);
        tree_inode_set_owner(node->inode, uid, gid);
        if (a->mode != UINT32_MAX)
                tree_inode_set_mode(node->inode, (mode_t)a->mode);
        return 0;
}

static int set_layer(struct fixup_context *c, const struct layer *layer, struct error *err)
{
        for (size_t i = 0; i < layer->attributes.count; i++) {
                const struct attribute *a = &layer->attributes.items[i];
                char path[TREE_PATH_MAX];
                struct tree_node *node = tree_lookup(c->tree, image_path(a->path, path));
                int r = node ? set_attribute(c, a, node, err)
                             : error_set(err, -ENOENT, "%s is not in the image", a->path);

                if (r < 0)
                        return error_prefix(err, r, "layer '%s': attributes", layer->name);
        }
        return 0;
}

int fixup_attributes(struct fixup_context *c, struct error *err)
{
        int r = 0;

        for (size_t i = 0; r == 0 && i < ARRAY_SIZE(scripted); i++) {
                struct tree_node *node = tree_lookup(c->tree, scripted[i].path);

                if (node)
                        r = set_attribute(c, &scripted[i], node, err);
        }
        for (size_t i = 0; r == 0 && i < c->m->n_layers; i++)
                r = set_layer(c, &c->m->layers[i], err);
        return r;
}
