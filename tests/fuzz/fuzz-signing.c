/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Any bytes as a list of what wants a signature: refused, or one whose files are in its directory.
 */

#include <assert.h>

#include "sign-request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_sign_origin_ struct sign_origin origin = {};

        if (sign_origin_parse((const char *)data, size, &origin, NULL) < 0)
                return 0;
        assert(origin.manifest[0] == '/');
        for (size_t i = 0; i < origin.requests.count; i++) {
                const struct sign_request *r = &origin.requests.items[i];

                assert(!strchr(r->file, '/') && !strchr(r->answer, '/') && r->answer[0] != '.');
                assert(strlen(r->answer) < 64);
        }
        return 0;
}
