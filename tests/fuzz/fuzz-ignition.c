/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Any text as a configuration, as the content of a data: URL, and as a unit file. A configuration
 * that is accepted must translate to something that translates to itself; merged over nothing it
 * stays what it is. */

#include <assert.h>

#include "config.h"
#include "data-url.h"
#include "unit-syntax.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* 0 when accepted; then *ret is the translation. */
static int translate(const char *text, size_t size, char **ret)
{
        _cleanup_findings_ struct findings findings = {};
        _cleanup_config_ struct config config = {};
        struct error err = {};
        int r;

        r = config_load("fuzz", text, size, &config, &findings, &err);
        assert((r < 0) == (err.message[0] != '\0'));
        assert(r < 0 || findings.errors == 0);
        return r < 0 ? r : config_translate(&config, ret, &err);
}

/* The trees have no duplicates, so the values can be compared as texts. */
static void try_merge(const char *translation)
{
        json_object *tree = json_tokener_parse(translation), *empty, *merged = NULL;
        struct error err;

        empty = json_tokener_parse("{\"ignition\":{\"version\":\"" CONFIG_NEWEST_VERSION "\"}}");
        assert(tree && empty && config_merge(empty, tree, &merged, &err) == 0);
        assert(json_object_equal(merged, tree));
        json_object_put(merged);
        assert(config_merge(tree, tree, &merged, &err) == 0);
        json_object_put(merged);
        assert(config_wipe(tree, &err) == 0);
        json_object_put(tree);
        json_object_put(empty);
}

static void try_config(const uint8_t *data, size_t size)
{
        _cleanup_free_ char *first = NULL, *second = NULL;

        if (translate((const char *)data, size, &first) < 0)
                return;
        try_merge(first);
        /* Later versions made some rules stricter: a translation may be refused. */
        if (translate(first, strlen(first), &second) == 0)
                assert(streq(first, second));
}

static void try_url(const char *url)
{
        char scheme[URL_SCHEME_MAX] = "";
        _cleanup_free_ char *decoded = NULL;
        struct error err = {};
        size_t size;

        if (data_url_decode(url, &decoded, &size, &err) == 0)
                assert(decoded[size] == '\0' && size <= strlen(url));
        if (url_scheme(url, scheme) == 0)
                assert(strlen(scheme) < sizeof(scheme));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_free_ char *text = strndup((const char *)data, size), *url = NULL;
        struct error err = {};
        bool install;

        try_config(data, size);
        if (!text || asprintf(&url, "data:%s", text) < 0)
                return 0;
        try_url(text);
        try_url(url);
        if (unit_syntax_check(text, &install, &err) < 0)
                assert(err.message[0]);
        return 0;
}
