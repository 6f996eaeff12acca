/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See ipe-policy.h. Two things are trusted, for every operation alike: the initrd, which is in the
 * signed UKI (boot_verified), and what lies on a dm-verity device whose root hash is signed by a
 * certificate that the kernel has, so the same policy fits every release, signed extensions and
 * signed container images. Everything else is denied, above all memory that is no file's: no JIT
 * and no trampolines on this host. */

#include "ipe-load.h"
#include "ipe-policy.h"
#include "macro.h"

/* The version only matters to whoever replaces a loaded policy, which nobody here does. */
#define HEADER "policy_name=" IPE_POLICY_NAME " policy_version=1.0.0\n"

#define TRUST(operation)                                                                           \
        "op=" operation " boot_verified=TRUE action=ALLOW\n"                                       \
        "op=" operation " dmverity_signature=TRUE action=ALLOW\n"

/* KEXEC_IMAGE, KEXEC_INITRAMFS, POLICY (of IMA) and X509_CERT: nothing here has use for them. */
static const char policy[] =
        HEADER "DEFAULT action=DENY\n" TRUST("EXECUTE") TRUST("KMODULE") TRUST("FIRMWARE");

const char *ipe_policy_text(const struct trust_config *trust)
{
        return trust->ipe == IPE_OFF ? NULL : policy;
}
