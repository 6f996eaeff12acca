/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* storage.directories, files and links. All paths are resolved before anything is made; then the
 * entries go by the depth of their resolved path (directories before files before links, each in
 * the order of the configuration), so that parents come before what is in them; hard links are
 * last, in the order of the configuration alone, because one may lead to another. */

#include <fcntl.h>
#include <limits.h>

#include "files.h"

enum node_kind { NODE_DIRECTORY, NODE_FILE, NODE_SYMLINK, NODE_HARD_LINK };

static const char *const kind_names[] = { "directory", "file", "link", "hard link" };

struct node_entry {
        enum node_kind kind;
        const struct node *node;
        char *path; /* resolved */
        unsigned depth;
        size_t order;
};

/* ---- planning ---- */

static unsigned depth_of(const char *path)
{
        unsigned depth = 0;

        for (; *path; path++)
                depth += *path == '/';
        return depth;
}

static int add_entry(struct work *w, enum node_kind kind, const struct node *node,
                     struct error *err)
{
        struct node_entry *e = &w->nodes[w->node_count];
        int r;

        *e = (struct node_entry){ .kind = kind, .node = node, .order = w->node_count };
        r = root_resolve(w->root, node->path, &e->path, err);
        if (r < 0)
                return agent_setting(w->agent, node->at, "path", r);
        e->depth = depth_of(e->path);
        w->node_count++;
        return journal_note(&w->journal, e->path, config_is_true(&node->overwrite), err);
}

static int collect(struct work *w, struct error *err)
{
        const struct storage *s = &w->agent->config.root.storage;
        int r = 0;

        w->nodes = calloc(s->directories.count + s->files.count + s->links.count + 1,
                          sizeof(*w->nodes));
        if (!w->nodes)
                return error_oom(err);
        CONFIG_FOREACH(struct directory, d, &s->directories)
        if (r >= 0)
                r = add_entry(w, NODE_DIRECTORY, &d->node, err);
        CONFIG_FOREACH(struct file, f, &s->files)
        if (r >= 0)
                r = add_entry(w, NODE_FILE, &f->node, err);
        CONFIG_FOREACH(struct link, l, &s->links)
        if (r >= 0)
                r = add_entry(w, config_is_true(&l->hard) ? NODE_HARD_LINK : NODE_SYMLINK, &l->node,
                              err);
        return r;
}

static int compare_paths(const void *a, const void *b)
{
        return strcmp(((const struct node_entry *)a)->path, ((const struct node_entry *)b)->path);
}

static int compare_order(const void *a, const void *b)
{
        const struct node_entry *x = a, *y = b;
        bool hard_x = x->kind == NODE_HARD_LINK, hard_y = y->kind == NODE_HARD_LINK;

        if (hard_x != hard_y)
                return hard_x - hard_y;
        if (!hard_x && x->depth != y->depth)
                return x->depth < y->depth ? -1 : 1;
        return x->order < y->order ? -1 : x->order > y->order;
}

static const struct node_entry *find_entry(const struct work *w, const char *path)
{
        size_t low = 0, high = w->node_count;

        while (low < high) {
                size_t middle = low + (high - low) / 2;
                int order = strcmp(w->nodes[middle].path, path);

                if (order == 0)
                        return &w->nodes[middle];
                if (order < 0)
                        low = middle + 1;
                else
                        high = middle;
        }
        return NULL;
}

/* The entry that the configuration puts where a parent directory of this one is to be, although it
 * makes no directory there; NULL: none. The validator saw the paths as written, not resolved. */
static const struct node_entry *blocked_by(const struct work *w, const struct node_entry *e)
{
        char parent[PATH_MAX];

        if (strlen(e->path) >= sizeof(parent))
                return NULL;
        strcpy(parent, e->path);
        for (char *slash; (slash = strrchr(parent, '/'));) {
                const struct node_entry *other;

                *slash = '\0';
                other = find_entry(w, parent);
                if (other && other->kind != NODE_DIRECTORY)
                        return other;
        }
        return NULL;
}

static int check_places(struct work *w, struct error *err)
{
        for (size_t i = 0; i < w->node_count; i++) {
                const struct node_entry *e = &w->nodes[i], *other = blocked_by(w, e);

                if (i > 0 && streq(w->nodes[i - 1].path, e->path))
                        return agent_setting_error(w->agent, e->node->at, "path", err, -EEXIST,
                                                   "resolves to /%s like another entry, %s",
                                                   e->path, w->nodes[i - 1].node->path);
                if (other)
                        return agent_setting_error(w->agent, e->node->at, "path", err, -ENOTDIR,
                                                   "resolves to /%s, which is below %s %s", e->path,
                                                   kind_names[other->kind], other->node->path);
        }
        return 0;
}

int nodes_plan(struct work *w, struct error *err)
{
        int r = collect(w, err);

        if (r < 0)
                return r;
        qsort(w->nodes, w->node_count, sizeof(*w->nodes), compare_paths);
        r = check_places(w, err);
        if (r < 0)
                return r;
        qsort(w->nodes, w->node_count, sizeof(*w->nodes), compare_order);
        return 0;
}

void nodes_done(struct work *w)
{
        for (size_t i = 0; i < w->node_count; i++)
                free(w->nodes[i].path);
        free(w->nodes);
        w->nodes = NULL;
        w->node_count = 0;
}

bool nodes_view(const struct work *w, size_t i, struct node_view *ret)
{
        if (i >= w->node_count)
                return false;
        *ret = (struct node_view){ kind_names[w->nodes[i].kind], w->nodes[i].node,
                                   w->nodes[i].path };
        return true;
}

/* ---- making ---- */

/* What shall be overwritten goes. */
static int make_room(struct work *w, const struct node_entry *e, struct error *err)
{
        if (!config_is_true(&e->node->overwrite))
                return 0;
        if (streq(e->path, "."))
                return error_set(err, -EBUSY, "the root directory cannot be overwritten");
        return root_remove(w->root, e->path, err);
}

/* st: the owner where the configuration names none. */
static int own_place(struct work *w, const struct node_entry *e, const struct place *place,
                     const struct stat *st, struct error *err)
{
        uid_t uid;
        gid_t gid;
        int r;

        r = owner_find(w, &e->node->user, &e->node->group, st, &uid, &gid, err);
        if (r < 0)
                return r;
        if (fchownat(place->dir, place->name, uid, gid, AT_SYMLINK_NOFOLLOW) < 0)
                return error_errno(err, "owner");
        return 0;
}

static int make_directory(struct work *w, const struct node_entry *e, const struct place *place,
                          struct error *err)
{
        const struct directory *d = (const struct directory *)e->node;
        _cleanup_close_ int fd = -1;
        struct stat st;
        int r;

        if (mkdirat(place->dir, place->name, 0755) < 0 && errno != EEXIST)
                return error_errno(err, "mkdir");
        fd = openat(place->dir, place->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return error_errno(err, "something else is there");
        if (fstat(fd, &st) < 0)
                return error_errno(err, "stat");
        r = own_place(w, e, place, &st, err);
        if (r < 0)
                return r;
        if (d->mode.set && fchmod(fd, (mode_t)d->mode.value) < 0)
                return error_errno(err, "mode");
        return root_touch(w->root, fd, err);
}

static int make_file(struct work *w, const struct node_entry *e, const struct place *place _unused_,
                     struct error *err)
{
        return file_publish(w, (const struct file *)e->node, e->path, err);
}

/* *ret_there: a link to the target is there already. It is left as it is, owner and all. */
static int check_symlink(const struct place *place, const char *want, bool *ret_there,
                         struct error *err)
{
        _cleanup_free_ char *target = NULL;
        struct stat st;
        int r;

        *ret_there = false;
        if (fstatat(place->dir, place->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return 0;
        if (!S_ISLNK(st.st_mode))
                return error_set(err, -EEXIST,
                                 "something that is no link is there, and overwrite is not true");
        r = path_readlink(place->dir, place->name, &target, err);
        if (r >= 0 && !streq(target, want))
                return error_set(err, -EEXIST, "a link to %s is there, and overwrite is not true",
                                 target);
        *ret_there = r >= 0;
        return r;
}

static int make_symlink(struct work *w, const struct node_entry *e, const struct place *place,
                        struct error *err)
{
        const char *target = ((const struct link *)e->node)->target ?: "";
        bool there;
        int r;

        r = check_symlink(place, target, &there, err);
        if (r < 0 || there)
                return r;
        if (symlinkat(target, place->dir, place->name) < 0)
                return error_errno(err, "symlink");
        return own_place(w, e, place, &(struct stat){}, err);
}

/* As link(2) does it: a symlink at the end of the target is not followed. */
static int make_hard_link(struct work *w, const struct node_entry *e, const struct place *place,
                          struct error *err)
{
        _cleanup_place_ struct place to = PLACE_NULL;
        _cleanup_free_ char *target = NULL;
        struct stat want, have;
        int r;

        r = root_resolve(w->root, ((const struct link *)e->node)->target ?: "", &target, err);
        if (r >= 0)
                r = place_open(w->root, target, &to, err);
        if (r < 0)
                return error_prefix(err, r, "link to /%s", target ?: "");
        if (fstatat(to.dir, to.name, &want, AT_SYMLINK_NOFOLLOW) == 0 &&
            fstatat(place->dir, place->name, &have, AT_SYMLINK_NOFOLLOW) == 0 &&
            want.st_dev == have.st_dev && want.st_ino == have.st_ino)
                return 0;
        if (linkat(to.dir, to.name, place->dir, place->name, 0) < 0)
                return error_errno(err, "link to /%s", target);
        return 0;
}

static int make(struct work *w, const struct node_entry *e, struct error *err)
{
        static int (*const makers[])(struct work *, const struct node_entry *, const struct place *,
                                     struct error *) = {
                [NODE_DIRECTORY] = make_directory,
                [NODE_FILE] = make_file,
                [NODE_SYMLINK] = make_symlink,
                [NODE_HARD_LINK] = make_hard_link,
        };
        _cleanup_place_ struct place place = PLACE_NULL;
        int r;

        r = make_room(w, e, err);
        if (r >= 0)
                r = place_make(w->root, e->path, &place, err);
        return r < 0 ? r : makers[e->kind](w, e, &place, err);
}

int nodes_apply(struct work *w, struct error *err)
{
        for (size_t i = 0; i < w->node_count; i++) {
                const struct node_entry *e = &w->nodes[i];
                unsigned op = log_start(&w->agent->log, "writing %s \"%s\"", kind_names[e->kind],
                                        e->node->path);
                int r = make(w, e, err);

                log_end(&w->agent->log, op, r < 0 ? err : NULL, "writing %s \"%s\"",
                        kind_names[e->kind], e->node->path);
                if (r < 0)
                        return error_prefix(err, agent_setting(w->agent, e->node->at, NULL, r),
                                            "%s %s", kind_names[e->kind], e->node->path);
        }
        return 0;
}
