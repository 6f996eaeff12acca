/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The bundle of trusted certificates that update-ca-certificates would make of what is below
 * /usr/share/ca-certificates. Only the bundle: GnuTLS, curl and Go read it, and OpenSSL does when
 * its default file, /usr/lib/ssl/cert.pem, is a link to it. The directory of single certificates
 * with hash links is OpenSSL's slower second way to the same set. */

#include "fixup.h"
#include "strv.h"

static const char bundle[] = "/usr/etc/ssl/certs/ca-certificates.crt";

static int add_certificate(struct fixup_context *c, const struct tree_node *node, struct buffer *b,
                           struct error *err)
{
        _cleanup_free_ char *text = NULL;
        char path[TREE_PATH_MAX];
        int r = fixup_read(c, tree_path(node, path), &text, err);

        if (r < 0 || !text)
                return r;
        if (!strstr(text, "-----BEGIN CERTIFICATE-----"))
                return error_set(err, -EINVAL, "%s: not a PEM certificate", path);
        buffer_puts(b, text);
        if (!endswith(text, "\n"))
                buffer_puts(b, "\n");
        return 0;
}

int fixup_certificates(struct fixup_context *c, struct error *err)
{
        struct tree_node *top = tree_lookup(c->tree, "/usr/share/ca-certificates");
        _cleanup_buffer_ struct buffer b = {};
        int r;

        if (!top)
                return 0;
        TREE_FOREACH (node, top) {
                if (!S_ISREG(node->inode->mode) || !endswith(node->name, ".crt"))
                        continue;
                r = add_certificate(c, node, &b, err);
                if (r < 0)
                        return r;
        }
        if (b.failed)
                return error_oom(err);
        r = fixup_put_missing(c, bundle, b.data ?: "", 0644, err);
        if (r == 0)
                r = fixup_link_missing(c, "/usr/lib/ssl/cert.pem",
                                       "/etc/ssl/certs/ca-certificates.crt", err);
        return r;
}
