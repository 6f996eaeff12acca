/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* ROOT as a block device: its partition, or the volume inside of it when it is encrypted (LUKS2,
 * the key sealed by the TPM). The image says what it wants by the kernel argument slipway.root:
 *
 *   tpm2             encrypted; a machine without TPM does not boot
 *   tpm2-if-present  encrypted where there is a TPM; elsewhere plain
 *   (none)           plain
 *
 * How ROOT is made is decided once. A ROOT that is encrypted is opened, whatever the argument says,
 * or the boot fails: it is never made again. */

#include "error.h"

#define ROOT_VOLUME "/dev/mapper/slipway-root"

struct root_machine {
        bool measured;    /* there is a TPM 2.0, and systemd-stub measured this UKI */
        bool secure_boot; /* the firmware starts only what is signed */
};

/* root: of the tree in which the kernel's files are asked, "" but for tests. */
void root_machine_probe(const char *root, struct root_machine *ret);

/* Whether a new ROOT is to be encrypted. -ENODEV: it must, and the machine cannot; -EINVAL: what is
 * meant is not known. argument NULL: none. */
int root_volume_wanted(const char *argument, const struct root_machine *machine, bool *ret,
                       struct error *err) _must_check_;
/* -EKEYREJECTED for a plain ROOT where only an encrypted one may be. */
int root_volume_check_plain(const char *argument, struct error *err) _must_check_;
/* The command that makes ROOT; argv has room for ROOT_COMMAND_MAX. */
enum { ROOT_COMMAND_MAX = 16 };
void root_volume_command(bool encrypted, const struct root_machine *machine,
                         const char *argv[static ROOT_COMMAND_MAX]);

/* Whether a LUKS2 header is there. */
bool root_volume_is(int fd);

/* Opens the ROOT in that partition (name in /dev) unless it is plain, or open. */
int root_volume_open(const char *name, struct error *err) _must_check_;
/* Makes ROOT on the disk of the running /usr, and opens it. */
int root_volume_make(struct error *err) _must_check_;
/* Whether ROOT could be made, before anything is. */
int root_volume_possible(struct error *err) _must_check_;
