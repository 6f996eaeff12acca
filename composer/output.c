/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The table of output formats; each is in a file of its own. */

#include "output-formats.h"

const struct output_ops *const output_formats[] = {
        &output_raw,
        &output_qcow2,
        &output_vhd,
        NULL,
};

const struct output_ops *output_find(const char *name)
{
        for (size_t i = 0; output_formats[i]; i++)
                if (streq(output_formats[i]->name, name))
                        return output_formats[i];
        return NULL;
}

bool output_sparse(const char *file)
{
        for (size_t i = 0; output_formats[i]; i++)
                if (endswith(file, output_formats[i]->suffix))
                        return output_formats[i]->sparse;
        return false;
}
