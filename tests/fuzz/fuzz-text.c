/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The small text formats that packages bring, each given the same bytes: maintainer scripts,
 * sysusers.d, passwd and group, unit files, presets, relations, globs. Refused or read, nothing
 * else. */

#include "deb-version.h"
#include "script.h"
#include "strv.h"
#include "sysusers.h"
#include "text.h"
#include "unit-file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int fuzz_script(const char *input, struct error *err)
{
        _cleanup_strv_ char **commands = NULL, **tools = NULL;
        _cleanup_free_ char *text = strdup(input);
        int r = text ? script_commands(text, &commands, err) : -ENOMEM;

        return r < 0 ? r : script_drop_generated(text, &tools, err);
}

static int fuzz_accounts(const char *text, struct error *err)
{
        _cleanup_accounts_ struct accounts a = {};
        _cleanup_free_ char *written = NULL;
        int r = accounts_read_group(&a, text, err);

        if (r == 0)
                r = accounts_read_passwd(&a, text, err);
        return r < 0 ? r : accounts_text(&a, ACCOUNTS_GSHADOW, &written, err);
}

static int fuzz_sysusers(const char *text, struct error *err)
{
        _cleanup_sysusers_ struct sysusers s = {};
        _cleanup_accounts_ struct accounts a = {};
        _cleanup_merge_result_ struct merge_result result = {};
        _cleanup_tree_ struct tree *tree = NULL;
        int r = sysusers_parse(&s, "x", text, err);

        if (r == 0)
                r = tree_new(&tree, err);
        return r < 0 ? r : sysusers_apply(&s, tree, NULL, &a, &result, err);
}

static int fuzz_units(const char *text, struct error *err)
{
        _cleanup_unit_install_ struct unit_install install = {};
        _cleanup_presets_ struct presets presets = {};
        _cleanup_free_ char *expanded = NULL;
        int r = unit_install_parse(&install, text, err);

        if (r == 0)
                r = presets_parse(&presets, text, err);
        if (r < 0)
                return r;
        presets_find(&presets, "some@instance.service");
        return unit_specifiers(text, text, &expanded, err);
}

static int fuzz_matching(const char *text, struct error *err _unused_)
{
        return deb_relation_matches(text, "a", text) + glob_match(text, "/usr/lib/some/path.so.1");
}

static int (*const targets[])(const char *text, struct error *err) = {
        fuzz_script, fuzz_accounts, fuzz_sysusers, fuzz_units, fuzz_matching,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        char *text = strndup((const char *)data, MIN(size, (size_t)4096));
        struct error err = {};

        if (!text)
                return 0;
        /* Failures are expected: only crashes count. */
        for (size_t i = 0; i < ARRAY_SIZE(targets); i++)
                if (targets[i](text, &err) < 0)
                        err.code = 0;
        free(text);
        return 0;
}
