/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The packages that an image's layers ask for by name. */

#include "manifest.h"

/* Sorted, each once. A later layer's "exclude" takes back what an earlier one asks for; -EINVAL for
 * a package that is excluded first. Caller frees. */
int package_requests(const struct manifest *m, char ***ret, struct error *err) _must_check_;
