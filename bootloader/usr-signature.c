/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See usr-signature.h. The signature is looked for beside the data, in the other partitions of its
 * disk: when one partition of a disk is there, all are. It is known by what it says, not by its
 * partition's name or type, because it is the kernel that judges it; what begins like one and is
 * none (an update that was cut off left it in the other slot) is passed over. */

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "gpt.h"
#include "io.h"
#include "strv.h"
#include "usr-signature.h"

enum { UEVENT_MAX = 4096, PARTITIONS_MAX = 256 };

/* ---- the command line ---- */

/* The last one counts, as for systemd. */
static const char *find_word(char **words, const char *key)
{
        const char *found = NULL;

        STRV_FOREACH (word, words)
                found = startswith(*word, key) ?: found;
        return found;
}

static char *device_path(const char *named, const struct uuid *uuid)
{
        char text[UUID_TEXT_SIZE];

        if (named && startswith(named, "PARTUUID="))
                return string_format("/dev/disk/by-partuuid/%s", startswith(named, "PARTUUID="));
        return named ? strdup(named)
                     : string_format("/dev/disk/by-partuuid/%s", uuid_text(uuid, text));
}

int usr_volume_parse(const char *command_line, struct usr_volume *ret, struct error *err)
{
        _cleanup_usr_volume_ struct usr_volume v = {};
        _cleanup_strv_ char **words = NULL;
        struct uuid data, tree;
        const char *hex;

        if (strv_split(command_line, " \t\n", &words) < 0)
                return error_oom(err);
        hex = find_word(words, "usrhash=");
        if (!hex || hex_decode(hex, v.root_hash.bytes, SHA256_SIZE) < 0)
                return error_set(err, -ENODATA, "no root hash on the kernel command line");
        gpt_uuids_from_root_hash(&v.root_hash, &data, &tree);
        v.data = device_path(find_word(words, "systemd.verity_usr_data="), &data);
        v.tree = device_path(find_word(words, "systemd.verity_usr_hash="), &tree);
        v.options = strdup(find_word(words, "systemd.verity_usr_options=") ?: "");
        if (!v.data || !v.tree || !v.options)
                return error_oom(err);
        *ret = TAKE_STRUCT(v);
        return 0;
}

void usr_volume_done(struct usr_volume *v)
{
        free(v->data);
        free(v->tree);
        free(v->options);
        memset(v, 0, sizeof(*v));
}

/* ---- partitions ---- */

/* The name in /dev of a partition that is a directory of sysfs; NULL: it is none. Caller frees. */
static char *partition_device(int disk_fd, const char *name)
{
        _cleanup_free_ char *uevent = string_format("%s/uevent", name), *text = NULL;
        _cleanup_strv_ char **lines = NULL;
        const char *device;

        if (!uevent || file_read(disk_fd, uevent, UEVENT_MAX, &text, NULL, NULL) < 0 ||
            strv_split(text, "\n", &lines) < 0 || !strv_contains(lines, "DEVTYPE=partition"))
                return NULL;
        device = find_word(lines, "DEVNAME=");
        return device ? string_format("/dev/%s", device) : NULL;
}

/* Whether the device begins with a signature of this root hash. */
static bool has_signature(const char *device, const struct sha256 *root_hash,
                          struct verity_signature *ret)
{
        _cleanup_close_ int fd = open(device, O_RDONLY | O_CLOEXEC);
        _cleanup_verity_signature_ struct verity_signature s = {};
        char first = 0;

        if (fd < 0 || io_pread(fd, &first, 1, 0, NULL, NULL) < 0 || first != '{' ||
            verity_signature_read(device, fd, 0, UINT64_MAX, &s, NULL) <= 0 ||
            !sha256_equal(&s.root_hash, root_hash))
                return false;
        *ret = TAKE_STRUCT(s);
        return true;
}

int usr_signature_find(const struct usr_volume *v, struct verity_signature *ret, struct error *err)
{
        _cleanup_free_ char *path = NULL;
        _cleanup_closedir_ DIR *disk = NULL;
        struct dirent *entry;
        struct stat st;

        if (stat(v->data, &st) < 0)
                return error_errno(err, "%s", v->data);
        path = string_format("/sys/dev/block/%u:%u/..", major(st.st_rdev), minor(st.st_rdev));
        if (!path)
                return error_oom(err);
        disk = opendir(path);
        if (!disk)
                return error_errno(err, "%s", path);
        for (unsigned n = 0; n < PARTITIONS_MAX && (entry = readdir(disk));) {
                _cleanup_free_ char *device =
                        *entry->d_name == '.' ? NULL : partition_device(dirfd(disk), entry->d_name);

                n += device != NULL;
                if (device && has_signature(device, &v->root_hash, ret))
                        return 1;
        }
        return 0;
}
