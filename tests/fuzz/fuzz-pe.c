/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Any bytes as a stub: refused, or a UKI that our own reader finds sound. */

#include <assert.h>

#include "pe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        const struct uki_input in = {
                .stub = data,
                .stub_size = size,
                .linux_image = "kernel",
                .linux_size = 6,
                .cmdline = "quiet",
        };
        _cleanup_free_ char *image = NULL;
        size_t image_size;
        struct pe pe;

        if (uki_build(&in, &image, &image_size, NULL) < 0)
                return 0;
        assert(pe_read(image, image_size, &pe, NULL) >= 0);
        assert(pe_find(&pe, ".linux") && pe_find(&pe, ".cmdline"));
        return 0;
}
