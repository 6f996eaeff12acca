/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* From the text that a provider found to the one configuration that the stages see. */

#include "agent.h"

enum {
        REFERENCE_DEPTH_MAX = 32,  /* configurations that refer to each other */
        REFERENCE_COUNT_MAX = 200, /* in all, base configurations too */
};

/* Reads one text; what is wrong goes to the log, and into err with its place as the setting. */
int agent_parse(struct agent *a, const char *name, const char *text, size_t size,
                struct config *ret, struct error *err) _must_check_;

/* Fills a->config and a->tree with the user's configuration (size 0: none), what it refers to, and
 * the image's base configurations below it. FETCH_OFFLINE (fetch.h) when that needs the network and
 * may not use it. */
int agent_resolve(struct agent *a, const struct config_text *user, struct error *err) _must_check_;

/* Hears of each reference once it was tried: `reached` is false when that needs the network. The
 * configuration that refers is the agent's meanwhile. */
struct reference_watch {
        void (*tried)(struct reference_watch *w, const struct resource *reference, bool replaces,
                      bool reached);
};

/* For a dry run: the same without the network. What cannot be reached adds nothing. */
int agent_preview(struct agent *a, const struct config_text *user, struct reference_watch *watch,
                  struct error *err) _must_check_;

/* Validates a tree, and makes it the agent's configuration. */
int agent_adopt(struct agent *a, json_object *tree, struct error *err) _must_check_;

/* base-config.c: the image's base configurations merged, NULL when there are none. */
int base_config_load(struct agent *a, json_object **ret, struct error *err) _must_check_;

/* Reads a text as the next source: the tree of the newest version, and the configuration. */
int source_load(struct agent *a, const struct config_text *text, struct config *ret_config,
                json_object **ret_tree, struct error *err) _must_check_;
/* Merges the child over *tree (which may be NULL) and drops both. */
int tree_merge(json_object **tree, json_object *child, struct error *err) _must_check_;

static inline void tree_put(json_object **tree)
{
        json_object_put(*tree);
}
#define _cleanup_tree_ _cleanup_(tree_put)
