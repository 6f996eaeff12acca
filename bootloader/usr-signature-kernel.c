/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Asks the kernel for its opinion of a signature. Nothing asks its keyrings but a table of
 * device-mapper, so one is loaded, over a single block, for a device that is removed again before
 * anything was read from it. systemd-veritysetup would get the same answer, but does not tell which
 * it was.
 *
 * The ioctls are used as they are (linux/dm-ioctl.h): libdevmapper waits for udev, which has
 * nothing to do with a device that never becomes active. The PKCS#7 goes to the kernel by a key of
 * the type "user" in a keyring that ends with this process
 * (Documentation/admin-guide/device-mapper/verity.rst). */

#include <assert.h>
#include <fcntl.h>
#include <linux/dm-ioctl.h>
#include <linux/keyctl.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include "blocks.h"
#include "strv.h"
#include "usr-signature.h"

enum { PARAMETERS_MAX = 2048 };

#define CONTROL_PATH "/dev/mapper/control"
#define DEVICE_NAME  "slipway-usr-signature"
#define KEY_NAME     "slipway:usr"

struct request {
        struct dm_ioctl header;
        struct dm_target_spec target;
        char parameters[PARAMETERS_MAX];
};
static_assert(offsetof(struct request, target) == sizeof(struct dm_ioctl), "no hole between them");

static struct request request_new(void)
{
        struct request r = { .header = { .version = { DM_VERSION_MAJOR, 0, 0 },
                                         .data_size = sizeof(r),
                                         .data_start = sizeof(r.header),
                                         .name = DEVICE_NAME } };

        return r;
}

static int create(int fd, struct error *err)
{
        struct request r = request_new();

        return ioctl(fd, DM_DEV_CREATE, &r) < 0 ? error_errno(err, "device-mapper: create") : 0;
}

static void destroy(int fd)
{
        struct request r = request_new();

        (void)!ioctl(fd, DM_DEV_REMOVE, &r);
}

/* One block of data: its digest would be the root hash, but nobody reads it. */
static int load(int fd, const struct usr_volume *v, struct error *err)
{
        struct request r = request_new();
        char hex[SHA256_HEX_SIZE];
        int n;

        hex_encode(v->root_hash.bytes, SHA256_SIZE, hex);
        r.header.flags = DM_READONLY_FLAG;
        r.header.target_count = 1;
        r.target.length = BLOCK_SIZE / 512;
        strcpy(r.target.target_type, "verity");
        n = snprintf(r.parameters, sizeof(r.parameters),
                     "1 %s %s %d %d 1 1 sha256 %s - 2 root_hash_sig_key_desc " KEY_NAME, v->data,
                     v->tree, BLOCK_SIZE, BLOCK_SIZE, hex);
        if (n >= (int)sizeof(r.parameters))
                return error_set(err, -ENAMETOOLONG, "%s", v->data);
        return ioctl(fd, DM_TABLE_LOAD, &r) < 0 ? error_errno(err, "the kernel") : 0;
}

int usr_signature_try(const struct usr_volume *v, const struct verity_blob *pkcs7,
                      struct error *err)
{
        _cleanup_close_ int fd = open(CONTROL_PATH, O_RDWR | O_CLOEXEC);
        int r;

        if (fd < 0)
                return error_errno(err, CONTROL_PATH);
        if (syscall(SYS_add_key, "user", KEY_NAME, pkcs7->data, pkcs7->size,
                    KEY_SPEC_PROCESS_KEYRING) < 0)
                return error_errno(err, "kernel keyring");
        r = create(fd, err);
        if (r < 0)
                return r;
        r = load(fd, v, err);
        destroy(fd);
        return r;
}

bool usr_signature_unjudged(int code)
{
        return code == -ENOKEY || code == -EINVAL || code == -ENOPKG;
}
