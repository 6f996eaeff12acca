/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Which proxy a request goes through. */

#include "error.h"

struct proxies {
        char *http, *https; /* NULL: none */
        char **bypass;      /* strv; an item may be a list with commas */
};

/* The proxy for a URL; NULL: directly. Borrowed. */
const char *proxy_for(const struct proxies *p, const char *url);
void proxies_done(struct proxies *p);
