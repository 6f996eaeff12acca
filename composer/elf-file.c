/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See elf-file.h. Only program headers are looked at, as the dynamic linker does, so a file whose
 * section headers were stripped reads the same. Bytes are taken through libelf (class and byte
 * order are its business), which reads them from the file as they are asked for: a few KiB of each,
 * where a mapping would cost faults and a flush of every processor's TLB. Each string must lie
 * inside the string table:
 *
 *   PT_INTERP            → interpreter
 *   PT_DYNAMIC           → DT_STRTAB/DT_STRSZ first, then DT_NEEDED, DT_SONAME, DT_RUNPATH,
 * DT_RPATH PT_NOTE "FDO" 407c0c0a → JSON array of { "soname": [ … ], "priority": "…" }
 */

#include <gelf.h>

#include "elf-file.h"
#include "json.h"
#include "strv.h"

enum {
        DLOPEN_NOTE_TYPE = 0x407c0c0a,
        TABLE_MAX = 1024 * 1024, /* bytes of a dynamic section, or of a segment of notes */
};

static const char *const priorities[] = {
        [ELF_SUGGESTED] = "suggested",
        [ELF_RECOMMENDED] = "recommended",
        [ELF_REQUIRED] = "required",
};

struct reader {
        Elf *elf;
        uint64_t size;
        uint64_t strings, strings_size; /* file range of the dynamic string table */
        struct elf_info *info;
        bool runpath; /* DT_RUNPATH was seen: DT_RPATH does not count */
};

static void elf_end_p(Elf **elf)
{
        if (*elf)
                elf_end(*elf);
}

static int malformed(struct error *err, const char *what)
{
        return error_set(err, -EINVAL, "Malformed ELF file: %s", what);
}

/* A NUL-terminated string inside [offset, offset + size) of the file; NULL when there is none. */
static const char *string_at(const struct reader *r, uint64_t offset, uint64_t size)
{
        Elf_Data *data;

        if (offset >= r->size)
                return NULL;
        size = MIN(size, r->size - offset);
        size = MIN(size, (uint64_t)ELF_STRING_MAX);
        data = size > 0 ? elf_getdata_rawchunk(r->elf, (int64_t)offset, size, ELF_T_BYTE) : NULL;
        return data && memchr(data->d_buf, '\0', size) ? data->d_buf : NULL;
}

static int find_segment(const struct reader *r, size_t index, GElf_Phdr *ret, struct error *err)
{
        if (!gelf_getphdr(r->elf, (int)index, ret))
                return malformed(err, elf_errmsg(-1));
        if (ret->p_offset > r->size || ret->p_filesz > r->size - ret->p_offset)
                return malformed(err, "a segment ends behind the file");
        return 0;
}

/* File offset of a virtual address; UINT64_MAX when no segment is loaded there. */
static uint64_t address_offset(const struct reader *r, uint64_t address)
{
        GElf_Phdr p;

        for (int i = 0; gelf_getphdr(r->elf, i, &p); i++)
                if (p.p_type == PT_LOAD && address >= p.p_vaddr &&
                    address - p.p_vaddr < p.p_filesz && p.p_offset < r->size)
                        return p.p_offset + (address - p.p_vaddr);
        return UINT64_MAX;
}

static int set_string(char **member, const char *s, struct error *err)
{
        char *copy = strdup(s);

        if (!copy)
                return error_oom(err);
        free(*member);
        *member = copy;
        return 0;
}

static int set_runpath(struct reader *r, const char *s, bool is_runpath, struct error *err)
{
        char **parts;

        if (r->runpath && !is_runpath)
                return 0;
        if (strv_split(s, ":", &parts) < 0)
                return error_oom(err);
        r->runpath |= is_runpath;
        strv_free(r->info->runpath);
        r->info->runpath = parts;
        return 0;
}

static int add_needed(struct reader *r, const char *s, struct error *err)
{
        if (strv_length(r->info->needed) >= ELF_STRINGS_MAX)
                return malformed(err, "too many DT_NEEDED");
        return strv_extend(&r->info->needed, s) < 0 ? error_oom(err) : 0;
}

static int read_dynamic_string(struct reader *r, const GElf_Dyn *d, struct error *err)
{
        const char *s;

        if (d->d_tag != DT_NEEDED && d->d_tag != DT_SONAME && d->d_tag != DT_RUNPATH &&
            d->d_tag != DT_RPATH)
                return 0;
        s = d->d_un.d_val < r->strings_size
                    ? string_at(r, r->strings + d->d_un.d_val, r->strings_size - d->d_un.d_val)
                    : NULL;
        if (!s)
                return malformed(err, "a string lies outside of the dynamic string table");
        if (d->d_tag == DT_NEEDED)
                return add_needed(r, s, err);
        if (d->d_tag == DT_SONAME)
                return set_string(&r->info->soname, s, err);
        return set_runpath(r, s, d->d_tag == DT_RUNPATH, err);
}

static int read_dynamic(struct reader *r, const GElf_Phdr *p, struct error *err)
{
        uint64_t address = 0;
        Elf_Data *data;
        GElf_Dyn d;
        int result = 0;

        if (p->p_filesz > TABLE_MAX)
                return malformed(err, "its dynamic section is too long");
        data = elf_getdata_rawchunk(r->elf, (int64_t)p->p_offset, p->p_filesz, ELF_T_DYN);
        if (!data)
                return malformed(err, elf_errmsg(-1));
        for (int i = 0; gelf_getdyn(data, i, &d) && d.d_tag != DT_NULL; i++) {
                if (d.d_tag == DT_STRTAB)
                        address = d.d_un.d_ptr;
                if (d.d_tag == DT_STRSZ)
                        r->strings_size = d.d_un.d_val;
        }
        r->strings = address_offset(r, address);
        if (r->strings >= r->size)
                r->strings = r->strings_size = 0;
        for (int i = 0; result == 0 && gelf_getdyn(data, i, &d) && d.d_tag != DT_NULL; i++)
                result = read_dynamic_string(r, &d, err);
        return result;
}

static int decode_dlopen(const struct json_document *document, json_object *value,
                         struct elf_dlopen *ret, struct error *err)
{
        json_object *sonames = json_object_object_get(value, "soname");
        json_object *priority = json_object_object_get(value, "priority");
        const char *name = priority ? json_object_get_string(priority) : "recommended";

        if (!json_object_is_type(sonames, json_type_array))
                return json_error(document, value, err, -EINVAL, "No array \"soname\"");
        for (size_t i = 0; i < ARRAY_SIZE(priorities); i++)
                if (streq(name, priorities[i]))
                        ret->priority = (enum elf_priority)i;
        for (size_t i = 0; i < json_object_array_length(sonames); i++) {
                json_object *soname = json_object_array_get_idx(sonames, i);

                if (!json_object_is_type(soname, json_type_string))
                        return json_error(document, value, err, -EINVAL,
                                          "\"soname\" must hold strings");
                if (strv_extend(&ret->sonames, json_object_get_string(soname)) < 0)
                        return error_oom(err);
        }
        return 0;
}

static int read_dlopen_note(struct reader *r, const char *text, size_t size, struct error *err)
{
        _cleanup_json_ struct json_document document = {};
        struct elf_info *info = r->info;
        struct elf_dlopen *grown;
        size_t n;
        int result;

        result = json_load("<.note.dlopen>", text, strnlen(text, size), false, &document, err);
        if (result < 0)
                return result;
        if (!json_object_is_type(document.root, json_type_array))
                return json_error(&document, document.root, err, -EINVAL, "Not an array");
        n = json_object_array_length(document.root);
        if (n > ELF_STRINGS_MAX - info->n_dlopens)
                return malformed(err, "too many dlopen notes");
        grown = reallocarray(info->dlopens, info->n_dlopens + n + 1, sizeof(*grown));
        if (!grown)
                return error_oom(err);
        info->dlopens = grown;
        for (size_t i = 0; i < n && result == 0; i++) {
                info->dlopens[info->n_dlopens] = (struct elf_dlopen){};
                result = decode_dlopen(&document, json_object_array_get_idx(document.root, i),
                                       &info->dlopens[info->n_dlopens++], err);
        }
        return result;
}

static int read_notes(struct reader *r, const GElf_Phdr *p, struct error *err)
{
        size_t next, name, description;
        Elf_Data *data;
        int result = 0;
        GElf_Nhdr n;

        if (p->p_filesz > TABLE_MAX) /* of a core dump, say */
                return 0;
        data = elf_getdata_rawchunk(r->elf, (int64_t)p->p_offset, p->p_filesz,
                                    p->p_align == 8 ? ELF_T_NHDR8 : ELF_T_NHDR);
        if (!data)
                return malformed(err, elf_errmsg(-1));
        for (size_t at = 0;
             result == 0 && (next = gelf_getnote(data, at, &n, &name, &description)) > 0;
             at = next) {
                const char *base = data->d_buf;

                if (n.n_type != DLOPEN_NOTE_TYPE || n.n_namesz != sizeof("FDO") ||
                    memcmp(base + name, "FDO", sizeof("FDO")) != 0)
                        continue;
                if (n.n_descsz > ELF_NOTE_MAX)
                        return malformed(err, "a dlopen note is too long");
                result = read_dlopen_note(r, base + description, n.n_descsz, err);
        }
        return result;
}

static int read_segment(struct reader *r, size_t index, struct error *err)
{
        const char *s;
        GElf_Phdr p;
        int result;

        result = find_segment(r, index, &p, err);
        if (result < 0)
                return result;
        if (p.p_type == PT_DYNAMIC)
                return read_dynamic(r, &p, err);
        if (p.p_type == PT_NOTE)
                return read_notes(r, &p, err);
        if (p.p_type != PT_INTERP)
                return 0;
        s = string_at(r, p.p_offset, p.p_filesz);
        return s ? set_string(&r->info->interpreter, s, err)
                 : malformed(err, "the interpreter's name has no end");
}

static bool is_code(const GElf_Shdr *section)
{
        return section->sh_type == SHT_RELA || section->sh_type == SHT_REL ||
               (section->sh_type == SHT_PROGBITS && section->sh_flags & SHF_EXECINSTR);
}

void elf_clear_code(char *data, size_t size, size_t block)
{
        _cleanup_(elf_end_p) Elf *elf = NULL;
        Elf_Scn *section = NULL;
        GElf_Ehdr header;
        GElf_Shdr s;

        if (elf_version(EV_CURRENT) == EV_NONE)
                return;
        elf = elf_memory(data, size);
        if (!elf || !gelf_getehdr(elf, &header) || header.e_type != ET_REL)
                return;
        while ((section = elf_nextscn(elf, section)) && gelf_getshdr(section, &s)) {
                size_t start, end;

                if (!is_code(&s) || s.sh_offset > size || s.sh_size > size - s.sh_offset)
                        continue;
                start = ROUND_UP(s.sh_offset, block);
                end = (s.sh_offset + s.sh_size) / block * block;
                if (start < end)
                        memset(data + start, 0, end - start);
        }
}

static int read_elf(Elf *elf, uint64_t size, struct elf_info *ret, struct error *err)
{
        _cleanup_elf_info_ struct elf_info info = {};
        struct reader r = { .elf = elf, .size = size, .info = &info };
        size_t n_segments;
        GElf_Ehdr header;
        int result = 0;

        if (!elf || elf_kind(elf) != ELF_K_ELF || !gelf_getehdr(elf, &header) ||
            elf_getphdrnum(elf, &n_segments) < 0)
                return malformed(err, elf_errmsg(-1));
        info.is_64 = gelf_getclass(elf) == ELFCLASS64;
        info.machine = header.e_machine;
        info.type = header.e_type;
        for (size_t i = 0; i < n_segments && result == 0; i++)
                result = read_segment(&r, i, err);
        if (result < 0)
                return result;
        *ret = TAKE_STRUCT(info);
        return 1;
}

int elf_read(const void *data, size_t size, struct elf_info *ret, struct error *err)
{
        _cleanup_(elf_end_p) Elf *elf = NULL;

        if (size < SELFMAG || memcmp(data, ELFMAG, SELFMAG) != 0)
                return 0;
        if (elf_version(EV_CURRENT) == EV_NONE)
                return malformed(err, elf_errmsg(-1));
        /* libelf wants a pointer to non-const and only reads through it. */
        elf = elf_memory((char *)(uintptr_t)data, size);
        return read_elf(elf, size, ret, err);
}

static int read_file(const struct content *content, struct elf_info *ret, struct error *err)
{
        _cleanup_(elf_end_p) Elf *elf = NULL;
        char magic[SELFMAG];
        int r;

        if (content->size < sizeof(magic))
                return 0;
        r = content_read(content, magic, sizeof(magic), 0, err);
        if (r < 0 || memcmp(magic, ELFMAG, SELFMAG) != 0)
                return r;
        if (elf_version(EV_CURRENT) == EV_NONE)
                return malformed(err, elf_errmsg(-1));
        elf = elf_begin(content->fd, ELF_C_READ, NULL);
        return read_elf(elf, content->size, ret, err);
}

int elf_load(const struct tree_inode *inode, const struct content_store *store,
             struct elf_info *ret, struct error *err)
{
        _cleanup_content_ struct content content = CONTENT_NULL;
        int r;

        if (!S_ISREG(inode->mode) || inode->kind == CONTENT_NONE)
                return 0;
        r = content_open(inode, store, &content, err);
        if (r < 0)
                return r;
        return content.fd >= 0 ? read_file(&content, ret, err)
                               : elf_read(content.data, content.size, ret, err);
}

void elf_info_done(struct elf_info *info)
{
        free(info->soname);
        free(info->interpreter);
        strv_free(info->needed);
        strv_free(info->runpath);
        for (size_t i = 0; i < info->n_dlopens; i++)
                strv_free(info->dlopens[i].sonames);
        free(info->dlopens);
        memset(info, 0, sizeof(*info));
}
