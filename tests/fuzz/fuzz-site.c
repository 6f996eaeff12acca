/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a site's files may hold: read, or refused with a reason. */

#include <assert.h>

#include "../unit/site-formats.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct error err = {};

        if (site_formats_try(data, size, &err) < 0)
                assert(err.message[0]);
        return 0;
}
