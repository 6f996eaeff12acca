/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See keyring.h. A file that cannot be read or understood is an error, never a key less: a
 * revocation that is passed over would make a stolen key good again. A directory that is not there
 * is empty. */

#include <fcntl.h>

#include "io.h"
#include "keyring.h"

#define KEY_SUFFIX ".ed25519"

static bool keyring_has(const struct keyring *k, const struct ed25519_public *key)
{
        for (size_t i = 0; i < k->count; i++)
                if (memcmp(&k->keys[i], key, sizeof(*key)) == 0)
                        return true;
        return false;
}

static int add_line(struct keyring *k, const char *line, struct error *err)
{
        struct ed25519_public key;

        if (ed25519_public_parse(line, &key) < 0)
                return error_set(err, -EINVAL, "not a public key: %.60s", line);
        if (keyring_has(k, &key))
                return 0;
        if (k->count == KEYRING_KEYS_MAX)
                return error_set(err, -E2BIG, "more than %d keys", KEYRING_KEYS_MAX);
        k->keys[k->count++] = key;
        return 0;
}

/* The line without what surrounds the key. */
static char *trim(char *line)
{
        line += strspn(line, " \t\r");
        line[strcspn(line, "# \t\r")] = '\0';
        return line;
}

static int add_file(struct keyring *k, int dir_fd, const char *name, struct error *err)
{
        _cleanup_free_ char *text = NULL;
        char *rest, *line;
        size_t size;
        int r;

        r = file_read(dir_fd, name, KEYRING_FILE_MAX, &text, &size, err);
        if (r >= 0 && strlen(text) != size)
                r = error_set(err, -EINVAL, "%s: not a text", name);
        if (r < 0)
                return r;
        rest = text;
        for (unsigned n = 1; (line = strsep(&rest, "\n")); n++) {
                line = trim(line);
                r = *line ? add_line(k, line, err) : 0;
                if (r < 0)
                        return error_prefix(err, r, "%s:%u", name, n);
        }
        return 0;
}

static int add_directory(struct keyring *k, const char *path, struct error *err)
{
        _cleanup_closedir_ DIR *dir = opendir(path);
        struct dirent *entry;
        int r;

        if (!dir)
                return errno == ENOENT ? 0 : error_errno(err, "%s", path);
        while ((errno = 0, entry = readdir(dir))) {
                if (entry->d_name[0] == '.' || !endswith(entry->d_name, KEY_SUFFIX))
                        continue;
                r = add_file(k, dirfd(dir), entry->d_name, err);
                if (r < 0)
                        return error_prefix(err, r, "%s", path);
        }
        return errno ? error_errno(err, "%s", path) : 0;
}

static int add_directories(struct keyring *k, const char *root, char **directories,
                           struct error *err)
{
        STRV_FOREACH (directory, directories) {
                _cleanup_free_ char *path = string_format("%s%s", root ?: "", *directory);
                int r = path ? add_directory(k, path, err) : error_oom(err);

                if (r < 0)
                        return r;
        }
        return 0;
}

int keyring_load(const char *root, char **directories, char **revoked, struct keyring *ret,
                 struct error *err)
{
        struct keyring all = {}, bad = {}, good = {};
        int r;

        r = add_directories(&all, root, directories, err);
        if (r >= 0)
                r = add_directories(&bad, root, revoked, err);
        if (r < 0)
                return error_prefix(err, r, "keys");
        for (size_t i = 0; i < all.count; i++)
                if (!keyring_has(&bad, &all.keys[i]))
                        good.keys[good.count++] = all.keys[i];
        if (good.count == 0)
                return error_set(err, -ENOKEY, "keys: %s",
                                 all.count ? "all of them are revoked" : "there is none");
        *ret = good;
        return 0;
}

int keyring_verify(const struct keyring *k, const void *data, size_t size,
                   const struct ed25519_signature *signatures, size_t count, struct error *err)
{
        for (size_t i = 0; i < count; i++)
                for (size_t n = 0; n < k->count; n++)
                        if (ed25519_verify(&k->keys[n], data, size, &signatures[i]) == 0)
                                return 0;
        return error_set(err, -EKEYREJECTED,
                         count ? "signed by none of the keys of this machine" : "not signed");
}
