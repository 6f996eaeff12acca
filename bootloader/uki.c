/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See uki.h. The stub finds its sections by name; we write them in the order in which it measures
 * them (.linux .osrel .cmdline .initrd .uname .pcrpkey), each exactly as long as its content, so
 * what is measured can be computed from the inputs alone. */

#include "pe.h"

static void add(struct uki_section *sections, size_t *n, const char *name, const void *data,
                size_t size)
{
        if (data)
                sections[(*n)++] = (struct uki_section){ name, data, size };
}

static void add_text(struct uki_section *sections, size_t *n, const char *name, const char *text)
{
        add(sections, n, name, text, text ? strlen(text) : 0);
}

int uki_build(const struct uki_input *in, char **ret, size_t *ret_size, struct error *err)
{
        struct uki_section sections[6];
        size_t n = 0;

        add(sections, &n, ".linux", in->linux_image, in->linux_size);
        add_text(sections, &n, ".osrel", in->os_release);
        add_text(sections, &n, ".cmdline", in->cmdline);
        add(sections, &n, ".initrd", in->initrd, in->initrd_size);
        add_text(sections, &n, ".uname", in->uname);
        add_text(sections, &n, ".pcrpkey", in->pcr_key);
        return error_prefix(
                err, pe_append(in->stub, in->stub_size, sections, n, ret, ret_size, err), "UKI");
}

int uki_set_cmdline(char *image, size_t size, const char *cmdline, size_t *ret_offset,
                    struct error *err)
{
        const struct pe_section *section;
        struct pe pe;
        int r = pe_read(image, size, &pe, err);

        if (r < 0)
                return error_prefix(err, r, "UKI");
        section = pe_find(&pe, ".cmdline");
        if (!section || section->memory_size != strlen(cmdline) ||
            section->file_size < section->memory_size)
                return error_set(err, -EINVAL, "UKI: no room for that command line");
        memcpy(image + section->offset, cmdline, section->memory_size);
        *ret_offset = section->offset;
        return 0;
}
