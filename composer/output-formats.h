/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Every format's instance, for the table in output.c. */

#include "output.h"

extern const struct output_ops output_raw, output_qcow2, output_vhd;
