/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The format is systemd's, read from its manual page:
 *
 *   u  NAME  ID|-|UID:GID|UID:GROUP|/path  "GECOS"  HOME  SHELL     (u!: the account is expired)
 *   g  NAME  GID|-|/path
 *   m  USER  GROUP
 *   r  -     LOW-HIGH
 *
 * We read it ourselves because the builder's systemd may be older than the image's, and because ids
 * must come out the same on every builder. */

#include "fixup.h"
#include "strv.h"
#include "sysusers.h"
#include "text.h"

enum { SYSUSERS_MAX = 10000, RANGE_LOW = 100, RANGE_HIGH = 999, FIELDS = 6 };

static void sysuser_done(struct sysuser *u)
{
        free(u->name);
        free(u->id);
        free(u->gecos);
        free(u->home);
        free(u->shell);
}

void sysusers_done(struct sysusers *s)
{
        for (size_t i = 0; i < s->count; i++)
                sysuser_done(&s->items[i]);
        free(s->items);
        memset(s, 0, sizeof(*s));
}

static const struct sysuser *find(const struct sysusers *s, char type, const char *name)
{
        for (size_t i = 0; i < s->count; i++)
                if (s->items[i].type == type && streq(s->items[i].name, name))
                        return &s->items[i];
        return NULL;
}

/* Copies a field; "-" and "" stand for no value. "%%" is '%'; other specifiers would name things of
 * the running system. */
static int copy_field(const char *value, char **ret, struct error *err)
{
        _cleanup_buffer_ struct buffer b = {};

        if (!value || streq(value, "-") || *value == '\0')
                return 0;
        for (; *value != '\0'; value++) {
                if (*value == '%' && *++value != '%')
                        return error_set(err, -EINVAL, "specifier %%%c is not supported", *value);
                buffer_append(&b, value, 1);
        }
        return buffer_take(&b, ret, NULL) < 0 ? error_oom(err) : 0;
}

static int fill(struct sysuser *u, char *const *words, size_t n, struct error *err)
{
        char **fields[] = { &u->name, &u->id, &u->gecos, &u->home, &u->shell };
        int r;

        for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
                r = copy_field(i + 1 < n ? words[i + 1] : NULL, fields[i], err);
                if (r < 0)
                        return r;
        }
        if (!u->name && u->type == 'r')
                u->name = strdup(u->id ?: "");
        if (!u->name)
                return error_set(err, -EINVAL, "a name is missing");
        if (!u->id && (u->type == 'm' || u->type == 'r'))
                return error_set(err, -EINVAL, "line '%c' wants a third field", u->type);
        return 0;
}

static bool type_known(const char *word)
{
        return streq(word, "u") || streq(word, "u!") || streq(word, "g") || streq(word, "m") ||
               streq(word, "r");
}

static int add_item(struct sysusers *s, struct sysuser *u, struct error *err)
{
        if (u->type != 'm' && find(s, u->type, u->name))
                return 0;
        if (s->count >= SYSUSERS_MAX)
                return error_set(err, -E2BIG, "more than %d lines", SYSUSERS_MAX);
        if (array_reserve(&s->items, &s->capacity, s->count + 1, sizeof(*u)) < 0)
                return error_oom(err);
        s->items[s->count++] = TAKE_STRUCT(*u);
        return 0;
}

static int parse_line(struct sysusers *s, const char *line, struct error *err)
{
        _cleanup_strv_ char **words = NULL;
        _cleanup_(sysuser_done) struct sysuser u = {};
        size_t n;
        int r = text_words(line, &words, err);

        if (r < 0)
                return r;
        n = strv_length(words);
        if (n > FIELDS || !type_known(words[0]))
                return error_set(err, -EINVAL, "'%s' is not a line of sysusers.d", line);
        u.type = words[0][0];
        u.expired = words[0][1] == '!';
        r = fill(&u, words, n, err);
        return r < 0 ? r : add_item(s, &u, err);
}

int sysusers_parse(struct sysusers *s, const char *file, const char *text, struct error *err)
{
        _cleanup_strv_ char **lines = NULL;
        int r = text_lines(text, "#", &lines, err);

        STRV_FOREACH (line, lines) {
                r = parse_line(s, *line, err);
                if (r < 0)
                        return error_prefix(err, r, "%s", file);
        }
        return r;
}

/* ---- ids ---- */

struct allocation {
        const struct sysusers *s;
        const struct tree *tree;
        const struct lock *lock; /* or an empty one */
        struct accounts *a;
        struct merge_result *result;
};

static bool parse_number(const char *text, uint32_t *ret)
{
        char *end;
        unsigned long value;

        if (!text || *text < '0' || *text > '9')
                return false;
        value = strtoul(text, &end, 10);
        if ((*end != '\0' && *end != ':') || value >= UINT32_MAX)
                return false;
        *ret = (uint32_t)value;
        return true;
}

/* The id that a line fixes, by number or by the owner of a path. */
static bool fixed_id(const struct allocation *c, const struct sysuser *u, uint32_t *ret)
{
        char path[TREE_PATH_MAX];
        const struct tree_node *node;

        if (!u->id || u->id[0] != '/')
                return parse_number(u->id, ret);
        node = tree_lookup(c->tree, image_path(u->id, path));
        if (!node)
                return false;
        *ret = u->type == 'g' ? node->inode->gid : node->inode->uid;
        return true;
}

static bool lock_has(const struct id_allocation *items, size_t count, const char *name,
                     uint32_t *ret)
{
        for (size_t i = 0; i < count; i++)
                if (streq(items[i].name, name)) {
                        *ret = (uint32_t)items[i].id;
                        return true;
                }
        return false;
}

static bool lock_uses(const struct id_allocation *items, size_t count, uint32_t id)
{
        for (size_t i = 0; i < count; i++)
                if (items[i].id == id)
                        return true;
        return false;
}

static bool taken(const struct allocation *c, uint32_t id)
{
        return accounts_user_name(c->a, id) || accounts_group_name(c->a, id);
}

/* An id that nobody has, nobody wants and nobody had. */
static bool unclaimed(const struct allocation *c, uint32_t id)
{
        uint32_t fixed;

        if (taken(c, id) || lock_uses(c->lock->users.items, c->lock->users.count, id) ||
            lock_uses(c->lock->groups.items, c->lock->groups.count, id))
                return false;
        for (size_t i = 0; i < c->s->count; i++)
                if (strchr("ug", c->s->items[i].type) && fixed_id(c, &c->s->items[i], &fixed) &&
                    fixed == id)
                        return false;
        return true;
}

static bool search_range(const struct allocation *c, uint32_t low, uint32_t high, uint32_t *ret)
{
        for (uint32_t id = high; id >= low && id > 0; id--)
                if (unclaimed(c, id)) {
                        *ret = id;
                        return true;
                }
        return false;
}

static int allocate(const struct allocation *c, const char *name, uint32_t *ret, struct error *err)
{
        bool ranges = false;

        for (size_t i = 0; i < c->s->count; i++) {
                unsigned low, high;

                if (c->s->items[i].type != 'r')
                        continue;
                if (sscanf(c->s->items[i].id, "%9u-%9u", &low, &high) != 2 || low > high)
                        return error_set(err, -EINVAL, "'%s' is not a range of ids",
                                         c->s->items[i].id);
                ranges = true;
                if (search_range(c, low, high, ret))
                        return 0;
        }
        if (!ranges && search_range(c, RANGE_LOW, RANGE_HIGH, ret))
                return 0;
        return error_set(err, -ENOSPC, "no id is left for '%s'", name);
}

/* An open id: the lock's, else a new one. */
static int choose_id(const struct allocation *c, const struct id_allocation *locked, size_t count,
                     const char *name, bool (*is_taken)(const struct allocation *c, uint32_t id),
                     uint32_t *ret, struct error *err)
{
        uint32_t id;

        if (!lock_has(locked, count, name, &id))
                return allocate(c, name, ret, err);
        if (is_taken(c, id))
                return error_set(err, -EEXIST,
                                 "the lock gives id %u to '%s', but the packages give it to "
                                 "another: take the name out of the lock to get a new id",
                                 id, name);
        *ret = id;
        return 0;
}

static bool user_taken(const struct allocation *c, uint32_t id)
{
        return accounts_user_name(c->a, id);
}

static bool group_taken(const struct allocation *c, uint32_t id)
{
        return accounts_group_name(c->a, id);
}

/* ---- adding ---- */

static int record(struct id_allocation **items, size_t *count, const char *name, uint32_t id,
                  struct error *err)
{
        struct id_allocation *grown = reallocarray(*items, *count + 1, sizeof(*grown));

        if (!grown)
                return error_oom(err);
        *items = grown;
        grown[*count] = (struct id_allocation){ strdup(name), id };
        if (!grown[*count].name)
                return error_oom(err);
        (*count)++;
        return 0;
}

static int add_open_group(const struct allocation *c, const char *name, uint32_t gid,
                          struct error *err)
{
        int r = accounts_add_group(c->a, name, gid, err);

        return r < 0 ? r
                     : record(&c->result->groups.items, &c->result->groups.count, name, gid, err);
}

static int add_group(const struct allocation *c, const struct sysuser *u, struct error *err)
{
        uint32_t gid;
        int r;

        if (accounts_group(c->a, u->name))
                return 0;
        if (fixed_id(c, u, &gid)) {
                if (group_taken(c, gid))
                        return error_set(err, -EEXIST, "group '%s': id %u belongs to '%s'", u->name,
                                         gid, accounts_group_name(c->a, gid));
                return accounts_add_group(c->a, u->name, gid, err);
        }
        r = choose_id(c, c->lock->groups.items, c->lock->groups.count, u->name, group_taken, &gid,
                      err);
        return r < 0 ? r : add_open_group(c, u->name, gid, err);
}

/* The group named behind the colon of a user's id; NULL when there is none. */
static const char *named_group(const struct sysuser *u)
{
        const char *colon = u->id && u->id[0] != '/' ? strchr(u->id, ':') : NULL;

        return colon ? colon + 1 : NULL;
}

static int find_group(const struct allocation *c, const char *group, uint32_t *ret,
                      struct error *err)
{
        const struct group *g = accounts_group(c->a, group);

        if (g)
                *ret = g->gid;
        else if (!parse_number(group, ret) || !group_taken(c, *ret))
                return error_set(err, -ENOENT, "group '%s' is not defined", group);
        return 0;
}

/* The user's own group: there already, or made with the user's id. */
static int own_group(const struct allocation *c, const char *name, uint32_t uid, bool open,
                     uint32_t *ret, struct error *err)
{
        const struct group *g = accounts_group(c->a, name);
        uint32_t locked;
        int r;

        if (g) {
                *ret = g->gid;
                return 0;
        }
        *ret = uid;
        if (open && lock_has(c->lock->groups.items, c->lock->groups.count, name, &locked))
                *ret = locked;
        if (!open && !group_taken(c, uid))
                return accounts_add_group(c->a, name, uid, err);
        if (group_taken(c, *ret)) {
                r = allocate(c, name, ret, err);
                if (r < 0)
                        return r;
        }
        return add_open_group(c, name, *ret, err);
}

/* The user's id: fixed, locked, that of a group of the same name, or new. */
static int user_id(const struct allocation *c, const struct sysuser *u, uint32_t *ret, bool *open,
                   struct error *err)
{
        const struct group *g = accounts_group(c->a, u->name);
        uint32_t locked;

        *open = !fixed_id(c, u, ret);
        if (!*open) {
                if (user_taken(c, *ret))
                        return error_set(err, -EEXIST, "user '%s': id %u belongs to '%s'", u->name,
                                         *ret, accounts_user_name(c->a, *ret));
                return 0;
        }
        if (g && !user_taken(c, g->gid) &&
            !lock_has(c->lock->users.items, c->lock->users.count, u->name, &locked)) {
                *ret = g->gid;
                return 0;
        }
        return choose_id(c, c->lock->users.items, c->lock->users.count, u->name, user_taken, ret,
                         err);
}

static int add_user(const struct allocation *c, const struct sysuser *u, struct error *err)
{
        struct user user = { .name = u->name, .gecos = u->gecos, .home = u->home };
        bool open;
        int r;

        if (accounts_user(c->a, u->name))
                return 0;
        user.expired = u->expired;
        r = user_id(c, u, &user.uid, &open, err);
        if (r < 0)
                return r;
        user.shell = u->shell ?: (char *)(user.uid == 0 ? "/bin/bash" : "/usr/sbin/nologin");
        r = named_group(u) ? find_group(c, named_group(u), &user.gid, err)
                           : own_group(c, u->name, user.uid, open, &user.gid, err);
        if (r == 0)
                r = accounts_add_user(c->a, &user, err);
        if (r < 0 || !open)
                return r;
        return record(&c->result->users.items, &c->result->users.count, u->name, user.uid, err);
}

static bool is_fixed(const struct allocation *c, const struct sysuser *u)
{
        uint32_t id;

        return fixed_id(c, u, &id);
}

/* Which lines a pass takes: those of a type, with their id fixed or open, and, for users, with a
 * group named or their own. Own groups come first, for a named one may be another user's. */
static const struct {
        char type;
        bool fixed, named;
} passes[] = {
        { 'g', true, false },  { 'g', false, false }, { 'u', true, false },
        { 'u', false, false }, { 'u', true, true },   { 'u', false, true },
};

static int run_passes(const struct allocation *c, struct error *err)
{
        for (size_t p = 0; p < ARRAY_SIZE(passes); p++)
                for (size_t i = 0; i < c->s->count; i++) {
                        const struct sysuser *u = &c->s->items[i];
                        int r;

                        if (u->type != passes[p].type || is_fixed(c, u) != passes[p].fixed ||
                            (named_group(u) != NULL) != passes[p].named)
                                continue;
                        r = u->type == 'g' ? add_group(c, u, err) : add_user(c, u, err);
                        if (r < 0)
                                return error_prefix(err, r, "sysusers '%s'", u->name);
                }
        return 0;
}

static int compare_items(const void *a, const void *b)
{
        const struct sysuser *x = a, *y = b;
        int order = strcmp(x->name, y->name);

        if (order == 0)
                order = x->type - y->type;
        return order != 0 ? order : strcmp(x->id ?: "", y->id ?: "");
}

/* "m" lines define what they name when nobody else does. */
static int add_implied(struct sysusers *s, struct error *err)
{
        for (size_t i = 0, n = s->count; i < n; i++) {
                const char *names[] = { s->items[i].name, s->items[i].id };

                for (size_t k = 0; s->items[i].type == 'm' && k < ARRAY_SIZE(names); k++) {
                        struct sysuser u = { .type = "ug"[k], .name = strdup(names[k]) };
                        int r = u.name ? add_item(s, &u, err) : error_oom(err);

                        sysuser_done(&u);
                        if (r < 0)
                                return r;
                }
        }
        return 0;
}

static int add_members(const struct allocation *c, struct error *err)
{
        for (size_t i = 0; i < c->s->count; i++) {
                const struct sysuser *m = &c->s->items[i];
                int r;

                if (m->type != 'm')
                        continue;
                r = accounts_add_member(c->a, m->id, m->name, err);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Allocations of names that are not defined this time. */
static int keep_locked(const struct allocation *c, struct error *err)
{
        int r = 0;

        for (size_t i = 0; r == 0 && i < c->lock->users.count; i++)
                if (!accounts_user(c->a, c->lock->users.items[i].name))
                        r = record(&c->result->users.items, &c->result->users.count,
                                   c->lock->users.items[i].name,
                                   (uint32_t)c->lock->users.items[i].id, err);
        for (size_t i = 0; r == 0 && i < c->lock->groups.count; i++)
                if (!accounts_group(c->a, c->lock->groups.items[i].name))
                        r = record(&c->result->groups.items, &c->result->groups.count,
                                   c->lock->groups.items[i].name,
                                   (uint32_t)c->lock->groups.items[i].id, err);
        return r;
}

static int compare_allocations(const void *a, const void *b)
{
        return strcmp(((const struct id_allocation *)a)->name,
                      ((const struct id_allocation *)b)->name);
}

int sysusers_apply(struct sysusers *s, const struct tree *tree, const struct lock *lock,
                   struct accounts *a, struct merge_result *result, struct error *err)
{
        static const struct lock no_lock = {};
        struct allocation c = { s, tree, lock ?: &no_lock, a, result };
        int r = add_implied(s, err);

        if (r < 0)
                return r;
        if (s->count > 0)
                qsort(s->items, s->count, sizeof(*s->items), compare_items);
        r = run_passes(&c, err);
        if (r == 0)
                r = add_members(&c, err);
        if (r == 0)
                r = keep_locked(&c, err);
        if (r < 0)
                return r;
        if (result->users.count > 0)
                qsort(result->users.items, result->users.count, sizeof(struct id_allocation),
                      compare_allocations);
        if (result->groups.count > 0)
                qsort(result->groups.items, result->groups.count, sizeof(struct id_allocation),
                      compare_allocations);
        return 0;
}
