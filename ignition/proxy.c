/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The rules are those of Go's httpproxy, which the original uses. localhost and loopback addresses
 * are never asked for through a proxy. Besides, noProxy lists
 *
 *   *                            everything
 *   10.0.0.0/8, fd00::/8         a network; the host must be written as an address
 *   10.0.0.1, 10.0.0.1:80, [::1]:80   an address, perhaps with the port it is good for
 *   example.com, example.com:80  this host and all below
 *   .example.com, *.example.com  all below, not the host itself
 *
 * An entry that is none of this is ignored. */

#include <arpa/inet.h>
#include <strings.h>

#include "proxy.h"
#include "strv.h"
#include "url.h"

struct address {
        int family; /* AF_UNSPEC: none */
        uint8_t bytes[16];
};

void proxies_done(struct proxies *p)
{
        free(p->http);
        free(p->https);
        strv_free(p->bypass);
        *p = (struct proxies){};
}

/* An IPv4 address in IPv6's clothes is one of IPv4. */
static struct address parse_address(const char *text)
{
        static const uint8_t mapped[12] = { [10] = 0xff, 0xff };
        struct address a = {};

        if (inet_pton(AF_INET, text, a.bytes) == 1)
                a.family = AF_INET;
        else if (inet_pton(AF_INET6, text, a.bytes) == 1)
                a.family = AF_INET6;
        if (a.family == AF_INET6 && memcmp(a.bytes, mapped, sizeof(mapped)) == 0) {
                a.family = AF_INET;
                memmove(a.bytes, a.bytes + 12, 4);
                memset(a.bytes + 4, 0, 12);
        }
        return a;
}

static bool same_prefix(const struct address *a, const struct address *b, unsigned bits)
{
        unsigned bytes = bits / 8, rest = bits % 8;

        return a->family == b->family && memcmp(a->bytes, b->bytes, bytes) == 0 &&
               (rest == 0 || (a->bytes[bytes] ^ b->bytes[bytes]) >> (8 - rest) == 0);
}

static bool is_loopback(const struct address *a)
{
        static const struct address one = { AF_INET6, { [15] = 1 } };

        return (a->family == AF_INET && a->bytes[0] == 127) || same_prefix(a, &one, 128);
}

/* *ret_network: whether the entry is a network at all. */
static bool in_network(const char *entry, const struct address *host, bool *ret_network)
{
        const char *slash = strchr(entry, '/');
        _cleanup_free_ char *text = slash ? strndup(entry, (size_t)(slash - entry)) : NULL;
        struct address network;
        unsigned bits = 0, limit;

        *ret_network = false;
        if (!text || strspn(slash + 1, "0123456789") != strlen(slash + 1) || strlen(slash + 1) > 3)
                return false;
        network = parse_address(text);
        limit = network.family == AF_INET ? 32 : 128;
        if (network.family == AF_UNSPEC || sscanf(slash + 1, "%u", &bits) != 1 || bits > limit)
                return false;
        *ret_network = true;
        return host->family != AF_UNSPEC && same_prefix(host, &network, bits);
}

/* Cuts ":port" (and brackets) off an entry; *ret_port is "" without one. */
static char *split_port(char *entry, const char **ret_port)
{
        char *colon = strrchr(entry, ':'), *end = strrchr(entry, ']');

        *ret_port = "";
        if (colon && (strchr(entry, ':') == colon || (end && end + 1 == colon))) {
                *colon = '\0';
                *ret_port = colon + 1;
        }
        if (*entry == '[' && endswith(entry, "]")) {
                entry[strlen(entry) - 1] = '\0';
                entry++;
        }
        return entry;
}

static bool domain_matches(const char *domain, const char *host)
{
        const char *below = startswith(domain, "*.") ?: startswith(domain, ".");
        size_t n, k = strlen(host);

        domain = below ?: domain;
        n = strlen(domain);
        if (n == 0 || n > k || strcasecmp(host + k - n, domain) != 0)
                return false;
        return n == k ? !below : host[k - n - 1] == '.';
}

static bool entry_matches(char *entry, const char *host, const struct address *address,
                          unsigned port)
{
        const char *want_port;
        struct address want;
        bool is_network, matches = in_network(entry, address, &is_network);

        if (is_network)
                return matches;
        entry = split_port(entry, &want_port);
        want = parse_address(entry);
        if (want.family != AF_UNSPEC)
                matches = same_prefix(&want, address, want.family == AF_INET ? 32 : 128);
        else
                matches = address->family == AF_UNSPEC && domain_matches(entry, host);
        return matches && (!*want_port || strtoul(want_port, NULL, 10) == port);
}

static bool bypassed(const struct proxies *p, const char *host, unsigned port)
{
        struct address address = parse_address(host);

        if (streq(host, "localhost") || is_loopback(&address))
                return true;
        STRV_FOREACH (item, p->bypass) {
                _cleanup_strv_ char **entries = NULL;

                if (strv_split(*item, ", \t", &entries) < 0)
                        return false;
                STRV_FOREACH (entry, entries)
                        if (streq(*entry, "*") || entry_matches(*entry, host, &address, port))
                                return true;
        }
        return false;
}

const char *proxy_for(const struct proxies *p, const char *url)
{
        const char *proxy = strncasecmp(url, "https:", 6) == 0  ? p->https
                            : strncasecmp(url, "http:", 5) == 0 ? p->http
                                                                : NULL;
        char host[URL_HOST_MAX];
        unsigned port;

        if (!proxy || !*proxy || url_host(url, host, &port) < 0)
                return NULL;
        return bypassed(p, host, port) ? NULL : proxy;
}
