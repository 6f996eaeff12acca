/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See library.h. */

#include <dlfcn.h>

#include "library.h"

int library_load(const char *soname, const struct library_symbol *symbols, size_t count, void *ret,
                 struct error *err)
{
        void *library = dlopen(soname, RTLD_LAZY | RTLD_NODELETE);

        if (!library)
                return error_set(err, -ELIBACC, "%s", dlerror());
        for (size_t i = 0; i < count; i++) {
                void *function = dlsym(library, symbols[i].name);

                if (!function)
                        return error_set(err, -ELIBACC, "%s", dlerror());
                memcpy((char *)ret + symbols[i].offset, &function, sizeof(function));
        }
        return 0;
}
