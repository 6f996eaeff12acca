/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The signature of the root hash in the idle slot. The release, which the commit's signature
 * covers, says its digest: a site cannot give a machine one that its kernel will refuse. A release
 * without one leaves zeros, so that a slot never has the signature of what was in it before.
 *
 * A machine whose slots have no such partition takes the release without. */

#include "stage-internal.h"
#include "verity-signature.h"

/* What must begin the partition, in memory of `size` bytes that is zeros. */
static int fetch_text(struct stage *s, char *text, uint64_t size, struct error *err)
{
        _cleanup_verity_signature_ struct verity_signature signature = {};
        const struct release *release = s->release;
        int r = stage_fetch_file(s, &release->usr_signature, "usr.sig", text,
                                 release->usr_signature_size, err);

        if (r >= 0)
                r = verity_signature_parse("usr.sig", text, size, &signature, err);
        if (r >= 0 && !sha256_equal(&signature.root_hash, &release->root_hash))
                r = error_set(err, -EBADMSG, "usr.sig: of another root hash");
        return r;
}

/* Whether the partition has it already. */
static int is_there(const struct stage *s, const char *there, uint64_t size)
{
        uint64_t n = s->release->usr_signature_size;
        struct sha256 digest;

        if (!memory_is_zero(there + n, size - n))
                return false;
        if (n == 0)
                return true;
        sha256_of(there, n, &digest);
        return sha256_equal(&digest, &s->release->usr_signature);
}

int stage_signature(struct stage *s, bool dry, struct error *err)
{
        const struct store_range *range = &s->store->targets[STORE_SIGNATURE];
        uint64_t size = MIN(range->size, (uint64_t)STAGE_SIGNATURE_SIZE);
        _cleanup_free_ char *text = calloc(1, size + 1);
        int r;

        if (range->fd < 0)
                return 0;
        if (!text)
                return error_oom(err);
        if (s->release->usr_signature_size > size)
                return error_set(err, -ENOSPC, "usr.sig: %ju bytes do not fit in %ju",
                                 (uintmax_t)s->release->usr_signature_size, (uintmax_t)size);
        r = store_read(s->store, STORE_SIGNATURE, 0, text, size, err);
        if (r < 0)
                return r;
        if (!is_there(s, text, size)) {
                memset(text, 0, size);
                if (release_signed(s->release))
                        r = fetch_text(s, text, size, err);
                if (r >= 0 && !dry)
                        r = store_write(s->store, STORE_SIGNATURE, 0, text, size, err);
        }
        return r < 0 || dry ? r : store_flush(s->store, STORE_SIGNATURE, err);
}
