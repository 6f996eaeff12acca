/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* data: URLs (RFC 2397) and the little of other URLs that has to be known. */

#include "error.h"

enum { URL_MAX = 16 * 1024 * 1024, URL_SCHEME_MAX = 32 };

/* The bytes that a data: URL stands for; *ret is NUL-terminated. -EINVAL with a reason when it is
 * not one. */
int data_url_decode(const char *url, char **ret, size_t *ret_size, struct error *err) _must_check_;

/* Lower-case scheme of a URL, "" when it has none. -EINVAL when it cannot be a URL at all. */
int url_scheme(const char *url, char ret[URL_SCHEME_MAX]) _must_check_;
