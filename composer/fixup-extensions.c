/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The certificate that signatures of system extensions are checked with, where systemd looks for it
 * when the kernel has none (systemd.image-policy(7), `verity.d`): that of the key by which the
 * image's own root hash is signed. A kernel that has it, from firmware, judges for itself. */

#include "fixup.h"

int fixup_extensions(struct fixup_context *c, struct error *err)
{
        return c->certificate ? fixup_put(c, "/usr/lib/verity.d/slipway.crt", c->certificate,
                                          strlen(c->certificate), 0644, err)
                              : 0;
}
