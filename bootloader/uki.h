/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Unified kernel images: sections appended to systemd's EFI stub by our own PE code, in the order
 * that the UAPI group's UKI specification gives for measuring:
 * https://uapi-group.org/specifications/specs/unified_kernel_image/ */

#include "error.h"

struct uki_section {
        const char *name; /* ".linux" … at most 8 bytes */
        const void *data;
        size_t size;
};

struct uki_input {
        const void *stub; /* linuxx64.efi.stub */
        size_t stub_size;
        const void *linux_image, *initrd; /* kernel, initrd */
        size_t linux_size, initrd_size;
        const char *cmdline, *os_release, *uname; /* texts; NULL: no such section */
        const char *pcr_key; /* text: the public key of signatures for PCR 11, or NULL */
};

/* Builds the image in memory; caller frees *ret. Deterministic; -EINVAL for a stub that is no sound
 * PE32+ image or has no room for the section headers. */
int uki_build(const struct uki_input *in, char **ret, size_t *ret_size,
              struct error *err) _must_check_;

/* Puts another command line into an image that is not signed, at *ret_offset; -EINVAL unless it is
 * as long as the one that is there. */
int uki_set_cmdline(char *image, size_t size, const char *cmdline, size_t *ret_offset,
                    struct error *err) _must_check_;
