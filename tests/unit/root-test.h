/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A small system below a temporary directory, for the tests of what is done to one. */

#include "root.h"
#include "strv.h"
#include "test.h"

/* The root is "<top>/<name>", or top itself when name is NULL; returns top. */
static inline char *root_make(const char *name, struct root *ret)
{
        char *top = test_mkdir();
        _cleanup_free_ char *path = name ? string_format("%s/%s", top, name) : strdup(top);
        struct error err = {};

        assert_ok(path_mkdirs(AT_FDCWD, path, 0755, &err), &err);
        assert_ok(root_open(ret, path, &err), &err);
        return top;
}

static inline void root_drop(struct root *root, char *top)
{
        root_done(root);
        test_rmdir(top);
}

static inline void put_bytes(struct root *root, const char *path, const void *data, size_t size)
{
        struct error err = {};

        assert_ok(file_write(root->fd, path, data, size, 0644, &err), &err);
}

static inline void put(struct root *root, const char *path, const char *text)
{
        put_bytes(root, path, text, strlen(text));
}

static inline void assert_text(struct root *root, const char *path, const char *want)
{
        _cleanup_free_ char *text = NULL;
        struct error err = {};

        assert_ok(file_read(root->fd, path, 10000, &text, NULL, &err), &err);
        assert_string_equal(text, want);
}

static inline bool is_there(struct root *root, const char *path)
{
        struct stat st;

        return root_stat(root, path, &st);
}
