/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The key is one digest over a stream of labelled, length-prefixed parts, so no two different sets
 * of inputs give the same stream. The receipt names the key and what each artifact looked like
 * right after it was written (size, inode, change time): as git's index does, an artifact that
 * still looks so is taken as unchanged without reading it. */

#include <fcntl.h>
#include <sys/stat.h>

#include "inputs.h"
#include "kernel-fragments.h"
#include "strv.h"
#include "union.h"

#define RECEIPT_NAME ".slipway-receipt"

enum { DEPTH_MAX = 64, RECEIPT_SIZE = 4096, RECEIPT_ARTIFACT_SIZE = 1024 };

static void add(struct hasher *h, const char *label, const void *data, size_t size)
{
        uint64_t length = size;

        hasher_update(h, label, strlen(label) + 1);
        hasher_update(h, &length, sizeof(length));
        hasher_update(h, data, size);
}

static void add_string(struct hasher *h, const char *label, const char *text)
{
        add(h, label, text, strlen(text));
}

static void add_number(struct hasher *h, const char *label, uint64_t number)
{
        add(h, label, &number, sizeof(number));
}

static int add_file(struct hasher *h, int dir_fd, const char *name, struct error *err)
{
        _cleanup_close_ int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        struct sha256 digest;
        int r;

        if (fd < 0)
                return error_errno(err, "%s", name);
        r = sha256_fd(fd, 0, UINT64_MAX, &digest, err);
        if (r < 0)
                return error_prefix(err, r, "%s", name);
        add(h, "content", digest.bytes, SHA256_SIZE);
        return 0;
}

static int add_directory(struct hasher *h, int dir_fd, const char *name, unsigned depth,
                         struct error *err);

static int add_entry(struct hasher *h, int dir_fd, const char *name, unsigned depth,
                     struct error *err)
{
        _cleanup_free_ char *target = NULL;
        struct stat st;
        int r;

        if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return error_errno(err, "%s", name);
        add_string(h, "name", name);
        /* What the tree takes of a mode: type and whether it may be executed. */
        add_number(h, "mode", st.st_mode & (S_IFMT | S_IXUSR));
        if (S_ISDIR(st.st_mode))
                return add_directory(h, dir_fd, name, depth + 1, err);
        if (S_ISLNK(st.st_mode)) {
                r = path_readlink(dir_fd, name, &target, err);
                if (r >= 0)
                        add_string(h, "target", target);
                return r;
        }
        return add_file(h, dir_fd, name, err);
}

static int list_directory(int fd, char ***ret, struct error *err)
{
        _cleanup_closedir_ DIR *dir = fdopendir(fd);
        struct dirent *entry;

        if (!dir) {
                close(fd);
                return error_errno(err, "read directory");
        }
        while ((entry = readdir(dir)))
                if (!streq(entry->d_name, ".") && !streq(entry->d_name, "..") &&
                    strv_extend(ret, entry->d_name) < 0)
                        return error_oom(err);
        strv_sort(*ret);
        return 0;
}

static int add_directory(struct hasher *h, int dir_fd, const char *name, unsigned depth,
                         struct error *err)
{
        _cleanup_close_ int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_strv_ char **names = NULL;
        int r;

        if (fd < 0)
                return error_errno(err, "%s", name);
        if (depth > DEPTH_MAX)
                return error_set(err, -ELOOP, "%s: nested deeper than %d", name, DEPTH_MAX);
        r = list_directory(fcntl(fd, F_DUPFD_CLOEXEC, 3), &names, err);
        STRV_FOREACH (entry, names) {
                if (r < 0)
                        break;
                r = add_entry(h, fd, *entry, depth, err);
        }
        add_string(h, "end", "");
        return error_prefix(err, r, "%s", name);
}

static int add_program(struct hasher *h, const struct workdir *w, const char *name,
                       struct error *err)
{
        _cleanup_close_ int fd = open(w->libexec_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (fd < 0)
                return error_errno(err, "%s", w->libexec_path);
        return add_file(h, fd, name, err);
}

static int add_kernel(struct hasher *h, const struct workdir *w, const struct layer *layer,
                      struct error *err)
{
        _cleanup_free_ char *path = NULL;
        int r = layer_kernel_find(layer, w->cache_path, &path, err);

        return r < 0 || !path ? r : add_directory(h, AT_FDCWD, path, 0, err);
}

static int add_layers(struct hasher *h, const struct workdir *w, const struct manifest *m,
                      struct error *err)
{
        for (size_t i = 0; i < m->n_layers; i++) {
                const struct layer *l = &m->layers[i];
                int r;

                r = add_directory(h, AT_FDCWD, l->path, 0, err);
                for (size_t k = 0; r >= 0 && k < l->programs.count; k++)
                        r = add_program(h, w, l->programs.items[k].name, err);
                if (r >= 0)
                        r = add_kernel(h, w, l, err);
                if (r < 0)
                        return error_prefix(err, r, "layer '%s'", l->name);
        }
        return 0;
}

/* They change no byte, but whether there is an image at all. */
static int add_fragments(struct hasher *h, const struct manifest *m, struct error *err)
{
        _cleanup_strv_ char **paths = NULL;
        int r = kernel_fragments_list(m, &paths, err);

        STRV_FOREACH (path, paths) {
                if (r < 0)
                        break;
                add_string(h, "fragment", "");
                r = add_file(h, AT_FDCWD, *path, err);
        }
        return r;
}

static int add_manifest(struct hasher *h, const struct manifest *m, struct error *err)
{
        _cleanup_free_ char *text = NULL;
        size_t size;
        int r;

        r = file_read(AT_FDCWD, m->path, JSON_TEXT_MAX, &text, &size, err);
        if (r < 0)
                return r;
        add(h, "manifest", text, size);
        add_string(h, "architecture", m->architecture); /* --arch may differ from the text */
        return 0;
}

/* This very program, and libraries: a new version may write other bytes. */
static int add_self(struct hasher *h, struct error *err)
{
        _cleanup_close_ int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
        char library[CODEC_LIBRARY_MAX];
        struct sha256 digest;
        int r;

        if (fd < 0)
                return error_errno(err, "/proc/self/exe");
        r = sha256_fd(fd, 0, UINT64_MAX, &digest, err);
        if (r < 0)
                return r;
        add(h, "slipway", digest.bytes, SHA256_SIZE);
        for (int kind = 0; kind < _CODEC_MAX; kind++) {
                codec_library((enum codec_kind)kind, library);
                add_string(h, "library", library);
        }
        return 0;
}

static void add_ids(struct hasher *h, const char *label, const struct id_allocation *items,
                    size_t count)
{
        for (size_t i = 0; i < count; i++) {
                add_string(h, label, items[i].name);
                add_number(h, "id", items[i].id);
        }
}

static int add_signers(struct hasher *h, const struct signers *signers, struct error *err)
{
        int r = 0;

        for (enum signer_role role = 0; r >= 0 && role < _SIGNER_MAX; role++) {
                struct sha256 identity;

                if (!signers->of[role].key)
                        continue;
                r = signer_identity(&signers->of[role], &identity, err);
                add_string(h, "signer", signer_role_name(role));
                add(h, "identity", identity.bytes, SHA256_SIZE);
                add_number(h, "elsewhere", signers->of[role].requests != NULL);
        }
        for (size_t i = 0; i < ENROLMENT_FILES && signers->enrolment[i].name; i++)
                add(h, signers->enrolment[i].name, signers->enrolment[i].data,
                    signers->enrolment[i].size);
        return r;
}

int inputs_key(const struct workdir *w, const struct manifest *m,
               const struct package_set *packages, const struct lock *lock, uint64_t epoch,
               const struct sha256 *base, const struct signers *signers, struct sha256 *ret,
               struct error *err)
{
        _cleanup_hasher_ struct hasher h = {};
        int r;

        r = hasher_init(&h, err);
        if (r >= 0)
                r = add_self(&h, err);
        if (r >= 0)
                r = add_manifest(&h, m, err);
        if (r >= 0)
                r = add_layers(&h, w, m, err);
        if (r >= 0)
                r = add_fragments(&h, m, err);
        if (r >= 0)
                r = add_signers(&h, signers, err);
        if (r < 0)
                return r;
        add(&h, "base", base->bytes, SHA256_SIZE);
        for (size_t i = 0; i < packages->count; i++)
                add(&h, "package", packages->items[i].sha256.bytes, SHA256_SIZE);
        /* The report repeats them. */
        STRV_FOREACH (warning, packages->warnings)
                add_string(&h, "warning", *warning);
        add_ids(&h, "user", lock->users.items, lock->users.count);
        add_ids(&h, "group", lock->groups.items, lock->groups.count);
        add_number(&h, "epoch", epoch);
        return hasher_final(&h, ret, err);
}

/* ---- receipt ---- */

struct receipt_artifact {
        char *name;
        struct sha256 sha256;
        uint64_t size, inode, changed;
};

struct receipt {
        struct sha256 key, commit, root_hash;
        struct {
                struct receipt_artifact *items;
                size_t count;
        } artifacts;
};

static void receipt_artifact_done(void *object)
{
        struct receipt_artifact *a = object;

        free(a->name);
}

static const struct record receipt_artifact_record = {
        "artifact",
        sizeof(struct receipt_artifact),
        (const struct field[]){
                { "name", field_string, offsetof(struct receipt_artifact, name), FIELD_MANDATORY,
                  "File name.", NULL },
                { "sha256", field_digest, offsetof(struct receipt_artifact, sha256),
                  FIELD_MANDATORY, "Digest.", NULL },
                { "size", field_uint, offsetof(struct receipt_artifact, size), FIELD_MANDATORY,
                  "Bytes.", NULL },
                { "inode", field_uint, offsetof(struct receipt_artifact, inode), FIELD_MANDATORY,
                  "Inode number.", NULL },
                { "changed", field_uint, offsetof(struct receipt_artifact, changed),
                  FIELD_MANDATORY, "Change time, nanoseconds since the epoch.", NULL },
                {},
        },
        receipt_artifact_done,
        NULL,
};

static void receipt_done(void *object)
{
        struct receipt *r = object;

        field_array_done((struct field_array *)&r->artifacts, &receipt_artifact_record);
}

static const struct record receipt_record = {
        "receipt",
        sizeof(struct receipt),
        (const struct field[]){
                { "key", field_digest, offsetof(struct receipt, key), FIELD_MANDATORY,
                  "Identity of the inputs.", NULL },
                { "commit", field_digest, offsetof(struct receipt, commit), FIELD_MANDATORY,
                  "OSTree commit.", NULL },
                { "rootHash", field_digest, offsetof(struct receipt, root_hash), FIELD_MANDATORY,
                  "dm-verity root hash.", NULL },
                { "artifacts", field_records, offsetof(struct receipt, artifacts), FIELD_MANDATORY,
                  "Files.", &receipt_artifact_record },
                {},
        },
        receipt_done,
        NULL,
};

static int look_at(int output_fd, const char *name, uint64_t *size, uint64_t *inode,
                   uint64_t *changed)
{
        struct stat st;

        if (fstatat(output_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        *size = (uint64_t)st.st_size;
        *inode = st.st_ino;
        *changed = (uint64_t)st.st_ctim.tv_sec * 1000000000 + (uint64_t)st.st_ctim.tv_nsec;
        return 0;
}

static bool artifacts_untouched(int output_fd, const struct receipt *receipt)
{
        for (size_t i = 0; i < receipt->artifacts.count; i++) {
                const struct receipt_artifact *a = &receipt->artifacts.items[i];
                uint64_t size = 0, inode = 0, changed = 0;

                if (look_at(output_fd, a->name, &size, &inode, &changed) < 0 || size != a->size ||
                    inode != a->inode || changed != a->changed)
                        return false;
        }
        return true;
}

static int take_artifacts(struct receipt *receipt, struct composition *c, struct error *err)
{
        c->artifacts.items =
                calloc(MAX(receipt->artifacts.count, (size_t)1), sizeof(struct artifact));
        if (!c->artifacts.items)
                return error_oom(err);
        for (size_t i = 0; i < receipt->artifacts.count; i++) {
                struct receipt_artifact *a = &receipt->artifacts.items[i];

                c->artifacts.items[i] = (struct artifact){ .name = TAKE_PTR(a->name),
                                                           .size = a->size,
                                                           .sha256 = a->sha256 };
        }
        c->artifacts.count = receipt->artifacts.count;
        return 0;
}

int receipt_check(int output_fd, struct composition *c, struct error *err)
{
        _cleanup_(receipt_done) struct receipt receipt = {};
        struct error ignored;

        /* Whatever is wrong with a receipt, building again is the cure. */
        if (record_load(output_fd, RECEIPT_NAME, &receipt_record, &receipt, &ignored) < 0 ||
            !sha256_equal(&receipt.key, &c->key) || !artifacts_untouched(output_fd, &receipt))
                return 0;
        c->unchanged = true;
        c->commit = receipt.commit;
        c->root_hash = receipt.root_hash;
        return take_artifacts(&receipt, c, err);
}

static json_object *digest_string(const struct sha256 *digest)
{
        char hex[SHA256_HEX_SIZE];

        return json_object_new_string(sha256_hex(digest, hex));
}

static int describe_artifact(int output_fd, const struct artifact *a, json_object *list,
                             struct error *err)
{
        json_object *item = json_object_new_object();
        uint64_t size = 0, inode = 0, changed = 0;
        int r;

        json_object_array_add(list, item);
        r = look_at(output_fd, a->name, &size, &inode, &changed);
        if (r < 0)
                return error_code(err, r, "%s", a->name);
        json_object_object_add(item, "name", json_object_new_string(a->name));
        json_object_object_add(item, "sha256", digest_string(&a->sha256));
        json_object_object_add(item, "size", json_object_new_uint64(size));
        json_object_object_add(item, "inode", json_object_new_uint64(inode));
        json_object_object_add(item, "changed", json_object_new_uint64(changed));
        return 0;
}

int receipt_draft(int output_fd, const struct composition *c, struct draft *ret, struct error *err)
{
        off_t room = RECEIPT_SIZE + (off_t)c->artifacts.count * RECEIPT_ARTIFACT_SIZE;
        int r = draft_open(ret, output_fd, RECEIPT_NAME, 0644, err);

        if (r < 0)
                return r;
        errno = posix_fallocate(ret->fd, 0, room);
        return errno != 0 ? error_errno(err, "%s", RECEIPT_NAME) : 0;
}

/* The text needs less than there is room for. */
static int fill_draft(struct draft *d, const char *text, struct error *err)
{
        size_t size = strlen(text);
        int r = io_pwrite(d->fd, text, size, 0, err);

        if (r < 0)
                return r;
        return ftruncate(d->fd, (off_t)size) < 0 ? error_errno(err, "%s", d->name) : 0;
}

int receipt_publish(struct draft *d, const struct composition *c, struct error *err)
{
        json_object *root = json_object_new_object(), *list = json_object_new_array();
        const char *text;
        int r = 0;

        json_object_object_add(root, "key", digest_string(&c->key));
        json_object_object_add(root, "commit", digest_string(&c->commit));
        json_object_object_add(root, "rootHash", digest_string(&c->root_hash));
        json_object_object_add(root, "artifacts", list);
        for (size_t i = 0; r >= 0 && i < c->artifacts.count; i++)
                r = describe_artifact(d->dir_fd, &c->artifacts.items[i], list, err);
        text = json_object_to_json_string_ext(root, JSON_C_TO_STRING_PRETTY);
        if (r >= 0 && !text)
                r = error_oom(err);
        if (r >= 0)
                r = fill_draft(d, text, err);
        json_object_put(root);
        return r < 0 ? r : draft_publish(d, err);
}
