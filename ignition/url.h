/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Parts of URLs whose syntax url_scheme() has found good. */

#include "error.h"

enum { URL_HOST_MAX = 256 };

/* Host (lower case, without brackets and zone) and port of scheme://[user@]host[:port]…; without
 * port that of the scheme, 0 when that is not known. -EINVAL when there is no host. */
int url_host(const char *url, char host[URL_HOST_MAX], unsigned *ret_port) _must_check_;

/* What follows the authority: path, query, fragment; may be "". Borrowed. */
const char *url_path(const char *url);

/* Where a reference in an answer from `base` leads (RFC 3986, 5.2.2), absolute and printable; dot
 * segments stay in it. NULL: out of memory. */
char *url_resolve(const char *base, const char *reference) _must_check_;

/* Percent-encodes all but unreserved characters and those in `keep`; NULL: out of memory. */
char *url_escape(const char *text, size_t size, const char *keep);
/* The reverse; false on a bad escape or a NUL byte. In place. */
bool url_unescape(char *text);

/* For logs and messages: a password is "xxxxx", and what is long is cut. */
enum { URL_TEXT_MAX = 300 };
const char *url_text(const char *url, char text[URL_TEXT_MAX]);
