/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Alternatives, read from postinst scripts as text:
 *
 *   update-alternatives --install LINK NAME PATH PRIORITY [--slave LINK NAME PATH]…
 *
 * Of one NAME the highest priority whose PATH is in the image wins; its slaves come along. The link
 * points to PATH directly and not through /etc/alternatives: which program a name means is part of
 * the verified image. */

#include "fixup.h"
#include "script.h"
#include "strv.h"
#include "text.h"

enum { CHOICES_MAX = 4096 };

struct choice {
        char *name;   /* of the alternative, also for slaves */
        char **links; /* LINK, PATH, LINK, PATH … */
        long priority;
};

struct choices {
        struct choice *items;
        size_t count, capacity;
};

static void choices_done(struct choices *c)
{
        for (size_t i = 0; i < c->count; i++) {
                free(c->items[i].name);
                strv_free(c->items[i].links);
        }
        free(c->items);
}

static bool is_static(const char *word)
{
        return word && word[0] == '/' && !strpbrk(word, "$`*?");
}

static int add_link(struct choice *choice, const char *link, const char *path, struct error *err)
{
        if (strv_extend(&choice->links, link) < 0 || strv_extend(&choice->links, path) < 0)
                return error_oom(err);
        return 0;
}

/* The words behind "--install". Lines that the script computes are left alone; scripts.c reports
 * them. */
static int read_install(struct choices *c, char *const *words, struct error *err)
{
        struct choice *choice;
        char *end;
        int r;

        if (strv_length((char **)words) < 4 || !is_static(words[0]) || !is_static(words[2]))
                return 0;
        if (c->count >= CHOICES_MAX)
                return error_set(err, -E2BIG, "more than %d alternatives", CHOICES_MAX);
        if (array_reserve(&c->items, &c->capacity, c->count + 1, sizeof(*choice)) < 0)
                return error_oom(err);
        choice = &c->items[c->count++];
        *choice =
                (struct choice){ .name = strdup(words[1]), .priority = strtol(words[3], &end, 10) };
        r = choice->name ? add_link(choice, words[0], words[2], err) : error_oom(err);
        for (words += 4; r == 0 && *words && streq(*words, "--slave"); words += 4) {
                if (strv_length((char **)words) < 4)
                        break;
                if (is_static(words[1]) && is_static(words[3]))
                        r = add_link(choice, words[1], words[3], err);
        }
        return r;
}

static int read_package(struct fixup_context *c, const struct package_tree *p,
                        struct choices *choices, struct error *err)
{
        _cleanup_strv_ char **lines = NULL;
        int r = script_load(p, "postinst", c->store, &lines, err);

        STRV_FOREACH (line, lines) {
                _cleanup_strv_ char **words = NULL;

                if (!strstr(*line, "update-alternatives") || text_words(*line, &words, NULL) < 0)
                        continue;
                STRV_FOREACH (word, words)
                        if (streq(*word, "--install")) {
                                r = read_install(choices, word + 1, err);
                                if (r < 0)
                                        return r;
                        }
        }
        return r;
}

/* Whether the choice's own program is in the image. */
static bool is_there(const struct fixup_context *c, const char *path)
{
        char image[TREE_PATH_MAX];

        return tree_resolve(c->tree, image_path(path, image));
}

/* Whether another choice of the same name comes before this one. */
static bool is_beaten(const struct fixup_context *c, const struct choices *choices, size_t index)
{
        const struct choice *own = &choices->items[index];

        for (size_t i = 0; i < choices->count; i++) {
                const struct choice *other = &choices->items[i];

                if (i == index || !streq(other->name, own->name) || !is_there(c, other->links[1]))
                        continue;
                if (other->priority > own->priority ||
                    (other->priority == own->priority && i < index))
                        return true;
        }
        return false;
}

static int make_links(struct fixup_context *c, const struct choice *choice, struct error *err)
{
        for (size_t i = 0; choice->links[i]; i += 2) {
                char link[TREE_PATH_MAX], path[TREE_PATH_MAX];
                int r;

                image_path(choice->links[i], link);
                /* The link is for the running system, where /etc is /etc. */
                if (startswith(choice->links[i + 1], "/etc/"))
                        snprintf(path, sizeof(path), "%s", choice->links[i + 1]);
                else
                        image_path(choice->links[i + 1], path);
                if (!is_there(c, choice->links[i + 1]))
                        continue;
                r = fixup_link_missing(c, link, path, err);
                if (r < 0)
                        return error_prefix(err, r, "alternative '%s'", choice->name);
        }
        return 0;
}

int fixup_alternatives(struct fixup_context *c, struct error *err)
{
        _cleanup_(choices_done) struct choices choices = {};
        int r = 0;

        for (size_t i = 0; r == 0 && i < c->count; i++)
                r = read_package(c, &c->packages[i], &choices, err);
        for (size_t i = 0; r == 0 && i < choices.count; i++)
                if (is_there(c, choices.items[i].links[1]) && !is_beaten(c, &choices, i))
                        r = make_links(c, &choices.items[i], err);
        return r;
}
