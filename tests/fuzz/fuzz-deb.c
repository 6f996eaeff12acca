/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A package as hostile input: deb.c must refuse or give a tree, whatever the bytes. */

#include <sys/mman.h>

#include "deb.h"
#include "io.h"

enum { FUZZ_CONTENT_MAX = 1024 * 1024 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Reads what is there, but no more than a bomb would need to be one. */
static int drain(void *userdata, struct tree_inode *inode, deb_read_fn read_some, void *reader,
                 struct error *err)
{
        static char buffer[64 * 1024];
        uint64_t left = MIN(inode->size, (uint64_t)FUZZ_CONTENT_MAX);

        (void)userdata;
        while (left > 0) {
                ssize_t n = read_some(reader, buffer, (size_t)MIN(left, sizeof(buffer)), err);

                if (n < 0)
                        return (int)n;
                if (n == 0)
                        return error_set(err, -ENODATA, "content ends early");
                left -= (uint64_t)n;
        }
        return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_close_ int fd = memfd_create("deb", MFD_CLOEXEC);
        _cleanup_tree_ struct tree *tree = NULL;
        struct error err = {};

        if (fd < 0 || io_pwrite(fd, data, size, 0, &err) < 0)
                return 0;
        if (deb_read(fd, drain, NULL, &tree, NULL, &err) < 0 && err.message[0] == '\0')
                abort(); /* refused without a reason */
        return 0;
}
