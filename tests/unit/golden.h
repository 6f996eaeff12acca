/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Golden texts: what a module prints is compared with a file of tests/golden/. With the environment
 * variable UPDATE_GOLDEN set, the file is written instead: read the difference before committing.
 */

#include <fcntl.h>

#include "io.h"
#include "strv.h"

static inline void assert_golden(const char *name, const char *text)
{
        _cleanup_free_ char *path = NULL, *expected = NULL;

        assert_true(asprintf(&path, PROJECT_DIR "/tests/golden/%s", name) > 0);
        if (getenv("UPDATE_GOLDEN"))
                assert_int_equal(file_write(AT_FDCWD, path, text, strlen(text), 0644, NULL), 0);
        assert_int_equal(file_read(AT_FDCWD, path, MIB, &expected, NULL, NULL), 0);
        assert_string_equal(text, expected);
}
