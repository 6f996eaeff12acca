/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What verify-chain.c (the line of links), verify-table.c, verify-boot.c (what is
 * started) and verify-slot.c (what is mounted) share. */

#include "esp-read.h"
#include "pe.h"
#include "block-digests.h"
#include "verify.h"
#include "verity-signature.h"

/* A UKI on the ESP, and what it leads to. Filled in by one link after the other. */
struct verify_kernel {
        const char *name; /* "EFI/Linux/slipway_1.0+3.efi" */
        char *data;
        size_t size;
        struct pe pe;
        char *command_line;
        struct sha256 root_hash;
        const struct partition *usr, *tree, *signature; /* the last one may be NULL */
        struct verity_signature root_signature;         /* empty: none */
        struct block_digests leaves;                    /* as its tree has them */
};

struct verifier {
        const struct verify_options *options;
        const char *path;
        int disk_fd;
        struct layout layout;
        char **files; /* on the ESP, paths without a slash in front */
        const char *link;
        struct verify_kernel kernel; /* that is looked at */
};

struct verify_link {
        const char *name;
        int (*check)(struct verifier *v, struct error *err);
};

/* Links of the disk, then of each UKI, or those of an extension; all end with a NULL name. */
extern const struct verify_link verify_disk_links[], verify_kernel_links[],
        verify_extension_links[];

int verify_check_table(struct verifier *v, struct error *err) _must_check_;
int verify_check_esp(struct verifier *v, struct error *err) _must_check_;
int verify_check_boot_loader(struct verifier *v, struct error *err) _must_check_;
int verify_check_boot_menu(struct verifier *v, struct error *err) _must_check_;
int verify_check_kernel_image(struct verifier *v, struct error *err) _must_check_;
int verify_check_command_line(struct verifier *v, struct error *err) _must_check_;
int verify_check_pcr_policy(struct verifier *v, struct error *err) _must_check_;
int verify_check_slot(struct verifier *v, struct error *err) _must_check_;
int verify_check_extension(struct verifier *v, struct error *err) _must_check_;
int verify_check_signature(struct verifier *v, struct error *err) _must_check_;
int verify_check_ipe_policy(struct verifier *v, struct error *err) _must_check_;
int verify_check_tree(struct verifier *v, struct error *err) _must_check_;
int verify_check_blocks(struct verifier *v, struct error *err) _must_check_;

/* Says something of the present link; returns 0. */
int verify_say(const struct verifier *v, enum verify_state state, const char *format, ...)
        _printf_(3, 4);
/* What has no signature: said, or an error where certificates say that it must have one. */
int verify_unsigned(const struct verifier *v, enum verify_kind kind, const char *what,
                    struct error *err) _must_check_;
/* A file of the ESP; caller frees *ret. */
int verify_read_file(const struct verifier *v, const char *name, size_t limit, char **ret,
                     size_t *ret_size, struct error *err) _must_check_;
