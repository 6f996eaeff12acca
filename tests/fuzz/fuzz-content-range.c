/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Any text as a Content-Range: refused, or it says what, written again, means the same. */

#include <assert.h>

#include "content-range.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_free_ char *text = strndup((const char *)data, size);
        struct content_range a, b;
        char again[96];

        if (!text || content_range_parse(text, &a) < 0)
                return 0;
        assert(a.first <= a.last && a.last < a.total);
        snprintf(again, sizeof(again), "bytes %ju-%ju/%ju", (uintmax_t)a.first, (uintmax_t)a.last,
                 (uintmax_t)a.total);
        assert(content_range_parse(again, &b) == 0 && memcmp(&a, &b, sizeof(a)) == 0);
        return 0;
}
