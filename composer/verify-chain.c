/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See verify.h. The chain of a disk is two tables of links: those of the disk, and those of each
 * UKI on its ESP; an extension's image has a shorter one. Each link is a function that goes on from
 * what the ones before it found out. Nothing on the disk says what the image was meant to have:
 * what has no signature is said to have none, and is an error only where the caller brings a
 * certificate that should have made it. */

#include <fcntl.h>
#include <stdarg.h>

#include "io.h"
#include "strv.h"
#include "verify-internal.h"
#include "vhd.h"

/* Of both; it tells them apart. */
static const struct verify_link table_links[] = {
        { "partition table", verify_check_table },
        {},
};

const struct verify_link verify_disk_links[] = {
        { "EFI system partition", verify_check_esp },
        { "boot loader", verify_check_boot_loader },
        { "boot menu", verify_check_boot_menu },
        {},
};

/* An extension says itself which root hash it has: the signature alone says that it may. */
const struct verify_link verify_extension_links[] = {
        { "extension", verify_check_extension },
        { "root hash signature", verify_check_signature },
        { "hash tree", verify_check_tree },
        { "blocks", verify_check_blocks },
        {},
};

const struct verify_link verify_kernel_links[] = {
        { "kernel image", verify_check_kernel_image },
        { "command line", verify_check_command_line },
        { "PCR policy", verify_check_pcr_policy },
        { "slot", verify_check_slot },
        { "root hash signature", verify_check_signature },
        { "IPE policy", verify_check_ipe_policy },
        { "hash tree", verify_check_tree },
        { "blocks", verify_check_blocks },
        {},
};

static void kernel_done(struct verify_kernel *k)
{
        free(k->data);
        free(k->command_line);
        block_digests_done(&k->leaves);
        verity_signature_done(&k->root_signature);
        *k = (struct verify_kernel){};
}

static void verifier_done(struct verifier *v)
{
        close_p(&v->disk_fd);
        strv_free(v->files);
        kernel_done(&v->kernel);
}

/* ---- for the links ---- */

int verify_say(const struct verifier *v, enum verify_state state, const char *format, ...)
{
        char text[ERROR_MESSAGE_MAX];
        va_list ap;

        va_start(ap, format);
        vsnprintf(text, sizeof(text), format, ap);
        va_end(ap);
        v->options->said(v->options->userdata, v->link, state, text);
        return 0;
}

int verify_unsigned(const struct verifier *v, enum verify_kind kind, const char *what,
                    struct error *err)
{
        if (v->options->trust->of[kind].count > 0)
                return error_set(err, -EKEYREJECTED, "%s is not signed", what);
        return verify_say(v, VERIFY_UNSIGNED, "%s is not signed", what);
}

int verify_read_file(const struct verifier *v, const char *name, size_t limit, char **ret,
                     size_t *ret_size, struct error *err)
{
        return esp_read(v->path, layout_find(&v->layout, PARTITION_ESP, 0), name, limit, ret,
                        ret_size, err);
}

/* ---- ESP ---- */

int verify_check_esp(struct verifier *v, struct error *err)
{
        const struct partition *esp = layout_find(&v->layout, PARTITION_ESP, 0);
        int r;

        if (!esp)
                return error_set(err, -EBADMSG, "there is none");
        r = esp_check(v->disk_fd, esp, err);
        if (r >= 0)
                r = esp_list(v->path, esp, &v->files, err);
        return r < 0 ? r
                     : verify_say(v, VERIFY_HOLDS, "FAT32 with %zu files", strv_length(v->files));
}

/* ---- the line ---- */

static int run_links(struct verifier *v, const struct verify_link *links, struct error *err)
{
        for (const struct verify_link *first = links; links->name; links++) {
                int r;

                v->link = links->name;
                r = links->check(v, err);
                if (r < 0 && v->kernel.name && links != first) /* which names it itself */
                        r = error_prefix(err, r, "%s", v->kernel.name);
                if (r < 0) {
                        verify_say(v, VERIFY_BROKEN, "%s", err->message);
                        return error_prefix(err, r, "%s", links->name);
                }
        }
        return 0;
}

/* What systemd-boot lists; an update that is under way has a file with another name there. */
static bool is_kernel(const char *file)
{
        const char *name = startswith(file, "EFI/Linux/");

        return name && !strchr(name, '/') && endswith(name, ".efi");
}

static int check_kernels(struct verifier *v, struct error *err)
{
        size_t found = 0;
        int r = 0;

        STRV_FOREACH (file, v->files) {
                if (r < 0 || !is_kernel(*file))
                        continue;
                v->kernel = (struct verify_kernel){ .name = *file };
                r = run_links(v, verify_kernel_links, err);
                kernel_done(&v->kernel);
                found++;
        }
        if (r >= 0 && found == 0) {
                v->link = verify_kernel_links[0].name;
                verify_say(v, VERIFY_BROKEN, "EFI/Linux has none");
                return error_set(err, -ENOENT, "%s: EFI/Linux has none", v->link);
        }
        return r;
}

/* What has the bytes of a disk, but packed, or something behind them. */
static int refuse_formats(int fd, struct error *err)
{
        struct vhd_footer footer;
        char magic[4] = {};
        bool vhd = false;
        int r = io_pread(fd, magic, sizeof(magic), 0, NULL, err);

        if (r >= 0 && memcmp(magic, "QFI\xfb", sizeof(magic)) == 0)
                r = error_set(err, -EINVAL,
                              "a qcow2 image: make a raw disk of it first (qemu-img convert -O "
                              "raw)");
        if (r >= 0)
                r = vhd_footer_read(fd, &vhd, &footer, err);
        if (r >= 0 && vhd)
                r = error_set(
                        err, -EINVAL,
                        "a VHD: make a raw disk of it first (qemu-img convert -f vpc -O raw)");
        return r;
}

int verify_disk(const char *path, const struct verify_options *options, struct error *err)
{
        _cleanup_(verifier_done) struct verifier v = {
                .options = options,
                .path = path,
                .disk_fd = open(path, O_RDONLY | O_CLOEXEC),
        };
        int r;

        if (v.disk_fd < 0)
                return error_errno(err, "%s", path);
        r = refuse_formats(v.disk_fd, err);
        if (r < 0)
                return error_prefix(err, r, "%s", path);
        r = run_links(&v, table_links, err);
        if (r >= 0 && layout_find(&v.layout, PARTITION_ROOT_VERITY, 'A'))
                return run_links(&v, verify_extension_links, err);
        if (r >= 0)
                r = run_links(&v, verify_disk_links, err);
        return r < 0 ? r : check_kernels(&v, err);
}
