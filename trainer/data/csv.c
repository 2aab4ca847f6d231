/*
 * csv.c - 64 bytes at a time become one word that marks separators, line breaks and quotes; only marked
 * bytes are looked at.
 */
#include "trainer/data/csv.h"

#include <assert.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define BLOCK_BYTES 64
_Static_assert(CSV_PADDING_BYTES >= BLOCK_BYTES, "a block may begin at the last byte");

#ifdef __SSE2__
static inline uint64_t marks_of_quarter(const char *bytes, __m128i separator, __m128i quote)
{
    const __m128i these = _mm_loadu_si128((const __m128i *)(const void *)bytes);
    const __m128i found =
        _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(these, separator), _mm_cmpeq_epi8(these, quote)),
                     _mm_cmpeq_epi8(these, _mm_set1_epi8('\n')));
    return (uint32_t)_mm_movemask_epi8(found);
}

static inline uint64_t marks_of(const struct csv_dialect *dialect, const char *bytes)
{
    /* What is not looked for is looked for as a line break. */
    const __m128i separator =
        _mm_set1_epi8(dialect->separator_bytes > 0 ? dialect->separator[0] : '\n');
    const __m128i quote = _mm_set1_epi8(dialect->quotes ? '"' : '\n');
    return marks_of_quarter(bytes, separator, quote) |
           marks_of_quarter(bytes + 16, separator, quote) << 16 |
           marks_of_quarter(bytes + 32, separator, quote) << 32 |
           marks_of_quarter(bytes + 48, separator, quote) << 48;
}

int64_t csv_count_lines(const char *bytes, size_t size)
{
    const __m128i line_break = _mm_set1_epi8('\n');
    int64_t count = 0;
    size_t i = 0;
    while (i + 16 <= size) {
        /* Each byte of `found` counts to at most 255, then all are added up. */
        __m128i found = _mm_setzero_si128();
        for (int round = 0; round < 255 && i + 16 <= size; round++, i += 16) {
            const __m128i these = _mm_loadu_si128((const __m128i *)(const void *)(bytes + i));
            found = _mm_sub_epi8(found, _mm_cmpeq_epi8(these, line_break));
        }
        const __m128i sums = _mm_sad_epu8(found, _mm_setzero_si128());
        count += _mm_cvtsi128_si64(sums) + _mm_cvtsi128_si64(_mm_unpackhi_epi64(sums, sums));
    }
    for (; i < size; i++)
        count += bytes[i] == '\n';
    return count;
}
#else
static inline uint64_t marks_of(const struct csv_dialect *dialect, const char *bytes)
{
    const char separator = dialect->separator_bytes > 0 ? dialect->separator[0] : '\n';
    const char quote = dialect->quotes ? '"' : '\n';
    uint64_t marks = 0;
    for (int i = 0; i < BLOCK_BYTES; i++)
        marks |= (uint64_t)(bytes[i] == separator || bytes[i] == quote || bytes[i] == '\n') << i;
    return marks;
}

int64_t csv_count_lines(const char *bytes, size_t size)
{
    int64_t count = 0;
    for (size_t i = 0; i < size; i++)
        count += bytes[i] == '\n';
    return count;
}
#endif

/* Marks of the block that holds `at`, from there on. */
static void look_from(struct csv_cursor *cursor, char *at)
{
    cursor->block = at;
    cursor->marks = at < cursor->end ? marks_of(cursor->dialect, at) : 0;
}

/* The next marked byte, at last the line break at `end`. */
static inline char *next_mark(struct csv_cursor *cursor)
{
    while (cursor->marks == 0) {
        cursor->block += BLOCK_BYTES;
        if (cursor->block >= cursor->end)
            return cursor->end;
        cursor->marks = marks_of(cursor->dialect, cursor->block);
    }
    char *const mark = cursor->block + __builtin_ctzll(cursor->marks);
    cursor->marks &= cursor->marks - 1;
    return mark < cursor->end ? mark : cursor->end;
}

void csv_begin(struct csv_cursor *cursor, const struct csv_dialect *dialect, char *bytes,
               size_t size, int64_t first_line)
{
    assert(dialect->separator_bytes < CSV_SEPARATOR_BYTES);
    assert(!dialect->quotes || dialect->separator_bytes == 1);
    const bool ended = size > 0 && bytes[size - 1] == '\n';
    *cursor = (struct csv_cursor){.dialect = dialect,
                                  .at = bytes,
                                  .end = bytes + size - (ended ? 1 : 0),
                                  .stop = bytes + size - (ended && !dialect->keeps_empty ? 1 : 0),
                                  .line = first_line,
                                  .next_line = first_line};
    memset(bytes + size, 0, CSV_PADDING_BYTES);
    *cursor->end = '\n';
    look_from(cursor, bytes);
}

/* ------------------------------------------------------------------ quotes */

/* The quote that closes the field which has been opened, or NULL. Counts the line breaks inside. */
static char *find_closing(struct csv_cursor *cursor, bool *out_doubled)
{
    *out_doubled = false;
    for (;;) {
        char *const mark = next_mark(cursor);
        if (mark == cursor->end)
            return NULL;
        if (*mark == '\n')
            cursor->next_line++;
        if (*mark != '"')
            continue;
        if (mark[1] != '"')
            return mark;
        (void)next_mark(cursor); /* the second of two */
        *out_doubled = true;
    }
}

/* Makes doubled quotes single ones, in place; the new size. */
static size_t halve_quotes(char *text, size_t size)
{
    size_t kept = 0;
    for (size_t i = 0; i < size; i++) {
        text[kept++] = text[i];
        i += text[i] == '"';
    }
    return kept;
}

/* ------------------------------------------------------------------ records */

static inline bool ends_field(const struct csv_cursor *cursor, const char *mark, const char *begin)
{
    const struct csv_dialect *dialect = cursor->dialect;
    if (mark == cursor->end || *mark == '\n')
        return true;
    if (mark < begin || *mark != dialect->separator[0])
        return false; /* the rest of a separator, or a quote inside a field */
    return dialect->separator_bytes == 1 ||
           memcmp(mark, dialect->separator, dialect->separator_bytes) == 0;
}

/* What take_field() found: where the field ends, or where and why the record went wrong. */
struct field_end {
    char *at;
    const char *wrong;
};

/* A field that begins with a quote, which has been passed. */
static struct field_end take_quoted(struct csv_cursor *cursor, char *begin, struct csv_field *field)
{
    const int64_t line = cursor->next_line;
    bool doubled;
    char *const closing = find_closing(cursor, &doubled);
    if (closing == NULL) {
        cursor->next_line = line; /* what was counted inside are records of their own */
        return (struct field_end){begin, "a quote that is never closed"};
    }
    char *const mark = next_mark(cursor);
    const bool before_crlf = mark == closing + 2 && closing[1] == '\r' && *mark == '\n';
    if (mark != closing + 1 && !before_crlf)
        return (struct field_end){closing + 1,
                                  "characters between a closing quote and the separator"};
    size_t size = (size_t)(closing - begin) - 1;
    if (doubled)
        size = halve_quotes(begin + 1, size);
    *field = (struct csv_field){begin + 1, size};
    return (struct field_end){mark, NULL};
}

static inline struct field_end take_field(struct csv_cursor *cursor, char *begin,
                                          struct csv_field *field)
{
    char *mark = next_mark(cursor);
    if (mark == begin && *mark == '"' && cursor->dialect->quotes)
        return take_quoted(cursor, begin, field);
    while (!ends_field(cursor, mark, begin))
        mark = next_mark(cursor);
    size_t size = (size_t)(mark - begin);
    if (size > 0 && *mark == '\n' && mark[-1] == '\r')
        size--;
    *field = (struct csv_field){begin, size};
    return (struct field_end){mark, NULL};
}

/*
 * Takes the fields that end with a separator of one byte as far as the block's marks say so: most of them.
 * Returns where the next field begins, for take_field().
 */
static inline char *take_plain(struct csv_cursor *cursor, char *begin, struct csv_field *fields,
                               size_t fields_max, size_t *count)
{
    if (cursor->dialect->separator_bytes != 1)
        return begin;
    const char separator = cursor->dialect->separator[0];
    while (cursor->marks != 0 && *count < fields_max) {
        char *const mark = cursor->block + __builtin_ctzll(cursor->marks);
        if (*mark != separator || mark >= cursor->end)
            break;
        fields[(*count)++] = (struct csv_field){begin, (size_t)(mark - begin)};
        cursor->marks &= cursor->marks - 1;
        begin = mark + 1;
    }
    return begin;
}

/* The record went wrong at `at`; the next one begins after the line break from there on. */
static void give_up(struct csv_cursor *cursor, const char *at)
{
    const char *const line_break = memchr(at, '\n', (size_t)(cursor->end - at) + 1);
    assert(line_break != NULL); /* there is one at the end */
    cursor->at += line_break + 1 - cursor->at;
    look_from(cursor, cursor->at);
}

static void take_record(struct csv_cursor *cursor, struct csv_field *fields, size_t fields_max,
                        size_t *out_count, struct csv_problem *problem)
{
    char *begin = cursor->at;
    size_t count = 0;
    for (;;) {
        begin = take_plain(cursor, begin, fields, fields_max, &count);
        struct csv_field field = {NULL, 0};
        const struct field_end end = take_field(cursor, begin, &field);
        if (end.wrong != NULL) {
            *problem = (struct csv_problem){.what = end.wrong, .field = count};
            give_up(cursor, end.at);
            break;
        }
        if (count < fields_max)
            fields[count] = field;
        count++;
        if (*end.at == '\n') {
            cursor->at = end.at + 1;
            break;
        }
        begin = end.at + cursor->dialect->separator_bytes;
    }
    cursor->next_line++;
    if (problem->what == NULL && count > fields_max)
        *problem = (struct csv_problem){.what = "more fields than expected", .field = fields_max};
    *out_count = problem->what == NULL ? count : 0;
}

bool csv_next(struct csv_cursor *cursor, struct csv_field *fields, size_t fields_max,
              size_t *out_count, struct csv_problem *problem)
{
    *problem = (struct csv_problem){.what = NULL};
    while (cursor->at < cursor->stop) {
        struct csv_cursor now = *cursor;    /* a copy can lie in registers */
        const bool quoted = *now.at == '"'; /* an empty field in quotes is a record */
        now.record = now.at;
        now.line = now.next_line;
        take_record(&now, fields, fields_max, out_count, problem);
        *cursor = now;
        if (*out_count != 1 || fields[0].size > 0 || quoted || now.dialect->keeps_empty)
            return true;
    }
    *out_count = 0;
    return false;
}

/* ------------------------------------------------------------------ where records end */

/* After the line break from `at` on, or the end. */
static const char *after_line(const char *at, const char *end)
{
    assert(at <= end);
    const char *const line_break = memchr(at, '\n', (size_t)(end - at));
    return line_break != NULL ? line_break + 1 : end;
}

/* The quote that closes a field, from inside it; NULL when it isn't there. */
static const char *closing_quote(const char *at, const char *end)
{
    for (;;) {
        const char *const quote = memchr(at, '"', (size_t)(end - at));
        if (quote == NULL || quote + 1 == end || quote[1] != '"')
            return quote;
        at = quote + 2;
    }
}

/* The end of the record that begins at `at`, by the rules of take_record(). */
static const char *record_end(char separator, const char *at, const char *end)
{
    while (at < end) {
        if (*at == '"') {
            const char *const closing = closing_quote(at + 1, end);
            if (closing == NULL)
                return after_line(at, end);
            at = closing + 1;
            if (at == end || *at != separator)
                return after_line(at, end); /* its own line break, or what was wrong */
        }
        while (at < end && *at != separator && *at != '\n')
            at++;
        if (at < end && *at++ == '\n')
            return at;
    }
    return end;
}

/* Where looking for whole records stands, by the marks of quotes and line breaks alone. */
struct cut {
    const char *block, *end;
    uint64_t marks;
    const char *done; /* behind the last whole record */
};

static void cut_look(struct cut *cut)
{
    static const struct csv_dialect quotes_and_lines = {.quotes = true};
    char last[BLOCK_BYTES] = {0};
    const char *bytes = cut->block;
    if (cut->end - bytes < BLOCK_BYTES) { /* nothing is promised behind the bytes */
        memcpy(last, bytes, (size_t)(cut->end - bytes));
        bytes = last;
    }
    cut->marks = marks_of(&quotes_and_lines, bytes);
}

/* The next quote or line break; NULL at the end. */
static inline const char *cut_mark(struct cut *cut)
{
    while (cut->marks == 0) {
        if (cut->end - cut->block <= BLOCK_BYTES)
            return NULL;
        cut->block += BLOCK_BYTES;
        cut_look(cut);
    }
    const char *const mark = cut->block + __builtin_ctzll(cut->marks);
    cut->marks &= cut->marks - 1;
    return mark;
}

/* The quote that closes the field which has been opened; NULL when more bytes must say which one it is. */
static const char *cut_closing(struct cut *cut)
{
    for (;;) {
        const char *const mark = cut_mark(cut);
        if (mark == NULL || mark + 1 == cut->end)
            return NULL; /* it may be the first of two */
        if (*mark == '"' && mark[1] != '"')
            return mark;
        if (*mark == '"')
            (void)cut_mark(cut); /* the second of two */
    }
}

/* Ends the record after the next line break, whatever lies before that; false when there is none. */
static bool cut_line(struct cut *cut)
{
    for (const char *mark = cut_mark(cut); mark != NULL; mark = cut_mark(cut)) {
        if (*mark == '\n') {
            cut->done = mark + 1;
            return true;
        }
    }
    return false;
}

size_t csv_cut(const struct csv_dialect *dialect, const char *bytes, size_t size, bool final)
{
    if (final)
        return size;
    struct cut cut = {.end = bytes + size, .done = bytes};
    const char *const quote = dialect->quotes ? memchr(bytes, '"', size) : NULL;
    const size_t plain = quote != NULL ? (size_t)(quote - bytes) : size;
    const char *const line_break = memrchr(bytes, '\n', plain);
    if (line_break != NULL)
        cut.done = line_break + 1;
    if (quote == NULL)
        return (size_t)(cut.done - bytes);
    cut.block = quote;
    cut_look(&cut);
    for (const char *mark = cut_mark(&cut); mark != NULL; mark = cut_mark(&cut)) {
        if (*mark == '\n') {
            cut.done = mark + 1;
            continue;
        }
        if (mark > cut.done && mark[-1] != dialect->separator[0])
            continue; /* inside a field */
        const char *const closing = cut_closing(&cut);
        if (closing == NULL || (closing[1] != dialect->separator[0] && !cut_line(&cut)))
            break;
    }
    return (size_t)(cut.done - bytes);
}

size_t csv_first(const struct csv_dialect *dialect, const char *bytes, size_t size)
{
    const char *const end = dialect->quotes ? record_end(dialect->separator[0], bytes, bytes + size)
                                            : after_line(bytes, bytes + size);
    return (size_t)(end - bytes);
}
