/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Where bytes go: contents are never whole in memory on their way from the network to a file, they
 * pass through sinks (gzip → checksum → file). A failure stops whoever feeds the sink. */

#include "error.h"

struct sink {
        int (*write)(struct sink *sink, const void *data, size_t size, struct error *err);
};
