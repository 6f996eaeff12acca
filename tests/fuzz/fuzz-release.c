/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A release from hostile text: refused with a reason, or its text is taken again and is the same
 * release. */

#include <assert.h>

#include "release.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_release_ struct release release = {}, again = {};
        _cleanup_free_ char *text = NULL, *text_again = NULL;
        struct error err = {};
        int r;

        if (release_parse("fuzz", (const char *)data, size, &release, &err) < 0) {
                assert(err.message[0]);
                return 0;
        }
        r = release_text(&release, &text, &err);
        assert(r == 0);
        r = release_parse("again", text, strlen(text), &again, &err);
        assert(r == 0);
        r = release_text(&again, &text_again, &err);
        assert(r == 0 && streq(text, text_again));
        return 0;
}
