/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What layers say in layer.json and systemd reads from files: sysusers and tmpfiles lines, unit
 * presets, masks, and their own alternatives. */

#include "fixup.h"
#include "strv.h"

static int put_lines(struct fixup_context *c, const char *directory, const struct layer *layer,
                     char *const *lines, struct error *err)
{
        _cleanup_buffer_ struct buffer b = {};
        char path[TREE_PATH_MAX];

        if (!lines || !*lines)
                return 0;
        for (; *lines; lines++)
                buffer_printf(&b, "%s\n", *lines);
        if (b.failed)
                return error_oom(err);
        snprintf(path, sizeof(path), "%s/slipway-%s.conf", directory, layer->name);
        return fixup_put(c, path, b.data, b.size, 0644, err);
}

/* Whether a later layer says something about the unit: then it has the last word. */
static bool decided_later(const struct manifest *m, size_t index, const char *unit)
{
        for (size_t i = index + 1; i < m->n_layers; i++)
                if (strv_contains(m->layers[i].units.enable, unit) ||
                    strv_contains(m->layers[i].units.disable, unit))
                        return true;
        return false;
}

/* A preset names an instance as template and instance: "enable getty@.service tty1". */
static void print_preset(struct buffer *b, const char *verb, const char *unit)
{
        const char *at = strchr(unit, '@'), *dot = strrchr(unit, '.');

        if (at && dot && dot > at + 1)
                buffer_printf(b, "%s %.*s@%s %.*s\n", verb, (int)(at - unit), unit, dot,
                              (int)(dot - at - 1), at + 1);
        else
                buffer_printf(b, "%s %s\n", verb, unit);
}

static int put_presets(struct fixup_context *c, size_t index, struct error *err)
{
        const struct layer *layer = &c->m->layers[index];
        _cleanup_buffer_ struct buffer b = {};
        char path[TREE_PATH_MAX];

        STRV_FOREACH (unit, layer->units.enable)
                if (!decided_later(c->m, index, *unit))
                        print_preset(&b, "enable", *unit);
        STRV_FOREACH (unit, layer->units.disable)
                if (!decided_later(c->m, index, *unit))
                        print_preset(&b, "disable", *unit);
        if (b.failed)
                return error_oom(err);
        if (b.size == 0)
                return 0;
        snprintf(path, sizeof(path), "/usr/lib/systemd/system-preset/10-slipway-%s.preset",
                 layer->name);
        return fixup_put(c, path, b.data, b.size, 0644, err);
}

static int put_masks(struct fixup_context *c, const struct layer *layer, struct error *err)
{
        STRV_FOREACH (unit, layer->units.mask) {
                char path[TREE_PATH_MAX];
                int r;

                snprintf(path, sizeof(path), "/usr/etc/systemd/system/%s", *unit);
                r = tree_put_symlink(c->tree, path, "/dev/null", c->origin, err);
                if (r < 0)
                        return error_prefix(err, r, "mask");
        }
        return 0;
}

static int put_alternatives(struct fixup_context *c, const struct layer *layer, struct error *err)
{
        for (size_t i = 0; i < layer->alternatives.count; i++) {
                const struct alternative *a = &layer->alternatives.items[i];
                char path[TREE_PATH_MAX];
                int r = tree_put_symlink(c->tree, image_path(a->link, path), a->target, c->origin,
                                         err);

                if (r < 0)
                        return error_prefix(err, r, "alternatives");
        }
        return 0;
}

int fixup_layer_config(struct fixup_context *c, struct error *err)
{
        for (size_t i = 0; i < c->m->n_layers; i++) {
                const struct layer *layer = &c->m->layers[i];
                int r = put_lines(c, "/usr/lib/sysusers.d", layer, layer->sysusers, err);

                if (r == 0)
                        r = put_lines(c, "/usr/lib/tmpfiles.d", layer, layer->tmpfiles, err);
                if (r == 0)
                        r = put_presets(c, i, err);
                if (r == 0)
                        r = put_masks(c, layer, err);
                if (r == 0)
                        r = put_alternatives(c, layer, err);
                if (r < 0)
                        return error_prefix(err, r, "layer '%s'", layer->name);
        }
        return 0;
}
