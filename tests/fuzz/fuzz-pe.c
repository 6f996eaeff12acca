/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Any bytes as a stub: refused, or a UKI that our own reader finds sound. As an image to sign:
 * refused, or what has a signature more has the digest of before. */

#include <assert.h>

#include "pe-certificate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void walk(const uint8_t *data, size_t size)
{
        size_t position = 0, n, total = 0;
        const void *certificate;
        struct pe pe;

        if (pe_read(data, size, &pe, NULL) < 0)
                return;
        while (pe_certificate_next(data, &pe, &position, &certificate, &n, NULL) > 0) {
                total += n + ((const uint8_t *)certificate)[n - 1];
                assert((const uint8_t *)certificate + n <= data + size);
        }
        assert(position <= pe.certificates_size);
        assert(total <= size + position * UINT8_MAX);
}

static void attach(const uint8_t *data, size_t size)
{
        _cleanup_free_ char *image = NULL;
        struct sha256 before, after;
        size_t image_size;

        if (pe_digest(data, size, &before, NULL) < 0)
                return;
        assert(pe_attach(data, size, "signature", 9, &image, &image_size, NULL) >= 0);
        assert(pe_digest(image, image_size, &after, NULL) >= 0);
        assert(sha256_equal(&before, &after));
}

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
        size_t image_size, offset;
        struct pe pe;

        walk(data, size);
        attach(data, size);
        if (uki_build(&in, &image, &image_size, NULL) < 0)
                return 0;
        assert(pe_read(image, image_size, &pe, NULL) >= 0);
        assert(pe_find(&pe, ".linux") && pe_find(&pe, ".cmdline"));
        assert(uki_set_cmdline(image, image_size, "QUIET", &offset, NULL) >= 0);
        assert(memcmp(image + offset, "QUIET", 5) == 0);
        return 0;
}
