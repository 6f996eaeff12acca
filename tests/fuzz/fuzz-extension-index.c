/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Any bytes as an index of extensions: refused with a reason, or written again as a text that is
 * the same index; and whatever is in it can be looked up. */

#include <assert.h>

#include "extension-index.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look_up(const struct extension_index *index)
{
        char *levels[] = { (char *)"1.0", NULL };
        const struct extension_host host = { .levels = levels, .version_ids = { "13", "1.2" } };
        struct error err = {};

        for (size_t i = 0; i < index->entries.count; i++) {
                const struct extension_entry *e = &extension_entries(index)[i];
                struct extension_entry *found;

                assert(extension_index_find(index, e->name, &host, &found, &err) == 0);
                assert(!found || streq(found->name, e->name));
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_extension_index_ struct extension_index index = {}, again = {};
        _cleanup_free_ char *copy = malloc(size + 1), *text = NULL, *same = NULL;
        struct error err = {};

        assert(copy);
        memcpy(copy, data, size);
        copy[size] = '\0';
        if (extension_index_parse("index", copy, size, &index, &err) < 0) {
                assert(err.message[0]);
                return 0;
        }
        look_up(&index);
        assert(extension_index_text(&index, &text, &err) == 0);
        assert(strlen(text) > EXTENSION_INDEX_MAX ||
               extension_index_parse("again", text, strlen(text), &again, &err) == 0);
        if (again.image) {
                assert(extension_index_text(&again, &same, &err) == 0);
                assert(streq(text, same));
        }
        return 0;
}
