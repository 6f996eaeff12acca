/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* slipway-usr-signature: opens /usr with the signature of its root hash, in the initrd of images
 * that have one. systemd-veritysetup does the opening; this decides before whether it gets the
 * signature. It does when the kernel finds it good, and then IPE's policy is left for who loads
 * that. It does not when there is none or the kernel lacks the certificate, and the journal says
 * so; whether /usr may be opened like that is for the kernel (dm_verity.require_signatures). When
 * the kernel finds it bad nothing is opened, so the boot fails. */

#include <fcntl.h>

#include "io.h"
#include "strv.h"
#include "usr-signature.h"

#define VERITYSETUP "/usr/lib/systemd/systemd-veritysetup"

enum { COMMAND_LINE_MAX = 64 * 1024 };

/* As sd-daemon(3) has them; nothing where nobody reads them. */
static const char *level(const char *prefix)
{
        return getenv("JOURNAL_STREAM") ? prefix : "";
}

static int read_command_line(struct usr_volume *ret, struct error *err)
{
        _cleanup_free_ char *text = NULL;
        int r = file_read(AT_FDCWD, "/proc/cmdline", COMMAND_LINE_MAX, &text, NULL, err);

        return r < 0 ? r : usr_volume_parse(text, ret, err);
}

static int write_blob(const char *path, const struct verity_blob *blob, struct error *err)
{
        return blob->size == 0 ? 0 : file_write(AT_FDCWD, path, blob->data, blob->size, 0600, err);
}

static int keep(const struct verity_signature *s, struct error *err)
{
        int r = path_mkdirs(AT_FDCWD, "/run/slipway", 0755, err);

        if (r >= 0)
                r = write_blob(USR_SIGNATURE_PATH, &s->signature, err);
        return r < 0 ? r : write_blob(USR_IPE_POLICY_PATH, &s->ipe_policy, err);
}

/* *ret: whether to open it with the signature. */
static int decide(const struct usr_volume *v, bool *ret, struct error *err)
{
        _cleanup_verity_signature_ struct verity_signature s = {};
        int r = usr_signature_find(v, &s, err);

        if (r < 0)
                return r;
        if (r == 0) {
                printf("%sthere is no signature of the root hash\n", level("<4>"));
                return 0;
        }
        r = usr_signature_try(v, &s.signature, err);
        if (usr_signature_unjudged(r)) {
                printf("%sthe root hash is signed, but not verified: %s\n", level("<4>"),
                       err->message);
                return 0;
        }
        if (r < 0)
                return error_prefix(err, r, "the signature of the root hash is refused");
        puts("the root hash's signature is verified");
        *ret = true;
        return keep(&s, err);
}

static int open_usr(struct error *err)
{
        _cleanup_usr_volume_ struct usr_volume v = {};
        _cleanup_free_ char *options = NULL;
        char hex[SHA256_HEX_SIZE];
        bool with_signature = false;
        int r = read_command_line(&v, err);

        if (r >= 0)
                r = decide(&v, &with_signature, err);
        if (r < 0)
                return r;
        options = string_format("%s%s%s", v.options, with_signature && *v.options ? "," : "",
                                with_signature ? "root-hash-signature=" USR_SIGNATURE_PATH : "");
        if (!options)
                return error_oom(err);
        hex_encode(v.root_hash.bytes, SHA256_SIZE, hex);
        fflush(stdout);
        execl(VERITYSETUP, "systemd-veritysetup", "attach", "usr", v.data, v.tree, hex, options,
              NULL);
        return error_errno(err, VERITYSETUP);
}

int main(int argc, char *argv[])
{
        struct error err = {};

        if (argc == 2 && (streq(argv[1], "--help") || streq(argv[1], "--version"))) {
                puts(streq(argv[1], "--help")
                             ? "Usage: slipway-usr-signature\nOpens /usr with the signature of its "
                               "root hash; for the initrd."
                             : "slipway-usr-signature " SLIPWAY_VERSION);
                return 0;
        }
        if (argc != 1) {
                fputs("Usage: slipway-usr-signature\n", stderr);
                return 2;
        }
        open_usr(&err);
        fprintf(stderr, "%sslipway-usr-signature: %s\n", level("<3>"), err.message);
        return 1;
}
