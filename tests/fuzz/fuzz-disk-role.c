/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Any text of a host about a disk: what becomes of it are lines for udev, one KEY=VALUE each, whose
 * values may stand in a path. */

#include <assert.h>
#include <ctype.h>

#include "disk-role.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_line(const char *line)
{
        const char *value = strchr(line, '=');

        assert(startswith(line, "AZURE_DISK_") && value && value[1] != '\0');
        assert(strlen(value + 1) <= DISK_NAME_MAX);
        for (value++; *value; value++)
                assert(isalnum((unsigned char)*value) || strchr("-._", *value));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct disk_role role = { .lun = -1, .controller = -1, .index = -1 };
        _cleanup_buffer_ struct buffer b = {};
        char *rest, *line;

        disk_role_parse((const char *)data, size, &role);
        assert(role.lun <= DISK_NUMBER_MAX && role.index <= DISK_NUMBER_MAX);
        disk_role_text(&role, &b);
        if (b.data)
                for (line = strtok_r(b.data, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
                        check_line(line);
        return 0;
}
