/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See kernel-image.h. */

#include "initrd.h"
#include "kernel-image.h"
#include "strv.h"
#include "uki.h"

enum {
        EFI_SIZE_MAX = 4 * 1024 * 1024,
        KERNEL_SIZE_MAX = 256 * 1024 * 1024,
        OS_RELEASE_SIZE_MAX = 64 * 1024,
};

/* EFI names per architecture, as systemd installs them. */
static const struct {
        const char *architecture, *stub, *boot;
} efi_files[] = {
        { "amd64", "/usr/lib/systemd/boot/efi/linuxx64.efi.stub",
          "/usr/lib/systemd/boot/efi/systemd-bootx64.efi" },
        { "arm64", "/usr/lib/systemd/boot/efi/linuxaa64.efi.stub",
          "/usr/lib/systemd/boot/efi/systemd-bootaa64.efi" },
};

static const char encrypted_root[] = "/usr/lib/slipway/repart.encrypted.d/50-root.conf";

/* The index of the manifest's architecture, which is one of the table's: manifest.c checked it. */
static size_t efi_index(const struct manifest *m)
{
        for (size_t i = 0; i < ARRAY_SIZE(efi_files); i++)
                if (streq(efi_files[i].architecture, m->architecture))
                        return i;
        return 0;
}

static int load(const struct tree *tree, const struct content_store *store, const char *path,
                size_t limit, char **ret, size_t *ret_size, struct error *err)
{
        const struct tree_node *node = tree_resolve(tree, path);
        int r;

        if (!node)
                return error_set(err, -ENOENT, "%s is not in the image: no package brings it",
                                 path);
        r = content_load(node->inode, store, limit, ret, ret_size, err);
        return error_prefix(err, r, "%s", path);
}

static void append_words(struct buffer *line, char **words)
{
        STRV_FOREACH (word, words)
                buffer_printf(line, " %s", *word);
}

int kernel_image_cmdline(const struct manifest *m, const struct sha256 *root_hash, char **ret,
                         struct error *err)
{
        _cleanup_buffer_ struct buffer line = {};
        _cleanup_strv_ char **trust = NULL;
        char hex[SHA256_HEX_SIZE];
        int r = trust_kernel_options(&m->trust, &trust, err);

        if (r < 0)
                return r;
        buffer_printf(&line, "usrhash=%s", sha256_hex(root_hash, hex));
        append_words(&line, trust);
        for (size_t i = 0; i < m->n_layers; i++)
                append_words(&line, m->layers[i].kernel.options);
        append_words(&line, m->kernel.options);
        return buffer_take(&line, ret, NULL) < 0 ? error_oom(err) : 0;
}

static int load_kernel(const struct tree *tree, const struct content_store *store,
                       const char *version, char **ret, size_t *ret_size, struct error *err)
{
        _cleanup_free_ char *path = NULL;

        path = string_format("/usr/lib/modules/%s/vmlinuz", version);
        if (!path)
                return error_oom(err);
        return load(tree, store, path, KERNEL_SIZE_MAX, ret, ret_size, err);
}

/* Programs in the initrd make and open an encrypted ROOT; a layer brings them. */
static int check_root(const struct manifest *m, const struct tree *tree, struct error *err)
{
        if (m->trust.root == ROOT_PLAIN || tree_resolve(tree, encrypted_root))
                return 0;
        return error_set(err, -ENOENT,
                         "\"root\" is to be encrypted, and no layer brings what does it (%s): "
                         "layer 'tpm2'",
                         encrypted_root);
}

/* Signs what will be measured of the UKI; *image is replaced. */
static int add_pcr_signature(const struct signer *signer, char **image, size_t *size,
                             struct error *err)
{
        struct pcr_prediction prediction;
        char *plain = *image;
        int r = pcr_predict(plain, *size, &prediction, err);

        if (r >= 0)
                r = pcr_policy_sign(plain, *size, &prediction, signer, image, size, err);
        if (r >= 0)
                free(plain);
        return r;
}

int kernel_image_build(const struct manifest *m, const struct signers *signers,
                       const struct tree *tree, const struct content_store *store,
                       const void *initrd, size_t initrd_size, char **ret, size_t *ret_size,
                       struct error *err)
{
        _cleanup_free_ char *stub = NULL, *kernel = NULL, *os_release = NULL;
        _cleanup_free_ char *version = NULL, *cmdline = NULL, *pcr_key = NULL;
        static const struct sha256 unknown;
        struct uki_input in = { .initrd = initrd, .initrd_size = initrd_size };
        int r;

        r = check_root(m, tree, err);
        if (r >= 0)
                r = kernel_version(tree, &version, err);
        if (r >= 0)
                r = load(tree, store, efi_files[efi_index(m)].stub, EFI_SIZE_MAX, &stub,
                         &in.stub_size, err);
        if (r >= 0)
                r = load_kernel(tree, store, version, &kernel, &in.linux_size, err);
        if (r >= 0)
                r = load(tree, store, "/usr/lib/os-release", OS_RELEASE_SIZE_MAX, &os_release, NULL,
                         err);
        if (r >= 0)
                r = kernel_image_cmdline(m, &unknown, &cmdline, err);
        if (r >= 0 && signers->of[SIGNER_PCR].key)
                r = signer_public_key(&signers->of[SIGNER_PCR], &pcr_key, err);
        if (r < 0)
                return r;
        in.stub = stub;
        in.linux_image = kernel;
        in.cmdline = cmdline;
        in.os_release = os_release;
        in.uname = version;
        in.pcr_key = pcr_key;
        return uki_build(&in, ret, ret_size, err);
}

int kernel_image_finish(const struct manifest *m, const struct signers *signers,
                        const struct sha256 *root_hash, char **image, size_t *size,
                        struct kernel_image_change *ret, struct error *err)
{
        const struct signer *signer = &signers->of[SIGNER_PCR];
        _cleanup_free_ char *cmdline = NULL;
        int r = kernel_image_cmdline(m, root_hash, &cmdline, err);

        if (r >= 0)
                r = uki_set_cmdline(*image, *size, cmdline, &ret->offset, err);
        if (r < 0)
                return r;
        ret->size = strlen(cmdline);
        if (!signer->key)
                return 0;
        r = add_pcr_signature(signer, image, size, err);
        *ret = (struct kernel_image_change){ 0, *size };
        return r;
}

int kernel_image_boot_loader(const struct manifest *m, const struct tree *tree,
                             const struct content_store *store, char **ret, size_t *ret_size,
                             struct error *err)
{
        return load(tree, store, efi_files[efi_index(m)].boot, EFI_SIZE_MAX, ret, ret_size, err);
}
