/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See files.h. Content is fetched, decompressed and verified in a draft beside the file's name. A
 * new file then gets owner, mode and name, so nobody sees it half-written. Nothing is synced here:
 * after a power cut the journal brings back what was, and all is done again. */

#include <fcntl.h>

#include "digest.h"
#include "files.h"
#include "resource.h"

int owner_find(struct work *w, const struct owner *user, const struct owner *group,
               const struct stat *st, uid_t *uid, gid_t *gid, struct error *err)
{
        const struct {
                const struct owner *owner;
                const char *kind;
                uint32_t *ret;
                int (*find)(const struct userdb *a, const char *name, uint32_t *ret);
        } owners[] = { { user, "user", uid, userdb_uid }, { group, "group", gid, userdb_gid } };

        *uid = st->st_uid;
        *gid = st->st_gid;
        for (size_t i = 0; i < ARRAY_SIZE(owners); i++) {
                const struct owner *o = owners[i].owner;

                if (o->id.set && (o->id.value < 0 || o->id.value >= UINT32_MAX))
                        return agent_setting_error(w->agent, o->at, "id", err, -ERANGE,
                                                   "%jd is not the id of a %s",
                                                   (intmax_t)o->id.value, owners[i].kind);
                if (o->id.set)
                        *owners[i].ret = (uint32_t)o->id.value;
                else if (!string_is_empty(o->name) &&
                         owners[i].find(&w->userdb, o->name, owners[i].ret) < 0)
                        return agent_setting_error(w->agent, o->at, "name", err, -ESRCH,
                                                   "%s '%s' does not exist", owners[i].kind,
                                                   o->name);
        }
        return 0;
}

static int write_resource(struct work *w, const struct resource *resource, int fd,
                          struct error *err)
{
        return agent_setting(w->agent, resource->at, NULL,
                             resource_write(w->agent, resource, fd, err));
}

static int write_content(struct work *w, const struct file *file, int fd, struct error *err)
{
        int r = write_resource(w, &file->contents, fd, err);

        CONFIG_FOREACH(struct resource, resource, &file->append)
        if (r >= 0)
                r = write_resource(w, resource, fd, err);
        return r;
}

/* The owner defaults to what the directory gave the draft. */
static int own_new(struct work *w, const struct file *file, struct draft *draft, struct error *err)
{
        const struct stat st = { .st_uid = draft->uid, .st_gid = draft->gid };
        mode_t mode = file->mode.set ? (mode_t)file->mode.value : 0644;
        uid_t uid;
        gid_t gid;
        int r;

        r = owner_find(w, &file->node.user, &file->node.group, &st, &uid, &gid, err);
        return r < 0 ? r : draft_own(draft, uid, gid, mode, err);
}

/* The owner defaults to what is there. As everywhere in Unix, a change of owner, to the same one
 * too, takes the set-id bits, and only a mode gives them back. */
static int own_existing(struct work *w, const struct file *file, int fd, const struct stat *st,
                        struct error *err)
{
        uid_t uid;
        gid_t gid;
        int r;

        r = owner_find(w, &file->node.user, &file->node.group, st, &uid, &gid, err);
        if (r < 0)
                return r;
        if (fchown(fd, uid, gid) < 0 ||
            (file->mode.set && fchmod(fd, (mode_t)file->mode.value) < 0))
                return error_errno(err, "owner and mode");
        return 0;
}

/* The last bytes of a file are those of the other, which are size bytes. */
static int ends_with_file(int fd, uint64_t fd_size, int other, uint64_t size, bool *ret,
                          struct error *err)
{
        struct sha256 x, y;
        int r;

        *ret = false;
        if (size > fd_size)
                return 0;
        r = sha256_fd(fd, fd_size - size, size, &x, err);
        if (r >= 0)
                r = sha256_fd(other, 0, size, &y, err);
        if (r >= 0)
                *ret = sha256_equal(&x, &y);
        return r;
}

/* Brings an existing file to what it shall be. Where Ignition has run to its end before, what it
 * appended then is not appended once more. */
static int fill_existing(struct work *w, const struct file *file, int fd, const struct stat *st,
                         int content, struct error *err)
{
        uint64_t have = (uint64_t)st->st_size;
        struct stat add;
        bool there;
        int r;

        if (fstat(content, &add) < 0)
                return error_errno(err, "stat");
        r = ends_with_file(fd, have, content, (uint64_t)add.st_size, &there, err);
        if (r < 0)
                return r;
        if (file->contents.source && !(there && add.st_size == st->st_size))
                return error_set(err, -EEXIST,
                                 "the file exists with other content, and overwrite is not true");
        if (file->contents.source || (there && w->again))
                return 0;
        return io_copy(content, 0, fd, have, (uint64_t)add.st_size, err);
}

static int change_existing(struct work *w, const struct file *file, const struct place *place,
                           const struct stat *st, int content, struct error *err)
{
        _cleanup_close_ int fd = -1;
        int r;

        if (!S_ISREG(st->st_mode))
                return error_set(err, -EEXIST,
                                 "something that is no file is there, and overwrite is not true");
        fd = openat(place->dir, place->name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0)
                return error_errno(err, "open");
        r = fill_existing(w, file, fd, st, content, err);
        if (r >= 0)
                r = own_existing(w, file, fd, st, err);
        return r < 0 ? r : root_touch(w->root, fd, err);
}

int file_publish(struct work *w, const struct file *file, const char *path, struct error *err)
{
        _cleanup_place_ struct place place = PLACE_NULL;
        _cleanup_draft_ struct draft draft = DRAFT_NULL;
        struct stat st;
        int r;

        r = place_make(w->root, path, &place, err);
        if (r >= 0)
                r = draft_open(&draft, place.dir, place.name, 0600, err);
        if (r >= 0)
                r = write_content(w, file, draft.fd, err);
        if (r < 0)
                return r;
        if (fstatat(place.dir, place.name, &st, AT_SYMLINK_NOFOLLOW) == 0)
                return change_existing(w, file, &place, &st, draft.fd, err);
        r = own_new(w, file, &draft, err);
        return r < 0 ? r : draft_name(&draft, err);
}

int text_publish(struct work *w, const char *path, const char *text, struct error *err)
{
        _cleanup_place_ struct place place = PLACE_NULL;
        _cleanup_draft_ struct draft draft = DRAFT_NULL;
        int r;

        r = place_make(w->root, path, &place, err);
        if (r >= 0)
                r = draft_open(&draft, place.dir, place.name, 0644, err);
        if (r >= 0)
                r = io_write(draft.fd, text, strlen(text), err);
        return r < 0 ? r : draft_name(&draft, err);
}
