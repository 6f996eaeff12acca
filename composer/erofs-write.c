/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Turns the plan into bytes. The metadata zone is there already. The data zone is cut into segments
 * of equal size, and threads take one after the other: read what belongs there into a buffer,
 * whatever files that is, then write the blocks that are not zero. So small files cost no write of
 * their own, a large file is shared by all threads, memory is one segment a thread, and every
 * byte's place and value come from the plan alone. */

#include <assert.h>
#include <sys/stat.h>

#include "erofs-plan.h"
#include "io.h"
#include "parallel.h"

enum { SEGMENT_SIZE = 1024 * 1024, SEGMENT_BLOCKS = SEGMENT_SIZE / EROFS_BLOCK_SIZE };

/* ---- reading ---- */

/* Index of the last file that begins at or before block. */
static size_t file_at(const struct erofs_plan *plan, uint64_t block)
{
        size_t low = 0, high = plan->n_files;

        while (high - low > 1) {
                size_t middle = low + (high - low) / 2;

                if (plan->files[middle]->block <= block)
                        low = middle;
                else
                        high = middle;
        }
        return low;
}

/* Whether the content is known to hold nothing but zeros in that range. Only large contents are
 * asked: there a hole may be huge, elsewhere reading is as quick. */
static bool is_hole(const struct content *content, uint64_t offset, uint64_t size)
{
        off_t data;

        if (content->fd < 0 || content->size < SEGMENT_SIZE)
                return false;
        data = lseek(content->fd, (off_t)offset, SEEK_DATA);
        return data < 0 ? errno == ENXIO : (uint64_t)data >= offset + size;
}

/* Reads what the range [start, end) (bytes of the image) has of the file; false: only zeros, and
 * the buffer is as it was. */
static int read_part(const struct content_store *store, const struct erofs_item *file,
                     uint64_t start, uint64_t end, uint8_t *buffer, struct error *err)
{
        _cleanup_content_ struct content content = CONTENT_NULL;
        uint64_t file_start = (uint64_t)file->block * EROFS_BLOCK_SIZE;
        uint64_t from = MAX(start, file_start), to = MIN(end, file_start + file->size);
        int r;

        if (from >= to) /* in the padding behind the file's end */
                return false;
        r = content_open(file->inode, store, &content, err);
        if (r < 0)
                return r;
        if (is_hole(&content, from - file_start, to - from))
                return false;
        r = content_read(&content, buffer + (from - start), to - from, from - file_start, err);
        return r < 0 ? r : true;
}

/* Reads the range, which is in the data zone, into a buffer of zeros; false: it stayed so. */
static int read_range(const struct erofs_plan *plan, const struct content_store *store,
                      uint64_t start, uint64_t end, uint8_t *buffer, struct error *err)
{
        char path[TREE_PATH_MAX];
        bool any = false;

        for (size_t i = file_at(plan, start / EROFS_BLOCK_SIZE); i < plan->n_files; i++) {
                const struct erofs_item *file = plan->files[i];
                int r;

                if ((uint64_t)file->block * EROFS_BLOCK_SIZE >= end)
                        break;
                r = read_part(store, file, start, end, buffer, err);
                if (r < 0)
                        return error_prefix(err, r, "%s", tree_path(file->node, path));
                any |= r > 0;
        }
        return any;
}

int erofs_plan_read(const struct erofs_plan *plan, const struct content_store *store, void *buffer,
                    uint64_t size, uint64_t position, struct error *err)
{
        uint64_t zone_end = plan->data_block * EROFS_BLOCK_SIZE, end = position + size;
        uint64_t in_zone = position < zone_end ? MIN(size, zone_end - position) : 0;
        uint8_t *data = buffer;
        int r;

        assert(end <= erofs_plan_size(plan));
        if (in_zone > 0)
                memcpy(data, plan->zone + position, in_zone);
        if (in_zone == size)
                return 0;
        memset(data + in_zone, 0, size - in_zone);
        r = read_range(plan, store, position + in_zone, end, data + in_zone, err);
        return MIN(r, 0);
}

/* ---- writing ---- */

struct writer {
        const struct erofs_plan *plan;
        const struct content_store *store;
        int fd;                        /* -1: nothing is written */
        uint64_t offset;               /* of the image in fd */
        struct block_digests *digests; /* or NULL */
};

static int write_run(const struct writer *w, const uint8_t *data, uint64_t size, uint64_t position,
                     struct error *err)
{
        if (w->digests)
                block_digests_set(w->digests, position / EROFS_BLOCK_SIZE, data,
                                  size / EROFS_BLOCK_SIZE);
        return w->fd < 0 ? 0 : io_pwrite(w->fd, data, size, w->offset + position, err);
}

/* Writes size bytes (whole blocks) to the image at position; zero blocks stay as they are. */
static int write_blocks(const struct writer *w, const uint8_t *data, uint64_t size,
                        uint64_t position, struct error *err)
{
        uint64_t start = 0, end;

        while (start < size) {
                int r;

                if (memory_is_zero(data + start, EROFS_BLOCK_SIZE)) {
                        start += EROFS_BLOCK_SIZE;
                        continue;
                }
                for (end = start; end < size && !memory_is_zero(data + end, EROFS_BLOCK_SIZE);)
                        end += EROFS_BLOCK_SIZE;
                r = write_run(w, data + start, end - start, position + start, err);
                if (r < 0)
                        return r;
                start = end;
        }
        return 0;
}

static int write_segment(void *context, size_t index, struct error *err)
{
        const struct writer *w = context;
        uint64_t first = w->plan->data_block + index * SEGMENT_BLOCKS;
        uint64_t last = MIN(first + SEGMENT_BLOCKS, w->plan->end_block);
        uint64_t start = first * EROFS_BLOCK_SIZE, size = (last - first) * EROFS_BLOCK_SIZE;
        _cleanup_free_ uint8_t *buffer = aligned_alloc(IO_DIRECT_ALIGN, size);
        int r;

        if (!buffer)
                return error_oom(err);
        memset(buffer, 0, size);
        r = read_range(w->plan, w->store, start, start + size, buffer, err);
        return r > 0 ? write_blocks(w, buffer, size, start, err) : r;
}

/* A regular file is made long enough first: its last blocks may be zeros, and are not written. */
static int extend_file(int fd, uint64_t size, struct error *err)
{
        struct stat st;

        if (fstat(fd, &st) < 0)
                return error_errno(err, "image");
        if (S_ISREG(st.st_mode) && (uint64_t)st.st_size < size && ftruncate(fd, (off_t)size) < 0)
                return error_errno(err, "image");
        return 0;
}

int erofs_plan_write(const struct erofs_plan *plan, const struct content_store *store, int fd,
                     uint64_t offset, struct block_digests *digests, unsigned threads,
                     struct error *err)
{
        struct writer w = {
                .plan = plan, .store = store, .fd = fd, .offset = offset, .digests = digests
        };
        size_t segments = DIV_ROUND_UP(plan->end_block - plan->data_block, SEGMENT_BLOCKS);
        int r;

        assert(offset % EROFS_BLOCK_SIZE == 0);
        assert(!digests || digests->count == plan->end_block);
        r = fd < 0 ? 0 : extend_file(fd, offset + erofs_plan_size(plan), err);
        if (r < 0)
                return r;
        r = write_blocks(&w, plan->zone, plan->data_block * EROFS_BLOCK_SIZE, 0, err);
        if (r < 0)
                return r;
        return parallel_for(segments, threads, write_segment, &w, err);
}
