/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See kernel-demands.h. */

#include "kernel-demands.h"
#include "strv.h"

/* ---- what a comment says before its colon ---- */

static void require(struct kernel_demand *d, const char *word _unused_)
{
        d->required = true;
}

static void recommend(struct kernel_demand *d, const char *word _unused_)
{
        d->required = false;
}

static void limit_architecture(struct kernel_demand *d, const char *word)
{
        d->architecture = word;
}

static void limit_to_modules(struct kernel_demand *d, const char *word _unused_)
{
        d->modules = true;
}

static const struct {
        const char *word;
        void (*apply)(struct kernel_demand *d, const char *word);
} qualifiers[] = {
        { "required", require },         { "recommended", recommend },
        { "amd64", limit_architecture }, { "arm64", limit_architecture },
        { "modules", limit_to_modules },
};

/* Takes one word, of n bytes. False: not one of ours. */
static bool apply_qualifier(struct kernel_demand *d, const char *word, size_t n)
{
        for (size_t i = 0; i < ARRAY_SIZE(qualifiers); i++)
                if (strlen(qualifiers[i].word) == n && memcmp(qualifiers[i].word, word, n) == 0) {
                        qualifiers[i].apply(d, qualifiers[i].word);
                        return true;
                }
        return false;
}

/* A colon behind any other word is part of the reason. */
static void read_reason(struct kernel_demand *d, const char *reason)
{
        struct kernel_demand qualified = *d;
        const char *at = reason;
        bool more = true;

        d->reason = reason;
        while (more) {
                size_t n = strcspn(at, ",: ");

                more = at[n] == ',' && at[n + 1] == ' ';
                if (!apply_qualifier(&qualified, at, n) || (!more && at[n] != ':'))
                        return;
                at += n + 1 + more;
        }
        *d = qualified;
        d->reason = at + strspn(at, " ");
}

static struct kernel_demand demand_of(const struct kconfig_option *o,
                                      const struct kconfig *fragment)
{
        struct kernel_demand d = { .option = o, .fragment = fragment, .required = true };

        read_reason(&d, o->reason);
        return d;
}

/* ---- several of one option ---- */

/* The one of two that satisfies both; NULL: none does. */
static const struct kconfig_option *stronger(const struct kconfig_option *a,
                                             const struct kconfig_option *b)
{
        if (a->kind == b->kind)
                return a->kind != KCONFIG_VALUE || streq(a->value, b->value) ? a : NULL;
        if (a->kind == KCONFIG_BUILT_IN && b->kind == KCONFIG_MODULE)
                return a;
        if (a->kind == KCONFIG_MODULE && b->kind == KCONFIG_BUILT_IN)
                return b;
        return NULL;
}

static int add_conflict(struct kernel_demands *d, const struct kernel_demand *a,
                        const struct kernel_demand *b, struct error *err)
{
        struct kernel_conflict *more =
                reallocarray(d->conflicts, d->n_conflicts + 1, sizeof(*more));

        if (!more)
                return error_oom(err);
        d->conflicts = more;
        d->conflicts[d->n_conflicts++] = (struct kernel_conflict){ *a, *b };
        return 0;
}

/* By name; of one name in the order of the fragments. */
static int compare_demands(const void *a, const void *b)
{
        const struct kernel_demand *x = a, *y = b;
        int r = strcmp(x->option->name, y->option->name);

        return r != 0 ? r : (x->fragment > y->fragment) - (x->fragment < y->fragment);
}

/* Where two that follow each other agree, and all of them do, the first agrees with the last. */
static int find_conflicts(struct kernel_demands *d, struct error *err)
{
        int r = 0;

        if (d->count > 0)
                qsort(d->items, d->count, sizeof(*d->items), compare_demands);
        for (size_t i = 1; r >= 0 && i < d->count; i++) {
                const struct kernel_demand *a = &d->items[i - 1], *b = &d->items[i];

                if (streq(a->option->name, b->option->name) && !stronger(a->option, b->option))
                        r = add_conflict(d, a, b, err);
        }
        return r;
}

/* ---- loading ---- */

static size_t count_options(const struct kernel_demands *d)
{
        size_t n = 0;

        for (size_t i = 0; i < d->n_fragments; i++)
                n += d->fragments[i].count;
        return n;
}

static int collect(struct kernel_demands *d, struct error *err)
{
        d->items = calloc(count_options(d) + 1, sizeof(*d->items));
        if (!d->items)
                return error_oom(err);
        for (size_t i = 0; i < d->n_fragments; i++)
                for (size_t k = 0; k < d->fragments[i].count; k++)
                        d->items[d->count++] =
                                demand_of(&d->fragments[i].options[k], &d->fragments[i]);
        return find_conflicts(d, err);
}

int kernel_demands_make(struct kconfig *fragments, size_t count, struct kernel_demands *ret,
                        struct error *err)
{
        _cleanup_kernel_demands_ struct kernel_demands d = { .fragments = fragments,
                                                             .n_fragments = count };
        int r = collect(&d, err);

        if (r >= 0)
                *ret = TAKE_STRUCT(d);
        return r;
}

int kernel_demands_load(char *const *paths, struct kernel_demands *ret, struct error *err)
{
        size_t count = strv_length(paths);
        struct kconfig *fragments = calloc(count + 1, sizeof(*fragments));
        int r = fragments ? 0 : error_oom(err);

        for (size_t i = 0; r >= 0 && i < count; i++)
                r = kconfig_load(paths[i], &fragments[i], err);
        if (r >= 0)
                return kernel_demands_make(fragments, count, ret, err);
        for (size_t i = 0; fragments && i < count; i++)
                kconfig_done(&fragments[i]);
        free(fragments);
        return r;
}

int kernel_demands_keep_required(struct kernel_demands *d, struct error *err)
{
        size_t count = 0;

        for (size_t i = 0; i < d->count; i++)
                if (d->items[i].required)
                        d->items[count++] = d->items[i];
        d->count = count;
        d->n_conflicts = 0;
        return find_conflicts(d, err);
}

void kernel_demands_done(struct kernel_demands *d)
{
        for (size_t i = 0; i < d->n_fragments; i++)
                kconfig_done(&d->fragments[i]);
        free(d->fragments);
        free(d->items);
        free(d->conflicts);
        *d = (struct kernel_demands){};
}

/* ---- texts ---- */

static void write_place(struct buffer *b, const struct kernel_demand *d)
{
        buffer_printf(b, "%s:%u: ", d->fragment->name, d->option->line);
        kconfig_write(b, d->option);
}

char *kernel_conflict_text(const struct kernel_conflict *c)
{
        _cleanup_buffer_ struct buffer b = {};
        char *text;

        write_place(&b, &c->a);
        buffer_puts(&b, ", but ");
        write_place(&b, &c->b);
        return buffer_take(&b, &text, NULL) < 0 ? NULL : text;
}

int kernel_demands_refuse_conflicts(const struct kernel_demands *d, struct error *err)
{
        _cleanup_free_ char *text = NULL;

        if (d->n_conflicts == 0)
                return 0;
        text = kernel_conflict_text(&d->conflicts[0]);
        if (!text)
                return error_oom(err);
        return error_set(err, -EINVAL, d->n_conflicts > 1 ? "%s (and %zu more conflicts)" : "%s",
                         text, d->n_conflicts - 1);
}

/* What satisfies everybody who asks for the option of the item at *index; moves *index behind them.
 */
static const struct kconfig_option *strongest(const struct kernel_demands *d, size_t *index)
{
        const struct kconfig_option *best = d->items[*index].option;

        while (++*index < d->count && streq(d->items[*index].option->name, best->name))
                best = stronger(best, d->items[*index].option);
        return best;
}

int kernel_demands_merge(const struct kernel_demands *d, const struct kconfig *base, char **ret,
                         struct error *err)
{
        static const struct kconfig nothing = {};
        _cleanup_buffer_ struct buffer b = {};
        size_t i = 0, k = 0;
        int r = kernel_demands_refuse_conflicts(d, err);

        if (r < 0)
                return r;
        base = base ?: &nothing;
        while (i < base->count || k < d->count) {
                const struct kconfig_option *old = i < base->count ? &base->options[i] : NULL,
                                            *new = k < d->count ? d->items[k].option : NULL;
                int order = !old ? 1 : !new ? -1 : strcmp(old->name, new->name);

                i += order <= 0;
                if (order >= 0)
                        new = strongest(d, &k);
                if (order == 0)
                        new = stronger(old, new) ?: new;
                kconfig_write(&b, order < 0 ? old : new);
                buffer_puts(&b, "\n");
        }
        return buffer_take(&b, ret, NULL) < 0 ? error_oom(err) : 0;
}
