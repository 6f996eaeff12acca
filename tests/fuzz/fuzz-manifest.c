/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Manifest and layer from hostile text: no crash, no leak, and what was decoded can be freed. */

#include "manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try(const uint8_t *data, size_t size, const struct record *record, void *object)
{
        _cleanup_json_ struct json_document d = {};
        struct error err = {};

        if (json_load("fuzz", (const char *)data, size, false, &d, &err) < 0)
                return;
        memset(object, 0, record->size);
        if (record_decode(&d, d.root, record, object, &err) < 0 && !err.message[0])
                abort();
        record->done(object);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct manifest m;
        struct layer l;

        try(data, size, &manifest_record, &m);
        try(data, size, &layer_record, &l);
        return 0;
}
