/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Any bytes as a file of patches: refused with a reason, or written again as the same bytes; and
 * each patch in it, which is no more trustworthy than the file, gives the size it should or is
 * refused. */

#include <assert.h>

#include "delta.h"
#include "file-seal.h"
#include "module-patches.h"

enum { OLD_SIZE = 4096, NEW_SIZE_MAX = 65536 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void apply(const struct module_patch *p)
{
        static const char old[OLD_SIZE] = "the old module";
        _cleanup_free_ char *out = NULL;
        struct error err = {};

        if (p->new_size > NEW_SIZE_MAX)
                return;
        out = malloc(p->new_size);
        if (delta_apply(old, sizeof(old), p->data, p->size, out, p->new_size, &err) < 0)
                assert(err.message[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_module_patches_ struct module_patches p = {};
        struct file_seal seal;
        _cleanup_free_ char *again = NULL;
        struct error err = {};
        size_t n;
        int r;

        if (file_seal_parse(data, size, MODULE_PATCHES_SIZE_MAX, &seal, &err) >= 0) {
                uint8_t bytes[FILE_SEAL_MAX];

                assert(file_seal_write(&seal, bytes) == size);
                assert(memcmp(bytes, data, size) == 0);
        }
        if (module_patches_parse(data, size, &p, &err) < 0) {
                assert(err.message[0]);
                return 0;
        }
        r = module_patches_write(&p, &again, &n, &err);
        assert(r == 0 && n == size && memcmp(again, data, n) == 0);
        for (size_t i = 0; i < p.count; i++)
                apply(&p.items[i]);
        return 0;
}
