/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The links that are programs: what firmware starts, what that starts, and what these are told.
 *
 * Every *.efi file of the ESP can be started, or added to what is, so each must be signed where one
 * must be; but shim and its MokManager, which have Microsoft's signature. Boot entries in text
 * files would start a signed kernel with any command line: there may be none. */

#include <strings.h>

#include "authenticode.h"
#include "boot-entry.h"
#include "io.h"
#include "pcr-policy.h"
#include "strv.h"
#include "usr-signature.h"
#include "verify-internal.h"

enum {
        EFI_SIZE_MAX = 512 * 1024 * 1024,
        TEXT_SIZE_MAX = 64 * 1024,
};

/* ---- Authenticode ---- */

/* By one of the certificates: what the last one says is the answer, but a better one stays. */
static int check_by_certificates(const struct verifier *v, const void *data, size_t size,
                                 struct error *err)
{
        int result = -EKEYREJECTED;

        for (size_t i = 0; i < v->options->trust->of[VERIFY_BOOT].count; i++) {
                X509 *certificate = v->options->trust->of[VERIFY_BOOT].items[i];
                struct error failure = {};
                int r = authenticode_verify(data, size, certificate, &failure);

                if (r >= 0)
                        return 0;
                if (i == 0 || r == -EBADMSG) {
                        result = r;
                        *err = failure;
                }
        }
        return result;
}

static int check_program(const struct verifier *v, const char *name, const void *data, size_t size,
                         const struct pe *pe, struct error *err)
{
        int r;

        if (pe->certificates_size == 0)
                return verify_unsigned(v, VERIFY_BOOT, name, err);
        if (v->options->trust->of[VERIFY_BOOT].count == 0)
                return verify_say(v, VERIFY_UNCHECKED, "%s is signed, there is no certificate",
                                  name);
        r = check_by_certificates(v, data, size, err);
        return r < 0 ? error_prefix(err, r, "%s", name)
                     : verify_say(v, VERIFY_HOLDS, "%s is signed", name);
}

/* ---- boot loader ---- */

static bool in_directory(const char *file, const char *directory, const char *prefix)
{
        size_t n = strlen(directory);

        return strncasecmp(file, directory, n) == 0 &&
               strncasecmp(file + n, prefix, strlen(prefix)) == 0 && !strchr(file + n, '/');
}

static bool has_program(const struct verifier *v, const char *prefix)
{
        STRV_FOREACH (file, v->files)
                if (in_directory(*file, "EFI/BOOT/", prefix))
                        return true;
        return false;
}

/* Shim starts grub*.efi, whatever that is, so with one there the others are shim and its own. */
static bool is_shim(const struct verifier *v, const char *file)
{
        return has_program(v, "grub") &&
               (in_directory(file, "EFI/BOOT/", "BOOT") || in_directory(file, "EFI/BOOT/", "mm"));
}

static bool is_program(const char *file)
{
        size_t n = strlen(file);

        return n > 4 && strcasecmp(file + n - 4, ".efi") == 0 &&
               !in_directory(file, "EFI/Linux/", "");
}

static int check_loader(struct verifier *v, const char *file, struct error *err)
{
        _cleanup_free_ char *data = NULL;
        struct pe pe;
        size_t size;
        int r = verify_read_file(v, file, EFI_SIZE_MAX, &data, &size, err);

        if (r >= 0)
                r = error_prefix(err, pe_read(data, size, &pe, err), "%s", file);
        if (r < 0)
                return r;
        if (is_shim(v, file))
                return verify_say(v, VERIFY_UNCHECKED, "%s is shim's, for firmware to check", file);
        return check_program(v, file, data, size, &pe, err);
}

int verify_check_boot_loader(struct verifier *v, struct error *err)
{
        int r = 0;

        if (!has_program(v, "BOOT"))
                return error_set(err, -ENOENT, "nothing for firmware to start in EFI/BOOT");
        STRV_FOREACH (file, v->files)
                if (r >= 0 && is_program(*file))
                        r = check_loader(v, *file, err);
        return r;
}

/* What we write, and perhaps how keys are enrolled. */
static bool is_our_menu(const char *text)
{
        const char *rest = startswith(text, boot_loader_conf());

        return rest && (!*rest || (startswith(rest, "secure-boot-enroll ") &&
                                   strchr(rest, '\n') == rest + strlen(rest) - 1));
}

int verify_check_boot_menu(struct verifier *v, struct error *err)
{
        _cleanup_free_ char *text = NULL;
        size_t size;
        int r;

        STRV_FOREACH (file, v->files)
                if (startswith(*file, "loader/entries/"))
                        return error_set(err, -EBADMSG, "%s: entries other than UKIs", *file);
        r = verify_read_file(v, "loader/loader.conf", TEXT_SIZE_MAX, &text, &size, err);
        if (r < 0)
                return r;
        if (!is_our_menu(text))
                return error_set(err, -EBADMSG, "loader/loader.conf is not Slipway's");
        return verify_say(v, VERIFY_HOLDS, "no entries but UKIs, no editor");
}

/* ---- UKI ---- */

int verify_check_kernel_image(struct verifier *v, struct error *err)
{
        struct verify_kernel *k = &v->kernel;
        int r = verify_read_file(v, k->name, EFI_SIZE_MAX, &k->data, &k->size, err);

        if (r >= 0)
                r = error_prefix(err, pe_read(k->data, k->size, &k->pe, err), "%s", k->name);
        return r < 0 ? r : check_program(v, k->name, k->data, k->size, &k->pe, err);
}

int verify_check_command_line(struct verifier *v, struct error *err)
{
        struct verify_kernel *k = &v->kernel;
        const struct pe_section *section = pe_find(&k->pe, ".cmdline");
        _cleanup_usr_volume_ struct usr_volume volume = {};
        char hex[SHA256_HEX_SIZE];
        int r;

        if (!section)
                return error_set(err, -EBADMSG, "no .cmdline section");
        k->command_line =
                strndup(k->data + section->offset, MIN(section->file_size, section->memory_size));
        if (!k->command_line)
                return error_oom(err);
        r = usr_volume_parse(k->command_line, &volume, err);
        if (r < 0)
                return r;
        k->root_hash = volume.root_hash;
        return verify_say(v, VERIFY_HOLDS, "names root hash %s", sha256_hex(&k->root_hash, hex));
}

int verify_check_pcr_policy(struct verifier *v, struct error *err)
{
        struct verify_kernel *k = &v->kernel;
        struct pcr_prediction prediction;
        char hex[SHA256_HEX_SIZE];
        struct sha256 key;
        int r;

        if (!pe_find(&k->pe, ".pcrsig") && !pe_find(&k->pe, ".pcrpkey"))
                return verify_say(v, VERIFY_UNSIGNED, "what PCR 11 will hold is not signed");
        r = pcr_policy_check(k->data, k->size, &prediction, &key, err);
        return r < 0 ? r
                     : verify_say(v, VERIFY_HOLDS, "PCR 11 will be what key %s signed",
                                  sha256_hex(&key, hex));
}
