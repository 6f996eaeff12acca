/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Any file name: refused, or formatted back to itself. */

#include <assert.h>

#include "boot-entry.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_free_ char *name = strndup((const char *)data, size);
        char again[BOOT_ENTRY_NAME_MAX];
        struct boot_entry e;

        if (name && boot_entry_parse(name, &e) == 0)
                assert(streq(boot_entry_format(&e, again), name));
        return 0;
}
