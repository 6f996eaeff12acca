/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See extension.h. A disk image as the Discoverable Partitions Specification has it, with what
 * systemd's dissection wants to find:
 *
 *   0       protective MBR, GPT
 *   1 MiB   root: EROFS, /usr and /opt in it
 *           root-verity: the hash tree
 *           root-verity-sig: JSON with the PKCS#7 of the root hash; only when it is signed
 *           backup GPT
 *
 * The first two have the halves of the root hash as UUIDs. Everything behind the first MiB lies
 * close together, in whole blocks. The partition is `root`, not `usr`, because of /opt.
 *
 * lz4hc unless the description says otherwise: the hosts' kernels are not known here, and this is
 * what all of them read. The text that merging looks at stays plain, so that whoever wants to know
 * what an image is for needs no decompressor. */

#include <fcntl.h>

#include "disk.h"
#include "extension.h"
#include "io.h"
#include "root-hash-signature.h"
#include "strv.h"
#include "verity.h"

enum { EDGE = 1024 * 1024, SIGNATURE_SIZE = 4 * BLOCK_SIZE, BACKUP_SIZE = 5 * BLOCK_SIZE };

#define PLAIN_RELEASE "/usr/lib/extension-release.d/*"

/* Backup GPT: 32 sectors of entries, one of the header. */
static_assert((int)BACKUP_SIZE >= 33 * SECTOR_SIZE, "room for the backup");

struct build {
        const struct extension *extension;
        const struct signer *signer; /* NULL: unsigned */
        unsigned threads;
        struct sha256 seed; /* of what would be random */
        struct image_settings settings;
        struct block_digests digests;
        struct draft draft;
        char *signature;
        struct extension_image image;
        struct layout layout;
};

static void build_done(struct build *b)
{
        image_settings_done(&b->settings);
        block_digests_done(&b->digests);
        draft_done(&b->draft);
        free(b->signature);
        extension_image_done(&b->image);
}

void extension_image_done(struct extension_image *i)
{
        free(i->name);
        *i = (struct extension_image){};
}

/* ---- the file system and its hash tree ---- */

static int complete_settings(struct build *b, const struct tree *tree, struct error *err)
{
        struct image_settings wanted = b->extension->erofs;
        int r;

        if (wanted.compression == 0)
                while (!streq(image_compressions[wanted.compression], "lz4hc"))
                        wanted.compression++;
        r = image_settings_complete(&wanted, tree, NULL, &b->settings, err);
        if (r < 0)
                return r;
        return strv_extend(&b->settings.plain, PLAIN_RELEASE) < 0 ? error_oom(err) : 0;
}

/* The description as hosts see it names the extension, its version and architecture. */
static int make_seed(struct build *b, struct error *err)
{
        _cleanup_free_ char *text = NULL;
        int r = extension_release_text(b->extension, &text, err);

        if (r >= 0)
                sha256_of(text, strlen(text), &b->seed);
        return r;
}

static int write_image(struct build *b, struct erofs_image *image, struct error *err)
{
        _cleanup_close_ int direct = io_reopen_direct(b->draft.fd, err);
        struct erofs_target target = { direct, EDGE, UINT64_MAX - EDGE, &b->digests };
        int r;

        if (direct < 0)
                return direct;
        r = block_digests_init(&b->digests, erofs_image_bound(image) / BLOCK_SIZE, err);
        if (r >= 0)
                r = erofs_image_write(image, NULL, &target, b->threads, err);
        if (r < 0)
                return r;
        b->image.image_size = erofs_image_size(image);
        b->image.tree_size = verity_tree_size(b->image.image_size);
        return 0;
}

static int write_tree(struct build *b, const struct tree *tree, struct error *err)
{
        _cleanup_(erofs_image_free_p) struct erofs_image *image = NULL;
        int r = complete_settings(b, tree, err);

        if (r >= 0)
                r = image_new_whole(tree, &b->seed, "extension", &b->settings, &image, err);
        return r < 0 ? r : write_image(b, image, err);
}

static int write_hashes(struct build *b, struct error *err)
{
        struct uuid uuid;

        image_verity_uuid(&b->seed, &uuid);
        return verity_write(&b->digests, &uuid, b->draft.fd, EDGE + b->image.image_size,
                            &b->image.root_hash, err);
}

static int write_signature(struct build *b, struct error *err)
{
        int r;

        if (!b->signer)
                return 0;
        r = root_hash_sign(b->signer, &b->image.root_hash, NULL, &b->signature, err);
        if (r >= 0)
                r = signer_identity(b->signer, &b->image.certificate, err);
        if (r >= 0 && strlen(b->signature) > SIGNATURE_SIZE)
                r = error_set(err, -E2BIG, "signature: more than %d bytes", SIGNATURE_SIZE);
        return r < 0 ? r
                     : io_pwrite(b->draft.fd, b->signature, strlen(b->signature),
                                 EDGE + b->image.image_size + b->image.tree_size, err);
}

/* ---- the table around them ---- */

static int add_partition(struct build *b, enum partition_role role, uint64_t start, uint64_t size,
                         struct error *err)
{
        const char *type = gpt_type(role, b->extension->architecture);
        struct partition *p = &b->layout.partitions[b->layout.count++];

        *p = (struct partition){
                .role = role,
                .attributes = 1ULL << GPT_ATTRIBUTE_READ_ONLY,
                .start = start,
                .size = size,
        };
        snprintf(p->label, sizeof(p->label), "%s", partition_role_name(role));
        derive_uuid(&b->image.root_hash, partition_role_name(role), &p->uuid);
        return type && uuid_parse(type, &p->type) >= 0
                       ? 0
                       : error_set(err, -EINVAL, "no partition types for architecture \"%s\"",
                                   b->extension->architecture);
}

static int lay_out(struct build *b, struct error *err)
{
        const struct {
                enum partition_role role;
                uint64_t size;
        } parts[] = {
                { PARTITION_ROOT, b->image.image_size },
                { PARTITION_ROOT_VERITY, b->image.tree_size },
                { PARTITION_ROOT_VERITY_SIG, b->signature ? SIGNATURE_SIZE : 0 },
        };
        uint64_t at = EDGE;
        int r = 0;

        for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(parts); at += parts[i++].size)
                if (parts[i].size > 0)
                        r = add_partition(b, parts[i].role, at, parts[i].size, err);
        b->layout.disk_size = b->image.size = at + BACKUP_SIZE;
        derive_uuid(&b->image.root_hash, "disk", &b->layout.disk_uuid);
        gpt_uuids_from_root_hash(&b->image.root_hash, &b->layout.partitions[0].uuid,
                                 &b->layout.partitions[1].uuid);
        return r;
}

static int write_table(struct build *b, struct error *err)
{
        int r = lay_out(b, err);

        if (r < 0)
                return r;
        if (ftruncate(b->draft.fd, (off_t)b->image.size) < 0)
                return error_errno(err, "%s", b->image.name);
        r = disk_write_table(&b->layout, b->image.name, b->draft.fd, err);
        return r < 0 ? r : sha256_fd(b->draft.fd, 0, b->image.size, &b->image.sha256, err);
}

/* ---- the description beside it ---- */

static void put_string(json_object *object, const char *key, const char *value)
{
        if (value)
                json_object_object_add(object, key, json_object_new_string(value));
}

static void put_digest(json_object *object, const char *key, const struct sha256 *digest)
{
        char hex[SHA256_HEX_SIZE];

        put_string(object, key, sha256_hex(digest, hex));
}

static json_object *describe(const struct build *b)
{
        const struct extension *e = b->extension;
        json_object *root = json_object_new_object();

        put_string(root, "extension", e->name);
        put_string(root, "version", e->version);
        put_string(root, "architecture", e->architecture);
        put_string(root, "id", e->id);
        put_string(root, "level", e->level);
        put_string(root, "versionId", e->version_id);
        put_string(root, "slipway", SLIPWAY_VERSION);
        put_string(root, "file", b->image.name);
        json_object_object_add(root, "size", json_object_new_uint64(b->image.size));
        put_digest(root, "sha256", &b->image.sha256);
        put_digest(root, "rootHash", &b->image.root_hash);
        json_object_object_add(root, "imageSize", json_object_new_uint64(b->image.image_size));
        json_object_object_add(root, "hashTreeSize", json_object_new_uint64(b->image.tree_size));
        if (b->signature)
                put_digest(root, "certificateFingerprint", &b->image.certificate);
        return root;
}

static int write_description(const struct build *b, int output_fd, const char *name,
                             struct error *err)
{
        json_object *root = describe(b);
        const char *json = json_object_to_json_string_ext(
                root, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE);
        _cleanup_free_ char *text = json ? string_format("%s\n", json) : NULL;

        json_object_put(root);
        return text ? file_write(output_fd, name, text, strlen(text), 0644, err) : error_oom(err);
}

/* The description is the last to appear: it is of what lies beside it. */
static int publish(struct build *b, int output_fd, struct error *err)
{
        _cleanup_free_ char *name =
                string_format("%.*s.json", (int)strlen(b->image.name) - 4, b->image.name);
        int r;

        if (!name)
                return error_oom(err);
        if (unlinkat(output_fd, name, 0) < 0 && errno != ENOENT)
                return error_errno(err, "%s", name);
        r = draft_publish(&b->draft, err);
        return r < 0 ? r : write_description(b, output_fd, name, err);
}

static int build(struct build *b, int output_fd, struct error *err)
{
        const struct extension *e = b->extension;
        _cleanup_tree_ struct tree *tree = NULL;
        int r = extension_tree(e, &tree, err);

        if (r >= 0)
                r = make_seed(b, err);
        b->image.name = string_format("%s-%s-%s.raw", e->name, e->version, e->architecture);
        if (r >= 0 && !b->image.name)
                r = error_oom(err);
        if (r >= 0)
                r = draft_open(&b->draft, output_fd, b->image.name, 0644, err);
        if (r >= 0)
                r = write_tree(b, tree, err);
        if (r >= 0)
                r = write_hashes(b, err);
        if (r >= 0)
                r = write_signature(b, err);
        if (r >= 0)
                r = write_table(b, err);
        return r < 0 ? r : publish(b, output_fd, err);
}

int extension_build(const struct extension *e, const struct signer *signer, unsigned threads,
                    int output_fd, struct extension_image *ret, struct error *err)
{
        _cleanup_(build_done) struct build b = {
                .extension = e,
                .signer = signer,
                .threads = threads,
                .draft = DRAFT_NULL,
        };
        int r = build(&b, output_fd, err);

        if (r < 0)
                return error_prefix(err, r, "extension '%s'", e->name);
        *ret = TAKE_STRUCT(b.image);
        return 0;
}
