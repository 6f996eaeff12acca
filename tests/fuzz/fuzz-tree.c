/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Any record of a tree (commit-record.c): refused, or a tree that is recorded in no more bytes and
 * read again. The repository is empty, so contents that are objects are missing. */

#include <assert.h>
#include <fcntl.h>

#include "commit.h"
#include "io.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct repo *repo(void)
{
        static struct repo *opened;
        char directory[] = P_tmpdir "/fuzz-tree-XXXXXX";
        struct error err = {};
        int r;

        if (opened)
                return opened;
        assert(mkdtemp(directory));
        r = repo_open(directory, true, &opened, &err);
        assert(r >= 0);
        r = path_remove_tree(AT_FDCWD, directory, &err); /* it is looked into by its descriptor */
        assert(r >= 0);
        return opened;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_tree_ struct tree *tree = NULL, *same = NULL;
        _cleanup_buffer_ struct buffer again = {};
        struct error err = {};
        int r = repo_tree_of_record(repo(), data, size, &tree, &err);

        if (r < 0)
                return 0;
        tree_record(tree, &again);
        assert(!again.failed && again.size <= size);
        r = repo_tree_of_record(repo(), again.data, again.size, &same, &err);
        assert(r >= 0);
        return 0;
}
