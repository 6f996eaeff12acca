/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A TPM 2.0 for a virtual machine: swtpm, with its state in a directory, so that it stays the same
 * TPM from one run of a machine to the next. */

#include "error.h"

/* Starts the TPM; a directory that is not there is made, with a new TPM in it. *ret_fd is for QEMU,
 * open and inherited. The TPM ends with this process, or with the program that this becomes.
 * -ENOENT when swtpm is not installed. */
int tpm_start(const char *directory, int *ret_fd, struct error *err) _must_check_;
