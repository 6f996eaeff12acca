/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Any text as a UKI's .pcrsig: refused with a reason, or each signature in it is written and read
 * again as the same. */

#include <assert.h>

#include "pcr-signature.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct pcr_signature *s)
{
        _cleanup_pcr_signatures_ struct pcr_signatures again = {};
        _cleanup_free_ char *text = NULL;
        const struct pcr_signature *same;
        struct error err = {};
        int r;

        r = pcr_signature_text(s, &text, &err);
        assert(r == 0);
        r = pcr_signatures_parse(text, strlen(text), &again, &err);
        assert(r == 0);
        same = pcr_signatures_find(&again, &s->key, &s->policy);
        assert(same && same->size == s->size &&
               memcmp(same->signature, s->signature, s->size) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_pcr_signatures_ struct pcr_signatures s = {};
        struct error err = {};

        if (pcr_signatures_parse((const char *)data, size, &s, &err) < 0) {
                assert(err.message[0]);
                return 0;
        }
        for (size_t i = 0; i < s.list.count; i++)
                check((const struct pcr_signature *)s.list.items + i);
        return 0;
}
