/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The links from a root hash to the last byte of /usr: the partitions that it names, its signature,
 * the hash tree below it, the blocks below that. */

#include <inttypes.h>

#include "root-hash-signature.h"
#include "verify-internal.h"
#include "verity.h"

/* ---- partitions ---- */

static size_t find_partition(const struct layout *l, enum partition_role role,
                             const struct uuid *uuid)
{
        size_t i = 0;

        while (i < l->count && (l->partitions[i].role != role ||
                                memcmp(&l->partitions[i].uuid, uuid, sizeof(*uuid)) != 0))
                i++;
        return i;
}

/* The signature's partition is the next one on the disk, if it is of that type. */
int verify_check_slot(struct verifier *v, struct error *err)
{
        struct verify_kernel *k = &v->kernel;
        const struct layout *l = &v->layout;
        struct uuid usr_uuid, tree_uuid;
        size_t usr, tree;

        gpt_uuids_from_root_hash(&k->root_hash, &usr_uuid, &tree_uuid);
        usr = find_partition(l, PARTITION_USR, &usr_uuid);
        tree = find_partition(l, PARTITION_USR_VERITY, &tree_uuid);
        if (usr == l->count || tree == l->count)
                return error_set(err, -EBADMSG, "no %s partition carries the root hash's UUID",
                                 partition_role_name(usr == l->count ? PARTITION_USR
                                                                     : PARTITION_USR_VERITY));
        k->usr = &l->partitions[usr];
        k->tree = &l->partitions[tree];
        if (tree + 1 < l->count && l->partitions[tree + 1].role == PARTITION_USR_VERITY_SIG)
                k->signature = &l->partitions[tree + 1];
        return verify_say(v, VERIFY_HOLDS, "%c, %s", k->usr->slot, k->usr->label);
}

/* The root hash is what the UUIDs of its two partitions say. */
int verify_check_extension(struct verifier *v, struct error *err)
{
        struct verify_kernel *k = &v->kernel;
        char hex[SHA256_HEX_SIZE];

        k->usr = layout_find(&v->layout, PARTITION_ROOT, 0);
        k->tree = layout_find(&v->layout, PARTITION_ROOT_VERITY, 'A');
        k->signature = layout_find(&v->layout, PARTITION_ROOT_VERITY_SIG, 'A');
        if (!k->usr || !k->tree)
                return error_set(err, -EBADMSG, "it has no root partition");
        memcpy(k->root_hash.bytes, k->usr->uuid.bytes, UUID_SIZE);
        memcpy(k->root_hash.bytes + UUID_SIZE, k->tree->uuid.bytes, UUID_SIZE);
        return verify_say(v, VERIFY_HOLDS, "root hash %s", sha256_hex(&k->root_hash, hex));
}

/* ---- signatures ---- */

/* By one of the certificates. */
static int check_pkcs7(const struct verifier *v, const struct verity_blob *pkcs7,
                       const char *content, struct error *err)
{
        int result = -ENOKEY;

        for (size_t i = 0; i < v->options->trust->of[VERIFY_ROOT_HASH].count; i++) {
                X509 *certificate = v->options->trust->of[VERIFY_ROOT_HASH].items[i];
                struct error failure = {};
                int r = pkcs7_verify(certificate, pkcs7, content, NULL, &failure);

                if (r >= 0)
                        return 0;
                if (i == 0 || r != -ENOKEY) {
                        result = r;
                        *err = failure;
                }
        }
        return result;
}

static int judge(const struct verifier *v, const struct verity_blob *pkcs7, const char *content,
                 const char *what, struct error *err)
{
        int r;

        if (v->options->trust->of[VERIFY_ROOT_HASH].count == 0)
                return verify_say(v, VERIFY_UNCHECKED, "%s is signed, there is no certificate",
                                  what);
        r = check_pkcs7(v, pkcs7, content, err);
        return r < 0 ? r : verify_say(v, VERIFY_HOLDS, "%s is signed", what);
}

/* Whether a kernel with this command line opens nothing without a signature. */
static bool wants_signature(const struct verify_kernel *k)
{
        return k->command_line && strstr(k->command_line, "dm_verity.require_signatures=1") != NULL;
}

static int no_signature(const struct verifier *v, struct error *err)
{
        if (wants_signature(&v->kernel))
                return error_set(err, -ENODATA,
                                 "there is none, and the command line makes the kernel want one");
        return verify_unsigned(v, VERIFY_ROOT_HASH, "the root hash", err);
}

int verify_check_signature(struct verifier *v, struct error *err)
{
        struct verify_kernel *k = &v->kernel;
        char hex[SHA256_HEX_SIZE];
        int r = 0;

        if (k->signature)
                r = verity_signature_read(k->signature->label, v->disk_fd, k->signature->start,
                                          k->signature->size, &k->root_signature, err);
        if (r < 0)
                return r;
        if (r == 0)
                return no_signature(v, err);
        if (!sha256_equal(&k->root_signature.root_hash, &k->root_hash))
                return error_set(err, -EBADMSG, "of another root hash, %s",
                                 sha256_hex(&k->root_signature.root_hash, hex));
        return judge(v, &k->root_signature.signature, sha256_hex(&k->root_hash, hex),
                     "the root hash", err);
}

int verify_check_ipe_policy(struct verifier *v, struct error *err)
{
        const struct verity_blob *policy = &v->kernel.root_signature.ipe_policy;

        if (policy->size == 0)
                return verify_say(v, VERIFY_UNSIGNED, "there is none");
        return judge(v, policy, NULL, "the policy", err);
}

/* ---- hash tree ---- */

int verify_check_tree(struct verifier *v, struct error *err)
{
        struct verify_kernel *k = &v->kernel;
        int r = verity_check_tree(v->disk_fd, k->tree->start, k->tree->size, &k->root_hash,
                                  &k->leaves, err);

        if (r >= 0 && k->leaves.count > k->usr->size / BLOCK_SIZE)
                r = error_set(err, -EBADMSG, "it is over more blocks than the partition has");
        return r < 0 ? r : verify_say(v, VERIFY_HOLDS, "all of it comes to the root hash");
}

int verify_check_blocks(struct verifier *v, struct error *err)
{
        const struct verify_kernel *k = &v->kernel;
        int r = verity_check_blocks(v->disk_fd, k->usr->start, &k->leaves, err);

        return r < 0 ? error_prefix(err, r, "%s", k->usr->label)
                     : verify_say(v, VERIFY_HOLDS, "every one of %" PRIu64 " of %s is right",
                                  k->leaves.count, k->usr->label);
}
