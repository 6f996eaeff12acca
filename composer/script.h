/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Maintainer scripts as text. They are read, never run. */

#include "union.h"

/* The text of a package's script ("preinst", "postinst"); *ret NULL when the package has none. */
int script_text(const struct package_tree *p, const char *script, const struct content_store *store,
                char **ret, struct error *err) _must_check_;
/* Its logical lines, see text_script_lines(); an empty list when the package has none. */
int script_load(const struct package_tree *p, const char *script, const struct content_store *store,
                char ***ret, struct error *err) _must_check_;

/* The names of the commands that a script may run, sorted, each once; control flow, assignments and
 * the script's own functions left out. Command substitutions within double quotes are not looked
 * into. */
int script_commands(const char *text, char ***ret, struct error *err) _must_check_;

/* Takes the snippets out that debhelper generated, in place. For each the tool's name
 * ("dh_installsystemd") is added to *tools, once. */
int script_drop_generated(char *text, char ***tools, struct error *err) _must_check_;

/* scripts.c: a finding for every package whose scripts do something that no fix-up covers. The tree
 * is the union with the layers, before the fix-ups. */
int scripts_review(const struct package_tree *packages, size_t count,
                   const struct content_store *store, const struct tree *tree,
                   struct merge_result *result, struct error *err) _must_check_;
