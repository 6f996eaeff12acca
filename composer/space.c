/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See space.h. */

#include <inttypes.h>

#include "space.h"

int space_init(struct space *s, uint64_t end, struct error *err)
{
        *s = (struct space){ .end = end };
        if (end == 0)
                return 0;
        if (array_reserve(&s->ranges, &s->capacity, 1, sizeof(*s->ranges)) < 0)
                return error_oom(err);
        s->ranges[s->count++] = (struct space_range){ 0, end };
        return 0;
}

void space_done(struct space *s)
{
        free(s->ranges);
        *s = (struct space){};
}

/* The range at index is replaced by what is left of it before and behind. */
static int split(struct space *s, size_t index, uint64_t start, uint64_t size, struct error *err)
{
        struct space_range *r, before, behind;
        size_t n;

        if (array_reserve(&s->ranges, &s->capacity, s->count + 1, sizeof(*s->ranges)) < 0)
                return error_oom(err);
        r = &s->ranges[index];
        before = (struct space_range){ r->start, start - r->start };
        behind = (struct space_range){ start + size, r->start + r->size - (start + size) };
        n = (before.size > 0) + (behind.size > 0);
        memmove(r + n, r + 1, (s->count - index - 1) * sizeof(*r));
        s->count += n - 1;
        if (before.size > 0)
                *r++ = before;
        if (behind.size > 0)
                *r = behind;
        return 0;
}

/* Everything before `end` becomes part of the row. */
static int grow(struct space *s, uint64_t end, struct error *err)
{
        struct space_range *last = s->count > 0 ? &s->ranges[s->count - 1] : NULL;

        if (end <= s->end)
                return 0;
        if (last && last->start + last->size == s->end) {
                last->size += end - s->end;
        } else {
                if (array_reserve(&s->ranges, &s->capacity, s->count + 1, sizeof(*s->ranges)) < 0)
                        return error_oom(err);
                s->ranges[s->count++] = (struct space_range){ s->end, end - s->end };
        }
        s->end = end;
        return 0;
}

/* Index of the last range that begins at or before the unit; s->count: there is none. */
static size_t range_at(const struct space *s, uint64_t unit)
{
        size_t low = 0, high = s->count;

        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (s->ranges[middle].start <= unit)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low > 0 ? low - 1 : s->count;
}

int space_claim(struct space *s, uint64_t start, uint64_t size, struct error *err)
{
        size_t index;
        int r;

        if (size == 0)
                return 0;
        if (start > UINT64_MAX - size)
                return error_set(err, -ERANGE, "%" PRIu64 " is too far", start);
        r = grow(s, start + size, err);
        if (r < 0)
                return r;
        index = range_at(s, start);
        if (index == s->count || start + size > s->ranges[index].start + s->ranges[index].size)
                return error_set(err, -EEXIST, "%" PRIu64 " is taken already", start);
        return split(s, index, start, size, err);
}

/* The first place at or behind `start` that the conditions allow. */
static uint64_t place(uint64_t start, uint64_t size, uint64_t align, uint64_t group)
{
        start = ROUND_UP(start, align);
        if (group != 0 && size <= group && start % group + size > group)
                start = ROUND_UP(start, group);
        return start;
}

int space_take(struct space *s, uint64_t size, uint64_t align, uint64_t group, uint64_t *ret,
               struct error *err)
{
        uint64_t best = UINT64_MAX, start = 0;

        for (size_t i = 0; i < s->count; i++) {
                const struct space_range *r = &s->ranges[i];
                uint64_t at = place(r->start, size, align, group);

                if (at + size <= r->start + r->size && r->size < best) {
                        best = r->size;
                        start = at;
                }
        }
        if (best == UINT64_MAX) { /* at the end, with what is free there already */
                const struct space_range *last = s->count > 0 ? &s->ranges[s->count - 1] : NULL;
                bool free_end = last && last->start + last->size == s->end;

                start = place(free_end ? last->start : s->end, size, align, group);
        }
        *ret = start;
        return space_claim(s, start, size, err);
}

uint64_t space_free(const struct space *s)
{
        uint64_t n = 0;

        for (size_t i = 0; i < s->count; i++)
                n += s->ranges[i].size;
        return n;
}
