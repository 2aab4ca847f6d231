/*
 * Any bytes as records: the fields lie within them, and it does not matter where the bytes are cut. The first
 * byte chooses the dialect, the second one where the cut is. What a number is agrees with the C library.
 */

#include <math.h>

#include "base/buf.h"
#include "base/fs.h"
#include "tests/fuzz/fuzz.h"
#include "trainer/data/csv.h"
#include "trainer/data/number.h"

#define FIELDS_MAX 8

static const struct csv_dialect dialects[] = {
    {.separator = ",", .separator_bytes = 1, .quotes = true},
    {.separator = "\t", .separator_bytes = 1},
    {.separator = "::", .separator_bytes = 2},
    {.separator_bytes = 0},
    {.separator_bytes = 0, .keeps_empty = true},
};

static void check_number(const struct csv_field *field)
{
    char text[64];
    float ours = 0.0F;
    if (field->size >= sizeof(text) || !number_parse_float(field->text, field->size, &ours))
        return;
    memcpy(text, field->text, field->size);
    text[field->size] = '\0';
    const float library = strtof(text, NULL);
    assert(isfinite(library) && memcmp(&ours, &library, sizeof(ours)) == 0);
}

/* Appends what the records say to `out`. */
static void read_all(const struct csv_dialect *dialect, const char *bytes, size_t size,
                     int64_t line, struct buf *out)
{
    static struct csv_field fields[FIELDS_MAX];
    struct csv_cursor cursor;
    struct csv_problem problem;
    size_t count = 0;
    char *const copy = malloc(size + CSV_PADDING_BYTES);
    assert(copy != NULL);
    memcpy(copy, bytes, size);
    csv_begin(&cursor, dialect, copy, size, line);
    while (csv_next(&cursor, fields, FIELDS_MAX, &count, &problem)) {
        assert(cursor.line >= line && count <= FIELDS_MAX);
        assert((count == 0) == (problem.what != NULL));
        buf_printf(out, "\n%lld %s", (long long)cursor.line, problem.what ? problem.what : "");
        for (size_t i = 0; i < count; i++) {
            assert(fields[i].text >= copy && fields[i].text + fields[i].size <= copy + size);
            buf_append(out, "|", 1);
            buf_append(out, fields[i].text, fields[i].size);
            check_number(&fields[i]);
        }
    }
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    CLEANUP(buf_clear) struct buf whole, parts;
    buf_init(&whole, MIB);
    buf_init(&parts, MIB);
    const struct csv_dialect *dialect = &dialects[data[0] % COUNT_OF(dialects)];
    const char *const bytes = (const char *)data + 2;
    size -= 2;
    const size_t first = size * data[1] / 255;
    const size_t cut = csv_cut(dialect, bytes, first, false);
    assert(cut <= first && csv_cut(dialect, bytes, size, true) == size);
    const size_t one = csv_first(dialect, bytes, size);
    assert(one <= size && (one > 0) == (size > 0));
    read_all(dialect, bytes, size, 1, &whole);
    read_all(dialect, bytes, cut, 1, &parts);
    read_all(dialect, bytes + cut, size - cut, 1 + csv_count_lines(bytes, cut), &parts);
    assert(whole.size == parts.size && memcmp(whole.data, parts.data, whole.size) == 0);
    return 0;
}
