/*
 * Any text as what was fitted on a training part, which models carry with them: refused with a reason, or it
 * encodes rows, texts and ids within its bounds and survives the round trip.
 */

#include <math.h>

#include "base/buf.h"
#include "base/fs.h"
#include "tests/fuzz/fuzz.h"
#include "trainer/data/fit.h"

#define LENGTH_MAX 4096 /* longer texts are not tried */

static void try_row(const struct data_fit *fit)
{
    static const char *const texts[] = {"1.5", "", "good", "-7e30"};
    struct record_cell cells[DATA_COLUMNS_MAX];
    float numeric[DATA_COLUMNS_MAX];
    int32_t category[DATA_COLUMNS_MAX];
    struct fit_refusal refusal;
    for (size_t i = 0; i < fit->column_count; i++)
        cells[i] = (struct record_cell){.text = texts[i % 4], .size = strlen(texts[i % 4])};
    if (!data_encode_row(fit, cells, numeric, category, &refusal)) {
        assert(refusal.column < fit->column_count && refusal.expected != NULL);
        return;
    }
    for (size_t i = 0; i < fit->numeric_count; i++)
        assert(isfinite(numeric[i]));
    for (size_t i = 0, at = 0; i < fit->column_count; i++) {
        if (fit->columns[i].kind != COLUMN_CATEGORY)
            continue;
        assert(category[at] >= 0 && category[at] < fit->columns[i].buckets);
        at++;
    }
}

static void try_text(const struct data_fit *fit)
{
    static const char text[] = "The cat's hat <br />good, bad and ugly";
    int32_t tokens[LENGTH_MAX];
    if (fit->kind != FIT_TEXT || fit->length > LENGTH_MAX)
        return;
    const size_t count = data_encode_text(fit, text, strlen(text), tokens);
    assert(count >= 1 && count <= (size_t)fit->length);
    for (size_t i = 0; i < count; i++)
        assert(tokens[i] >= 0 && tokens[i] < FIT_TOKEN_FIRST + (int64_t)fit->vocabulary.count);
}

static void try_ids(const struct data_fit *fit)
{
    char name[DATA_ID_BYTES];
    if (fit->kind != FIT_PAIRS)
        return;
    const int64_t user = data_encode_user(fit, "7", 1);
    assert(user >= -1 && user < fit->users);
    data_user_name(fit, fit->users - 1, name);
    data_item_name(fit, 0, name);
    assert(text_is_utf8(name, strlen(name)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(data_fit_cleanup) struct data_fit *fit = NULL;
    CLEANUP(data_fit_cleanup) struct data_fit *again = NULL;
    CLEANUP(buf_clear) struct buf first, second;
    struct error err = {.status = STATUS_OK};
    buf_init(&first, MIB);
    buf_init(&second, MIB);
    fuzz_check_error(data_fit_parse((const char *)data, size, &fit, &err), &err);
    if (fit == NULL)
        return 0;
    try_row(fit);
    try_text(fit);
    try_ids(fit);
    data_fit_write(fit, &first);
    if (first.failed != STATUS_OK)
        return 0;
    fuzz_check_error(data_fit_parse(first.data, first.size, &again, &err), &err);
    assert(again != NULL);
    data_fit_write(again, &second);
    assert(first.size == second.size && memcmp(first.data, second.data, first.size) == 0);
    return 0;
}
