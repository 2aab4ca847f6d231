/* test_csv.c - records and fields, by themselves, against a plain state machine, and cut anywhere. */
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/fs.h"
#include "trainer/data/csv.h"

static const struct csv_dialect csv = {.separator = ",", .separator_bytes = 1, .quotes = true};
static const struct csv_dialect tsv = {.separator = "\t", .separator_bytes = 1};
static const struct csv_dialect colons = {.separator = "::", .separator_bytes = 2};
static const struct csv_dialect lines = {.separator_bytes = 0};

/* Writes all records as "line<field|field>"; malformed ones as "line!field:what". */
static char *show(const struct csv_dialect *dialect, const char *bytes, size_t size, int64_t line,
                  size_t fields_max)
{
    CLEANUP(free_cleanup) char *copy = malloc(size + CSV_PADDING_BYTES);
    assert_non_null(copy);
    memcpy(copy, bytes, size);
    struct csv_cursor cursor;
    struct csv_field fields[CSV_FIELDS_MAX];
    struct csv_problem problem;
    size_t count;
    struct buf out;
    buf_init(&out, (size_t)64 * MIB);
    csv_begin(&cursor, dialect, copy, size, line);
    while (csv_next(&cursor, fields, fields_max, &count, &problem)) {
        buf_printf(&out, "%lld", (long long)cursor.line);
        if (problem.what != NULL)
            buf_printf(&out, "!%zu:%s\n", problem.field, problem.what);
        for (size_t i = 0; i < count; i++) {
            buf_append_text(&out, i == 0 ? "<" : "|");
            buf_append(&out, fields[i].text, fields[i].size);
        }
        if (problem.what == NULL)
            buf_append_text(&out, ">\n");
    }
    return buf_take(&out);
}

static void check_records(const struct csv_dialect *dialect, const char *text, const char *wanted)
{
    CLEANUP(free_cleanup) char *got = show(dialect, text, strlen(text), 1, 4);
    assert_string_equal(got, wanted);
}

static void quotes_doubled_quotes_and_line_breaks_are_rfc_4180s(void **state)
{
    (void)state;
    check_records(&csv, "a,b,c\n", "1<a|b|c>\n");
    check_records(&csv, "a,b,c", "1<a|b|c>\n");
    check_records(&csv, "a,b\r\nc,d\r\n", "1<a|b>\n2<c|d>\n");
    check_records(&csv, ",\n,,\n", "1<|>\n2<||>\n");
    check_records(&csv, "\"a,b\",\"c\"\"d\"\n\"\"\"\"\n", "1<a,b|c\"d>\n2<\">\n");
    check_records(&csv, "\"a\nb\",c\nd,e\n", "1<a\nb|c>\n3<d|e>\n");
    check_records(&csv, "\"a\r\nb\"\r\nc\r\n", "1<a\r\nb>\n3<c>\n");
    check_records(&csv, "\"\"\n\"\",\"\"", "1<>\n2<|>\n");
    check_records(&csv, "x,\"\"", "1<x|>\n");
    check_records(&csv, "x,", "1<x|>\n");
    check_records(&csv, "\"a\"\r", "1<a>\n");
}

static void a_quote_inside_a_field_is_an_ordinary_character(void **state)
{
    (void)state;
    check_records(&csv, "5\" pipe,6\"\nb\n", "1<5\" pipe|6\">\n2<b>\n");
    check_records(&csv, " \"a\",b\n", "1< \"a\"|b>\n");
    check_records(&tsv, "\"a\t\"b\"\n", "1<\"a|\"b\">\n");
}

static void empty_lines_are_passed_over_and_counted(void **state)
{
    (void)state;
    check_records(&csv, "", "");
    check_records(&csv, "\n", "");
    check_records(&csv, "\n\r\n\na\n\nb", "4<a>\n6<b>\n");
    check_records(&lines, "x,y\n\n z\t\n", "1<x,y>\n3< z\t>\n");
}

static void a_dialect_that_keeps_empty_lines_gives_a_record_for_each_line(void **state)
{
    (void)state;
    static const struct csv_dialect all_lines = {.keeps_empty = true};
    check_records(&all_lines, "", "");
    check_records(&all_lines, "\n", "1<>\n");
    check_records(&all_lines, "\n\r\na\n\n\n", "1<>\n2<>\n3<a>\n4<>\n5<>\n");
    check_records(&all_lines, "a\n\nb", "1<a>\n2<>\n3<b>\n");
    char many[200];
    memset(many, '\n', sizeof(many) - 1); /* more than the bytes that are looked at together */
    many[sizeof(many) - 1] = '\0';
    CLEANUP(free_cleanup) char *got = show(&all_lines, many, strlen(many), 1, 4);
    assert_non_null(strstr(got, "\n199<>\n"));
    assert_null(strstr(got, "\n200<"));
}

static void separators_may_have_several_bytes(void **state)
{
    (void)state;
    check_records(&colons, "1::2::3\na:b::c\n", "1<1|2|3>\n2<a:b|c>\n");
    check_records(&colons, ":::x\n::\n1::", "1<|:x>\n2<|>\n3<1|>\n");
}

static void a_malformed_record_ends_at_its_line_break(void **state)
{
    static const char *const after = "characters between a closing quote and the separator";
    char wanted[256];
    (void)state;
    (void)snprintf(wanted, sizeof(wanted), "1!1:%s\n2<c|d>\n", after);
    check_records(&csv, "a,\"b\"x,\"y\nc,d\n", wanted);
    (void)snprintf(wanted, sizeof(wanted), "1!0:%s\n4<c>\n", after);
    check_records(&csv, "\"a\n\nb\" ,c\nc\n", wanted);
    check_records(&csv, "a,\"b\nc,d\ne\n", "1!1:a quote that is never closed\n2<c|d>\n3<e>\n");
    check_records(&csv, "1,2,3,4\n1,2,3,4,\"5\n6\",7\n8\n",
                  "1<1|2|3|4>\n2!4:more fields than expected\n4<8>\n");
}

/* ------------------------------------------------------------------ against a plain state machine */

/* RFC 4180 one character at a time, for documents without malformed records. */
static char *plainly(const char *bytes, size_t size)
{
    struct buf out, record;
    buf_init(&out, (size_t)64 * MIB);
    buf_init(&record, MIB);
    size_t line = 1, first_line = 1, i = 0;
    while (i < size) {
        const size_t begin = i;
        first_line = line;
        buf_reset(&record);
        for (bool more = true; more;) {
            if (i < size && bytes[i] == '"') {
                for (i++; !(bytes[i] == '"' && !(i + 1 < size && bytes[i + 1] == '"')); i++) {
                    i += bytes[i] == '"';
                    line += bytes[i] == '\n';
                    buf_append(&record, bytes + i, 1);
                }
                i++;
            } else {
                while (i < size && bytes[i] != ',' && bytes[i] != '\n' &&
                       !(bytes[i] == '\r' && i + 1 < size && bytes[i + 1] == '\n'))
                    buf_append(&record, bytes + i++, 1);
            }
            i += i < size && bytes[i] == '\r';
            more = i < size && bytes[i] == ',';
            if (more)
                buf_append_text(&record, "|");
            i++;
        }
        line++;
        if (record.size > 0 || bytes[begin] == '"')
            buf_printf(&out, "%zu<%s>\n", first_line, record.data);
    }
    buf_clear(&record);
    return buf_take(&out);
}

static void append_field(struct buf *out, uint32_t shape)
{
    static const char *const plain[] = {"",     "a", "3.25", "long text without anything",
                                        "x\"y", "-1"};
    static const char *const quoted[] = {"\"\"",   "\"a,b\"",     "\"\"\"\"",
                                         "\"\n\"", "\"\r\n,\n\"", "\"x\"\"\n\"\"y\""};
    buf_append_text(out, (shape & 7) < 5 ? plain[(shape >> 3) % 6] : quoted[(shape >> 3) % 6]);
}

static void random_document(uint32_t seed, struct buf *out)
{
    uint32_t bits = seed * 2654435761U + 1;
    const int records = 1 + (int)(seed % 40);
    for (int record = 0; record < records; record++) {
        for (int field = 0;; field++) {
            bits = bits * 1664525U + 1013904223U;
            append_field(out, bits >> 8);
            if (field == 3 || (bits >> 28) == 0)
                break;
            buf_append_text(out, ",");
        }
        if (record + 1 < records || (seed & 1))
            buf_append_text(out, (bits >> 27) & 1 ? "\n" : "\r\n");
    }
}

static void random_documents_read_as_a_plain_state_machine_reads_them(void **state)
{
    (void)state;
    for (uint32_t seed = 0; seed < 3000; seed++) {
        CLEANUP(buf_clear) struct buf document;
        buf_init(&document, MIB);
        random_document(seed, &document);
        CLEANUP(free_cleanup) char *got = show(&csv, document.data, document.size, 1, 4);
        CLEANUP(free_cleanup) char *wanted = plainly(document.data, document.size);
        assert_string_equal(got, wanted);
    }
}

/* ------------------------------------------------------------------ cuts */

/* Reads the document as if its first `first` bytes came alone and the others later. */
static char *show_in_two(const struct csv_dialect *dialect, const char *bytes, size_t size,
                         size_t first)
{
    const size_t cut = csv_cut(dialect, bytes, first, false);
    assert_true(cut <= first);
    CLEANUP(free_cleanup) char *head = show(dialect, bytes, cut, 1, 4);
    CLEANUP(free_cleanup)
    char *tail = show(dialect, bytes + cut, size - cut, 1 + csv_count_lines(bytes, cut), 4);
    struct buf out;
    buf_init(&out, (size_t)64 * MIB);
    buf_append_text(&out, head);
    buf_append_text(&out, tail);
    return buf_take(&out);
}

static void check_every_cut(const struct csv_dialect *dialect, const char *bytes, size_t size)
{
    CLEANUP(free_cleanup) char *whole = show(dialect, bytes, size, 1, 4);
    for (size_t first = 0; first <= size; first++) {
        CLEANUP(free_cleanup) char *parts = show_in_two(dialect, bytes, size, first);
        if (strcmp(parts, whole) != 0)
            fail_msg("cut at %zu of\n%s\ngives\n%s\ninstead of\n%s", first, bytes, parts, whole);
    }
    assert_int_equal(csv_cut(dialect, bytes, size, true), size);
}

static void documents_read_the_same_wherever_they_are_cut(void **state)
{
    static const char *const texts[] = {
        "a,\"b\"x,\"y\nc,d\n\"e\n\"\r\n", "5\",\"6\n7\",8\n\n\r\n9",  "\"a\"\"\n\"\"b\",c\r\nd\n",
        "\"\n\n\n\"\n\"\"\n\"\"\"\"\n",   "\"a\" \n\"b\"\r\n\"c\"\r", "x\"\n\"y\nz\",1\n"};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        check_every_cut(&csv, texts[i], strlen(texts[i]));
    for (uint32_t seed = 0; seed < 200; seed++) {
        CLEANUP(buf_clear) struct buf document;
        buf_init(&document, MIB);
        random_document(seed, &document);
        check_every_cut(&csv, document.data, document.size);
        check_every_cut(&tsv, document.data, document.size);
        check_every_cut(&lines, document.data, document.size);
    }
}

static void nothing_is_cut_off_before_a_record_is_whole(void **state)
{
    (void)state;
    assert_int_equal(csv_cut(&csv, "a,b", 3, false), 0);
    assert_int_equal(csv_cut(&csv, "\"a\nb\nc", 6, false), 0);
    assert_int_equal(csv_cut(&csv, "a\n\"b\"", 5, false),
                     2); /* the quote may be the first of two */
    assert_int_equal(csv_cut(&csv, "a\n\"b\nc\"\nd", 9, false), 8);
    assert_int_equal(csv_cut(&csv, "\"a\nb\"", 5, false), 0);
    assert_int_equal(csv_cut(&csv, "a\n\"b\"x\ny", 8, false), 7); /* what went wrong ends there */
    assert_int_equal(csv_cut(&csv, "a\n\"b\"x", 6, false), 2);
    assert_int_equal(csv_cut(&tsv, "\"a\nb", 4, false), 3);
    assert_int_equal(csv_first(&csv, "\"a\nb\",c\nd\n", 10), 8);
    assert_int_equal(csv_first(&csv, "\"a\nb", 4), 3);
    assert_int_equal(csv_first(&lines, "ab", 2), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quotes_doubled_quotes_and_line_breaks_are_rfc_4180s),
        cmocka_unit_test(a_quote_inside_a_field_is_an_ordinary_character),
        cmocka_unit_test(empty_lines_are_passed_over_and_counted),
        cmocka_unit_test(a_dialect_that_keeps_empty_lines_gives_a_record_for_each_line),
        cmocka_unit_test(separators_may_have_several_bytes),
        cmocka_unit_test(a_malformed_record_ends_at_its_line_break),
        cmocka_unit_test(random_documents_read_as_a_plain_state_machine_reads_them),
        cmocka_unit_test(documents_read_the_same_wherever_they_are_cut),
        cmocka_unit_test(nothing_is_cut_off_before_a_record_is_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
