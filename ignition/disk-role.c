/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See disk-role.h. A SCSI disk is known by its controller on the VM bus, whose instance has the
 * same id on every machine, and by its LUN there. Machines of generation 1 have the disk of the
 * system and the local one on an emulated IDE controller; its devices have ids of their own. NVMe
 * disks are known by the model of their controller, and what the host writes into the namespace's
 * vendor-specific data, where it writes anything. */

#include <ctype.h>
#include <fcntl.h>
#include <linux/nvme_ioctl.h>
#include <sys/ioctl.h>

#include "disk-role.h"
#include "io.h"

enum {
        ATTRIBUTE_MAX = 4096,
        PATH_SIZE = 4096,
        /* NVM Express base specification: Identify, of one namespace. */
        NVME_ADMIN_IDENTIFY = 0x06,
        NVME_IDENTIFY_SIZE = 4096,
        NVME_VENDOR_OFFSET = 384,
};

static const char *const purpose_names[_DISK_PURPOSE_MAX] = {
        [DISK_OS] = "os",
        [DISK_RESOURCE] = "resource",
        [DISK_DATA] = "data",
        [DISK_LOCAL] = "local",
};

/* By the beginning of the bus device's id, and the LUN where `lun` is not -1. */
static const struct scsi_row {
        const char *device;
        int lun, controller;
        enum disk_purpose purpose;
} scsi_rows[] = {
        { "{00000000-0000-", -1, -1, DISK_OS },
        { "{00000000-0001-", -1, -1, DISK_RESOURCE },
        { "{f8b3781a-1e82-4818-a1c3-63d806ec15bb}", 0, -1, DISK_OS },
        { "{f8b3781a-1e82-4818-a1c3-63d806ec15bb}", 1, -1, DISK_RESOURCE },
        { "{f8b3781b-1e82-4818-a1c3-63d806ec15bb}", -1, 1, DISK_DATA },
        { "{f8b3781c-1e82-4818-a1c3-63d806ec15bb}", -1, 2, DISK_DATA },
        { "{f8b3781d-1e82-4818-a1c3-63d806ec15bb}", -1, 3, DISK_DATA },
};

static const char remote_model[] = "MSFT NVMe Accelerator v1.0",
                  local_model[] = "Microsoft NVMe Direct Disk"; /* and " v2" */

/* A whole number from 0 to DISK_NUMBER_MAX; -1: something else. */
static int parse_number(const char *text, size_t size)
{
        int n = 0;

        if (size == 0 || size > 4)
                return -1;
        for (size_t i = 0; i < size; i++) {
                if (text[i] < '0' || text[i] > '9')
                        return -1;
                n = 10 * n + (text[i] - '0');
        }
        return n > DISK_NUMBER_MAX ? -1 : n;
}

/* The first line of an attribute; NULL: there is none. Caller frees. */
static char *read_attribute(const char *directory, const char *name)
{
        char path[PATH_SIZE], *text = NULL;
        struct error ignored;

        if ((size_t)snprintf(path, sizeof(path), "%s/%s", directory, name) >= sizeof(path) ||
            file_read(AT_FDCWD, path, ATTRIBUTE_MAX, &text, NULL, &ignored) < 0)
                return NULL;
        text[strcspn(text, "\n")] = '\0';
        return text;
}

/* The attribute of the device or of the nearest above it that has it. */
static char *find_attribute(const char *syspath, const char *name)
{
        char path[PATH_SIZE], *end, *found = NULL;

        if ((size_t)snprintf(path, sizeof(path), "%s", syspath) >= sizeof(path))
                return NULL;
        while (!found && (end = strrchr(path, '/')) && end > path) {
                found = read_attribute(path, name);
                *end = '\0';
        }
        return found;
}

/* The last number of a SCSI device's address, "host:channel:target:lun"; -1: there is none. */
static int find_lun(const char *syspath)
{
        _cleanup_free_ char *link = string_format("%s/device", syspath), *target = NULL;
        struct error ignored;
        const char *colon;

        if (!link || path_readlink(AT_FDCWD, link, &target, &ignored) < 0)
                return -1;
        colon = strrchr(target, ':');
        return colon ? parse_number(colon + 1, strlen(colon + 1)) : -1;
}

static void find_scsi(const char *syspath, const char *device, struct disk_role *role)
{
        int lun = find_lun(syspath);

        for (size_t i = 0; i < ARRAY_SIZE(scsi_rows); i++) {
                const struct scsi_row *row = &scsi_rows[i];

                if (!startswith(device, row->device) || (row->lun >= 0 && row->lun != lun))
                        continue;
                role->purpose = row->purpose;
                role->controller = row->controller;
                if (row->purpose == DISK_DATA)
                        role->lun = lun;
                return;
        }
}

/* ---- NVMe ---- */

static void parse_pair(const char *key, size_t key_size, const char *value, size_t size,
                       struct disk_role *role)
{
        struct {
                const char *key;
                int *number;
        } numbers[] = { { "lun", &role->lun }, { "index", &role->index } };

        for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
                if (strlen(numbers[i].key) == key_size &&
                    memcmp(numbers[i].key, key, key_size) == 0)
                        *numbers[i].number = parse_number(value, size);
        if (key_size == 4 && memcmp(key, "type", 4) == 0)
                for (enum disk_purpose p = 0; p < _DISK_PURPOSE_MAX; p++)
                        if (purpose_names[p] && strlen(purpose_names[p]) == size &&
                            memcmp(purpose_names[p], value, size) == 0)
                                role->purpose = p;
        if (key_size == 4 && memcmp(key, "name", 4) == 0 && size <= DISK_NAME_MAX) {
                for (size_t i = 0; i < size; i++) /* it becomes a file's */
                        if (!strchr("-._", value[i]) && !isalnum((unsigned char)value[i]))
                                return;
                memcpy(role->name, value, size);
                role->name[size] = '\0';
        }
}

void disk_role_parse(const char *text, size_t size, struct disk_role *role)
{
        size_t length = strnlen(text, size);

        for (size_t i = 0, end; i < length; i = end + 1) {
                const char *comma = memchr(text + i, ',', length - i), *equals;

                end = comma ? (size_t)(comma - text) : length;
                equals = memchr(text + i, '=', end - i);
                if (equals)
                        parse_pair(text + i, (size_t)(equals - text) - i, equals + 1,
                                   end - (size_t)(equals + 1 - text), role);
        }
}

/* What the host says of the namespace. A host that says nothing leaves zeros. */
static void ask_namespace(const char *node, unsigned nsid, struct disk_role *role)
{
        _cleanup_close_ int fd = open(node, O_RDONLY | O_CLOEXEC);
        char data[NVME_IDENTIFY_SIZE] = {};
        struct nvme_admin_cmd command = {
                .opcode = NVME_ADMIN_IDENTIFY,
                .nsid = nsid,
                .addr = (uintptr_t)data,
                .data_len = sizeof(data),
        };

        if (fd >= 0 && ioctl(fd, NVME_IOCTL_ADMIN_CMD, &command) == 0)
                disk_role_parse(data + NVME_VENDOR_OFFSET, sizeof(data) - NVME_VENDOR_OFFSET, role);
}

static void find_nvme(const char *syspath, const char *devices, int nsid, struct disk_role *role)
{
        _cleanup_free_ char *model = find_attribute(syspath, "model"),
                            *node = string_format("%s%s", devices, strrchr(syspath, '/'));

        if (!model || nsid < 1)
                return;
        if (startswith(model, local_model)) {
                role->purpose = DISK_LOCAL;
        } else if (startswith(model, remote_model)) {
                role->purpose = nsid == 1 ? DISK_OS : DISK_DATA;
                role->lun = nsid == 1 ? -1 : nsid - 2;
        } else {
                return;
        }
        if (node)
                ask_namespace(node, (unsigned)nsid, role);
}

/* NVMe controllers hang on the VM bus, too, behind a PCI bus of their own: what is above a disk
 * does not tell them from SCSI disks, but only they have namespaces. */
void disk_role_find(const char *syspath, const char *devices, struct disk_role *ret)
{
        _cleanup_free_ char *nsid = read_attribute(syspath, "nsid"), *device = NULL;

        *ret = (struct disk_role){ .lun = -1, .controller = -1, .index = -1 };
        if (nsid) {
                find_nvme(syspath, devices, parse_number(nsid, strlen(nsid)), ret);
                return;
        }
        device = find_attribute(syspath, "device_id");
        if (device)
                find_scsi(syspath, device, ret);
}

void disk_role_text(const struct disk_role *role, struct buffer *b)
{
        const struct {
                const char *key;
                int value;
        } numbers[] = { { "LUN", role->lun },
                        { "CONTROLLER", role->controller },
                        { "INDEX", role->index } };

        if (role->purpose == DISK_UNKNOWN)
                return;
        buffer_printf(b, "AZURE_DISK_TYPE=%s\n", purpose_names[role->purpose]);
        for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
                if (numbers[i].value >= 0)
                        buffer_printf(b, "AZURE_DISK_%s=%d\n", numbers[i].key, numbers[i].value);
        if (*role->name)
                buffer_printf(b, "AZURE_DISK_NAME=%s\n", role->name);
}
