#include "trainer/makedata_private.h"

#include <errno.h>
#include <string.h>

#include "base/fs.h"

#define PART_SHIFT 56
#define BELL_TERMS 12 /* uniforms on [0, 1): their sum has mean 6 and variance 1 */
#define BELL_LIMIT 3.5

const char *const makedata_kind_names[] = {[MAKEDATA_TABLE] = "table",
                                           [MAKEDATA_TEXT] = "text",
                                           [MAKEDATA_INTERACTIONS] = "interactions",
                                           NULL};

struct draws draws_of(uint64_t seed, int part, int64_t record)
{
    return (struct draws){.key = philox_key_of(seed, PHILOX_MAKE_DATA),
                          .record = (uint64_t)record | (uint64_t)part << PART_SHIFT};
}

static uint32_t draw_word(struct draws *draws)
{
    if (draws->left == 0) {
        philox_4x32(draws->key, draws->record, draws->block++, draws->words);
        draws->left = (int)COUNT_OF(draws->words);
    }
    return draws->words[--draws->left];
}

int64_t draw_below(struct draws *draws, int64_t limit)
{
    return (int64_t)((uint64_t)draw_word(draws) * (uint64_t)limit >> 32);
}

bool draw_chance(struct draws *draws, int64_t in_thousand)
{
    return draw_below(draws, 1000) < in_thousand;
}

double draw_bell(struct draws *draws)
{
    double sum = -BELL_TERMS / 2.0;
    for (int i = 0; i < BELL_TERMS; i++)
        sum += (double)draw_word(draws) * 0x1p-32;
    if (sum > BELL_LIMIT)
        return BELL_LIMIT;
    return sum < -BELL_LIMIT ? -BELL_LIMIT : sum;
}

enum status makedata_open(const struct makedata_request *request, const char *name,
                          struct makedata_file *out, struct error *err)
{
    TRY(fs_path(out->path, sizeof(out->path), err, "%s/%s", request->folder, name));
    out->stream = fopen(out->path, "we");
    if (out->stream == NULL)
        return error_set_errno(err, status_of_errno(errno), errno, "cannot write %s", out->path);
    return STATUS_OK;
}

enum status makedata_finish(struct makedata_file *file, struct error *err)
{
    FILE *stream = TAKE(file->stream);
    const bool failed = ferror(stream) != 0;
    errno = failed ? EIO : 0; /* what the failed write said is gone by now */
    if (fclose(stream) != 0 || failed)
        return error_set_errno(err, status_of_errno(errno), errno, "cannot write %s", file->path);
    return STATUS_OK;
}

void makedata_file_cleanup(struct makedata_file *file)
{
    if (file->stream != NULL)
        (void)fclose(file->stream);
}

enum status makedata_kind_of(const char *word, enum makedata_kind *out, struct error *err)
{
    for (size_t i = 0; makedata_kind_names[i] != NULL; i++) {
        if (strcmp(word, makedata_kind_names[i]) == 0) {
            *out = (enum makedata_kind)i;
            return STATUS_OK;
        }
    }
    return error_set(err, STATUS_INVALID,
                     "make-data: expected table, text or interactions, got \"%s\"", word);
}

enum status makedata_write(const struct makedata_request *request, struct error *err)
{
    static const struct {
        int64_t rows;
        enum status (*write)(const struct makedata_request *request, struct error *err);
    } kinds[] = {[MAKEDATA_TABLE] = {MAKEDATA_TABLE_ROWS, makedata_table},
                 [MAKEDATA_TEXT] = {MAKEDATA_TEXT_ROWS, makedata_text},
                 [MAKEDATA_INTERACTIONS] = {MAKEDATA_INTERACTION_ROWS, makedata_interactions}};
    struct makedata_request complete = *request;
    if (complete.rows == 0)
        complete.rows = kinds[request->kind].rows;
    if (complete.rows < MAKEDATA_ROWS_MIN || complete.rows > MAKEDATA_ROWS_MAX)
        return error_set(err, STATUS_INVALID, "make-data: expected %d..%lld rows, got %lld",
                         MAKEDATA_ROWS_MIN, (long long)MAKEDATA_ROWS_MAX, (long long)complete.rows);
    TRY(fs_make_dirs(request->folder, 0755, err));
    return kinds[request->kind].write(&complete, err);
}
