/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Which virtual machine this is. Azure gives every one an id, which stays when it is stopped, moved
 * or resized, and which an image that was captured from it does not have: so everything that is
 * done once is done once for an id. The firmware tells it as the system's UUID; that of a machine
 * of generation 1 (BIOS) has the first three fields in the other byte order than the control plane.
 *
 * The marker is a file per id below /var/lib/slipway/azure: a disk that came from another machine
 * has that one's, too. */

#include <fcntl.h>

#include "azure.h"
#include "provider.h"

enum { ID_FILE_MAX = 256 };

static const char id_path[] = "sys/class/dmi/id/product_uuid", efi_path[] = "sys/firmware/efi",
                  directory[] = "var/lib/slipway/azure";

static void swap_fields(struct uuid *u)
{
        static const uint8_t order[] = { 3, 2, 1, 0, 5, 4, 7, 6 };
        uint8_t bytes[sizeof(order)];

        memcpy(bytes, u->bytes, sizeof(bytes));
        for (size_t i = 0; i < sizeof(order); i++)
                u->bytes[i] = bytes[order[i]];
}

int azure_identity(int root_fd, char ret[static UUID_TEXT_SIZE], struct error *err)
{
        _cleanup_free_ char *text = NULL;
        struct uuid id;
        int r = file_read(root_fd, id_path, ID_FILE_MAX, &text, NULL, err);

        if (r < 0)
                return r;
        text[strcspn(text, " \n")] = '\0';
        if (uuid_parse(text, &id) < 0 || memory_is_zero(id.bytes, sizeof(id.bytes)))
                return error_set(err, -EINVAL, "/%s: '%.64s' identifies no machine", id_path, text);
        if (faccessat(root_fd, efi_path, F_OK, 0) < 0)
                swap_fields(&id);
        uuid_text(&id, ret);
        return 0;
}

bool azure_is_here(void)
{
        _cleanup_free_ char *named = kernel_argument("ignition.platform.id");
        const char *platform = named ?: platform_from_dmi("/sys/class/dmi/id");

        return platform && streq(platform, "azure");
}

static void marker_path(const char *id, char ret[static 128])
{
        snprintf(ret, 128, "%s/%.*s.provisioned", directory, UUID_TEXT_SIZE, id);
}

int azure_marker_find(int root_fd, const char *id, bool *ret, struct error *err)
{
        char path[128];

        marker_path(id, path);
        *ret = faccessat(root_fd, path, F_OK, 0) == 0;
        return *ret || errno == ENOENT || errno == ENOTDIR ? 0 : error_errno(err, "/%s", path);
}

int azure_marker_write(int root_fd, const char *id, struct error *err)
{
        char path[128];
        int r = path_mkdirs(root_fd, directory, 0755, err);

        marker_path(id, path);
        return r < 0 ? r : file_write(root_fd, path, "", 0, 0644, err);
}
