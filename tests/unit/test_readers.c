/* test_readers.c - tables and texts from files of records: values, splits, fits, errors, memory. */
#include "tests/unit/data_fixture.h"

#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <xxhash.h>

#include "base/fs.h"
#include "base/hash.h"

#define EXPECTED_INTEGER \
    "expected one of the model's classes as an integer from 0 on (\"classes\" names others), got"
#define TABLE                                                                            \
    "'root':'r','columns':[{'name':'id','kind':'ignore'},{'name':'x','kind':'numeric'}," \
    "{'name':'c','kind':'category','buckets':16},{'name':'y','kind':'label'}]"
#define TEXT "'root':'r','columns':[{'name':'text','kind':'text'},{'name':'y','kind':'label'}]"

static int32_t bucket(const char *text)
{
    return (int32_t)(1 + ((XXH3_64bits(text, strlen(text)) >> 32) * 15 >> 32));
}

/* ------------------------------------------------------------------ tables */

static void check_table(struct data_fixture *f)
{
    assert_ok(data_fixture_train(f), &f->err);
    assert_int_equal(f->train.kind, DATA_KIND_TABLE);
    const float *x = data_fixture_array(&f->train, "numeric", DATA_F32, 4, 1);
    const int32_t *c = data_fixture_array(&f->train, "category", DATA_I32, 4, 1);
    const int32_t *y = data_fixture_array(&f->train, "label", DATA_I32, 4, 1);
    /* 1, 2, 6 and one that is missing: mean 3, variance (4 + 1 + 9) / 3 */
    const double std = sqrt(14.0 / 3.0);
    assert_true(x[0] == (float)(-2.0 / std) && x[1] == (float)(-1.0 / std));
    assert_true(x[2] == 0.0F && x[3] == (float)(3.0 / std));
    assert_int_equal(c[0], bucket("red"));
    assert_int_equal(c[1], bucket("a,\"b\"\nc"));
    assert_int_equal(c[2], 0);
    assert_int_equal(c[3], bucket("red"));
    assert_int_equal(y[0], 0);
    assert_int_equal(y[1], 2);
    assert_int_equal(y[2], 1);
    assert_int_equal(y[3], 0);
    assert_int_equal(f->train.classes, 3);
    const struct data_fit *fit = data_fixture_fit(f);
    assert_true(fit->columns[1].mean == 3.0 && fabs(fit->columns[1].std - std) < 1e-15);
}

static const char table_csv[] = "y,id,c,x\r\n0,first,red,1\r\n2,second,\"a,\"\"b\"\"\nc\",2.0\r\n"
                                "1,third,,NA\r\n0,,red,6e0";

static void a_table_is_found_by_its_header_however_it_is_packed(void **state)
{
    struct data_fixture *f = *state;
    data_fixture_spec(f, "{'train':{'format':'csv','file':'t'}," TABLE "}");
    data_fixture_write(f, "t", table_csv);
    check_table(f);
    char plain[65];
    memcpy(plain, f->train.sha256, sizeof(plain));
    data_fixture_write_gzip(f, "t", table_csv, strlen(table_csv));
    check_table(f);
    assert_string_equal(f->train.sha256, plain);
    data_fixture_write_zstd(f, "t", table_csv, strlen(table_csv));
    check_table(f);
    assert_string_equal(f->train.sha256, plain);
}

static void json_lines_give_the_same_table(void **state)
{
    struct data_fixture *f = *state;
    data_fixture_spec(f, "{'train':{'format':'jsonl','file':'t'}," TABLE "}");
    data_fixture_write(f, "t",
                       "{\"x\":1,\"c\":\"red\",\"y\":0,\"more\":{\"a\":[1,\"]\"]}}\n\n"
                       " { \"y\" : 2 , \"c\":\"a,\\\"b\\\"\\nc\", \"x\": 2.0 }\r\n"
                       "{\"x\":null,\"y\":\"1\"}\n"
                       "{\"c\":\"\\u0072ed\",\"x\":6e0,\"y\":0}");
    check_table(f);
}

static void a_file_without_header_has_the_columns_in_their_order(void **state)
{
    struct data_fixture *f = *state;
    data_fixture_spec(f, "{'train':{'format':'tsv','file':'t'}," TABLE "}");
    data_fixture_write(f, "t", "1\t1\tred\t0\n2\t2\ta,\"b\"\t2\n3\tnull\t\t1\n4\t6\tred\t0\n");
    assert_ok(data_fixture_train(f), &f->err);
    const int32_t *c = data_fixture_array(&f->train, "category", DATA_I32, 4, 1);
    assert_int_equal(c[1], bucket("a,\"b\""));
}

static void labels_of_a_model_without_classes_are_numbers(void **state)
{
    struct data_fixture *f = *state;
    data_fixture_spec(f, "{'train':{'format':'csv','file':'t'},'eval':{'format':'csv','file':'e'},"
                         "'normalize':'none'," TABLE "}");
    f->spec.label_classes = 0;
    data_fixture_write(f, "t", "id,x,c,y\n1,1,a,3\n2,,b,-0.5\n3,2,b,4\n");
    data_fixture_write(f, "e", "id,x,c,y\n1,9,a,7\n");
    assert_ok(data_fixture_train(f), &f->err);
    const float *y = data_fixture_array(&f->train, "label", DATA_F32, 3, 1);
    const float *x = data_fixture_array(&f->train, "numeric", DATA_F32, 3, 1);
    assert_true(y[0] == 3.0F && y[1] == -0.5F && y[2] == 4.0F);
    assert_true(x[0] == 1.0F && x[1] == 1.5F &&
                x[2] == 2.0F); /* not normalised; missing: the mean */
    assert_int_equal(f->train.classes, 0);
    assert_ok(data_fixture_eval(f), &f->err);
    y = data_fixture_array(&f->eval, "label", DATA_F32, 1, 1);
    assert_true(y[0] == 7.0F);
}

/* Prices may be whole numbers in one part and none in the other. */
static void whole_numbers_are_numbers_too(void **state)
{
    struct data_fixture *f = *state;
    data_fixture_spec(
        f, "{'train':{'format':'csv','file':'t'},'eval':{'format':'csv','file':'e'}," TABLE "}");
    f->spec.label_classes = 0;
    data_fixture_write(f, "t", "id,x,c,y\n1,1,a,3\n2,,b,70000\n");
    data_fixture_write(f, "e", "id,x,c,y\n1,9,a,-7.5\n");
    assert_ok(data_fixture_train(f), &f->err);
    const float *y = data_fixture_array(&f->train, "label", DATA_F32, 2, 1);
    assert_true(y[0] == 3.0F && y[1] == 70000.0F);
    assert_ok(data_fixture_eval(f), &f->err);
    y = data_fixture_array(&f->eval, "label", DATA_F32, 1, 1);
    assert_true(y[0] == -7.5F);
}

static void labels_are_classes_of_the_model(void **state)
{
    struct data_fixture *f = *state;
    data_fixture_spec(f, "{'train':{'format':'csv','file':'t'}," TABLE "}");
    f->spec.label_classes = 3;
    data_fixture_write(f, "t", "id,x,c,y\n1,1,a,1\n2,2,b,2.0\n3,2,b,0.0\n");
    assert_ok(data_fixture_train(f), &f->err);
    const int32_t *y = data_fixture_array(&f->train, "label", DATA_I32, 3, 1);
    assert_true(y[0] == 1 && y[1] == 2 && y[2] == 0);
    static const char *const wrong[] = {"3", "3.0", "-1", "-0.5", "0.5", "1e30", "one", ""};
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        char text[64];
        (void)snprintf(text, sizeof(text), "id,x,c,y\n1,1,a,1\n2,2,b,%s\n", wrong[i]);
        data_fixture_write(f, "t", text);
        assert_int_equal(data_fixture_train(f), STATUS_INVALID);
        assert_non_null(strstr(f->err.text, "/t:3:4 (y): expected one of the model's classes"));
    }
}

static void the_evaluation_part_is_normalised_as_the_training_part(void **state)
{
    struct data_fixture *f = *state;
    data_fixture_spec(
        f, "{'train':{'format':'csv','file':'t'},'eval':{'format':'csv','file':'e'}," TABLE "}");
    data_fixture_write(f, "t", "id,x,c,y\n1,-1,a,0\n2,1,b,1\n");
    data_fixture_write(f, "e", "id,x,c,y\n1,100,a,0\n2,NaN,b,1\n3,1e38,b,1\n");
    assert_ok(data_fixture_train(f), &f->err);
    assert_ok(data_fixture_eval(f), &f->err);
    const float *x = data_fixture_array(&f->eval, "numeric", DATA_F32, 3, 1);
    assert_true(x[0] == 100.0F && x[1] == 0.0F && x[2] == 1e38F);
}

static void records_of_a_class_with_null_are_left_out(void **state)
{
    struct data_fixture *f = *state;
    data_fixture_spec(f,
                      "{'train':{'format':'csv','file':'t'},'classes':{'no':0,'yes':1,'well':null}"
                      "," TABLE "}");
    data_fixture_write(f, "t", "id,x,c,y\n1,1,a,no\n2,50,b,well\n3,3,b,yes\n");
    assert_ok(data_fixture_train(f), &f->err);
    const int32_t *y = data_fixture_array(&f->train, "label", DATA_I32, 2, 1);
    assert_true(y[0] == 0 && y[1] == 1);
    const struct data_fit *fit = data_fixture_fit(f);
    assert_true(fit->columns[1].mean == 2.0);
    assert_string_equal(data_class_name(fit, 1), "yes");
    assert_null(data_class_name(fit, 2));
}

/* ------------------------------------------------------------------ splits */

/* 300 rows "<i>,<value>,c,0", the last column the training part keeps as label. */
static void write_rows(struct data_fixture *f, const char *times[], size_t count)
{
    CLEANUP(buf_clear) struct buf text;
    buf_init(&text, MIB);
    buf_append_text(&text, "id,x,c,y\n");
    for (size_t i = 0; i < 300; i++)
        buf_printf(&text, "%s,%zu,c,%zu\n", times == NULL ? "" : times[i % count], i, i);
    data_fixture_write(f, "t", text.data);
}

static void a_split_by_hash_goes_by_the_first_bytes_of_sha_256(void **state)
{
    struct data_fixture *f = *state;
    data_fixture_spec(f, "{'train':{'format':'csv','file':'t'},'normalize':'none','split':"
                         "{'by':'hash','column':'x','test_share':0.19921875}," TABLE "}");
    write_rows(f, NULL, 0);
    assert_ok(data_fixture_train(f), &f->err);
    assert_ok(data_fixture_eval(f), &f->err);
    assert_int_equal(f->train.count + f->eval.count, 300);
    const struct dataset *const parts[] = {&f->train, &f->eval};
    for (int part = 0; part < 2; part++) {
        const float *x =
            data_fixture_array(parts[part], "numeric", DATA_F32, parts[part]->count, 1);
        for (int64_t i = 0; i < parts[part]->count; i++) {
            char text[16];
            uint8_t digest[SHA256_BYTES];
            const int size = snprintf(text, sizeof(text), "%d", (int)x[i]);
            sha256_of(text, (size_t)size, digest);
            assert_int_equal(digest[0] < 51, part); /* 51 / 256 = 0.19921875 */
        }
    }
}

/* Rows of the evaluation part by label, when rows have these times in turn. */
static void check_split_by_time(struct data_fixture *f, const char *times[], size_t count,
                                int64_t eval_rows, int64_t (*eval_row)(int64_t i))
{
    write_rows(f, times, count);
    assert_ok(data_fixture_train(f), &f->err);
    assert_ok(data_fixture_eval(f), &f->err);
    assert_int_equal(f->eval.count, eval_rows);
    assert_int_equal(f->train.count, 300 - eval_rows);
    const int32_t *y = data_fixture_array(&f->eval, "label", DATA_I32, eval_rows, 1);
    for (int64_t i = 0; i < eval_rows; i++)
        assert_int_equal(y[i], eval_row(i));
}

static int64_t last_sixty(int64_t i)
{
    return 240 + i;
}

static int64_t every_fourth(int64_t i) /* the last 60 of 2, 6, 10, ... 298 */
{
    return 62 + 4 * i;
}

static void a_split_by_time_takes_the_last_ones_and_ties_by_their_lines(void **state)
{
    struct data_fixture *f = *state;
    const char *same[] = {"5"};
    const char *numbers[] = {"-1", "0.5", "1e3", "7"};
    const char *texts[] = {"2020-01-01", "2020-01-01T00:00:01Z", "2026-11-24T10:26:14.5+01:00",
                           "2026-11-24 09:26:14"};
    data_fixture_spec(f, "{'train':{'format':'csv','file':'t'},'split':{'by':'time','column':'id',"
                         "'test_share':0.2}," TABLE "}");
    check_split_by_time(f, same, 1, 60, last_sixty);
    check_split_by_time(f, numbers, 4, 60, every_fourth);
    check_split_by_time(f, texts, 4, 60, every_fourth);
    const char *mixed[] = {"2020-01-01", "7"};
    write_rows(f, mixed, 2);
    assert_int_equal(data_fixture_train(f), STATUS_INVALID);
    assert_non_null(strstr(f->err.text,
                           "/t:3: column \"id\": expected RFC 3339 as in line 2, got a "
                           "number: they have no common order"));
}

/* ------------------------------------------------------------------ texts */

static void check_tokens(const struct dataset *set, int64_t record, const int32_t *wanted,
                         int64_t count)
{
    const int64_t *offsets = data_fixture_array(set, "offsets", DATA_I64, set->count + 1, 1);
    const int32_t *tokens = data_fixture_array(set, "tokens", DATA_I32, offsets[set->count], 1);
    assert_int_equal(offsets[record + 1] - offsets[record], count);
    for (int64_t i = 0; i < count; i++)
        assert_int_equal(tokens[offsets[record] + i], wanted[i]);
}

static void texts_become_the_numbers_of_their_last_words(void **state)
{
    struct data_fixture *f = *state;
    data_fixture_spec(f, "{'train':{'format':'text','file':'t'},'separator':'@','vocabulary':6,"
                         "'length':4,'classes':{'bad':0,'good':1}," TEXT "}");
    data_fixture_write(f, "t",
                       "The cat's hat, the HAT@good\n" /* the: 4, hat: 3; then by their bytes */
                       "a@b <br />hat the the@bad\n"
                       "--- !?@good\n"
                       "\xE2\x84\xAA\xC4\xB0x@bad\n"); /* Kelvin sign, dotted I: "ki", "x" */
    assert_ok(data_fixture_train(f), &f->err);
    assert_int_equal(f->train.count, 4);
    check_tokens(&f->train, 0, (const int32_t[]){1, 3, 2, 3}, 4); /* cat's is the fifth word */
    check_tokens(&f->train, 1, (const int32_t[]){5, 3, 2, 2}, 4); /* a is cut off */
    check_tokens(&f->train, 2, (const int32_t[]){0}, 1);
    check_tokens(&f->train, 3, (const int32_t[]){1, 1}, 2);
    const struct data_fit *fit = data_fixture_fit(f);
    size_t size;
    const char *const words[] = {"the", "hat", "a", "b"};
    assert_int_equal(fit->vocabulary.count, 4);
    for (uint32_t i = 0; i < 4; i++) {
        const char *const word = names_at(&fit->vocabulary, i, &size);
        assert_int_equal(size, strlen(words[i]));
        assert_memory_equal(word, words[i], size);
    }
    int32_t tokens[4];
    assert_int_equal(data_encode_text(fit, "hat hat THE hat the a dog", 25, tokens), 4);
    assert_int_equal(tokens[0], 3);
    assert_int_equal(tokens[3], 1);
}

static void the_text_column_takes_separators_that_no_other_needs(void **state)
{
    struct data_fixture *f = *state;
    data_fixture_spec(f, "{'train':{'format':'text','file':'t'},'separator':'::','root':'r',"
                         "'columns':[{'name':'a','kind':'ignore'},{'name':'t','kind':'text'},"
                         "{'name':'y','kind':'label'}],'split':{'by':'hash','column':'a'}}");
    data_fixture_spec(f, "{'train':{'format':'text','file':'t'},'separator':'::','root':'r',"
                         "'columns':[{'name':'a','kind':'ignore'},{'name':'t','kind':'text'},"
                         "{'name':'y','kind':'label'}]}");
    data_fixture_write(f, "t", "1::one two::three::0\n2::four:::1\r\n::::2\n");
    assert_ok(data_fixture_train(f), &f->err);
    const int64_t *offsets = data_fixture_array(&f->train, "offsets", DATA_I64, 4, 1);
    const int32_t *y = data_fixture_array(&f->train, "label", DATA_I32, 3, 1);
    assert_true(offsets[1] == 3 && offsets[2] == 4 && offsets[3] == 5);
    assert_true(y[0] == 0 && y[1] == 1 && y[2] == 2);
}

/* ------------------------------------------------------------------ errors */

struct wrong {
    const char *file;
    const char *text; /* behind the path */
};

static void malformed_records_are_named_by_line_field_and_value(void **state)
{
    struct data_fixture *f = *state;
    static const struct wrong csv[] = {
        {"id,x,c,y\n1,2,a,0\n1,abc,a,0\n", ":3:2 (x): expected a number, got \"abc\""},
        {"id,x,c,y\n\"1\n2\",2,a,0\n3,inf,a,0\n", ":4:2 (x): expected a number, got \"inf\""},
        {"id,x,c,y\n1,1e39,a,0\n", ":2:2 (x): expected a number, got \"1e39\""},
        {"id,x,c,y\n1,2,a,\n", ":2:4 (y): " EXPECTED_INTEGER " nothing"},
        {"id,x,c,y\n1,2,a\n", ":2: expected 4 fields, got 3"},
        {"id,x,c,y\n1,2,a,0,0\n", ":2: expected 4 fields, got 5"},
        {"id,x,c,y\n1,\"2\"3,a,0\n", ":2:2: characters between a closing quote and the separator"},
        {"id,x,c,y\n1,2,\"a,0\n", ":2:3: a quote that is never closed"},
        {"id,x,y\n1,2,0\n",
         ":1: no column \"c\" in the header, which has 3 by the separator \",\": id, x, y"},
        {"id;x;c;y\n1;2;a;0\n",
         ":1: no column \"id\" in the header, which has 1 by the separator \",\": id;x;c;y"},
        {"id,\xff\xfex,c,y\n1,2,a,0\n",
         ":1: no column \"x\" in the header, which has 4 by the separator \",\": id, ??x, c, y"},
        {"id,x,c,x,y\n1,2,a,2,0\n",
         ":1: column \"x\" stands in the header twice, as fields 2 and 4"},
        {"", ":1: expected a header, the file is empty"},
        {"id,x,c,y\n", ": no record for the training part: nothing comes behind the header"},
        {"id,x,c,y\n1,2,a,0,\n", ":2: expected 4 fields, got 5, the last one empty"},
        {"id,x,c,y\n1;2;a;0\n", ":2: expected 4 fields, got 1 by the separator \",\""},
        {"id, X,c,y\n1,2,a,0\n", ":1: no column \"x\" in the header, which has 4 by the separator "
                                 "\",\": id,  X, c, y; field 2 is \" X\""},
        {"1,2,a,0\n1,2,a,1\n", ":1: no column \"id\" in the header, which has 4 by the separator "
                               "\",\": 1, 2, a, 0; with \"header\": false line 1 is a record"},
        {"id,x,c,y\n1,\x1b[31mred and something that goes on and on and on and on and on,a,0\n",
         ":2:2 (x): expected a number, got \"?[31mred and something that goes on and on and on and "
         "on "
         "and on\""},
    };
    data_fixture_spec(f, "{'train':{'format':'csv','file':'t'}," TABLE "}");
    for (size_t i = 0; i < COUNT_OF(csv); i++) {
        char wanted[512];
        data_fixture_write(f, "t", csv[i].file);
        assert_int_equal(data_fixture_train(f), STATUS_INVALID);
        (void)snprintf(wanted, sizeof(wanted), "%s/t%s", f->root, csv[i].text);
        assert_string_equal(f->err.text, wanted);
    }
}

static void a_header_that_is_taken_as_a_record_is_recognised(void **state)
{
    struct data_fixture *f = *state;
    char wanted[512];
    data_fixture_spec(f, "{'train':{'format':'csv','file':'t'},'header':false," TABLE "}");
    data_fixture_write(f, "t", "id,x,c,y\n1,2,a,0\n");
    assert_int_equal(data_fixture_train(f), STATUS_INVALID);
    (void)snprintf(
        wanted, sizeof(wanted),
        "%s/t:1:2 (x): expected a number, got \"x\"; with \"header\": true line 1 is the "
        "names of the columns",
        f->root);
    assert_string_equal(f->err.text, wanted);
    data_fixture_spec(f, "{'train':{'format':'tsv','file':'t'},'classes':{'bad':0,'good':1}," TEXT
                         ",'header':false}");
    data_fixture_write(f, "t", "text\tlabel\na b\tgood\n");
    assert_int_equal(data_fixture_train(f), STATUS_INVALID);
    assert_non_null(
        strstr(f->err.text,
               "t:1:2 (y): expected one of the values of \"classes\" (\"bad\", \"good\"), got "
               "\"label\"; with \"header\": true line 1 is the names"));
    data_fixture_write(f, "t", "a b\tgood\ntext\tlabel\n");
    assert_int_equal(data_fixture_train(f), STATUS_INVALID);
    assert_null(strstr(f->err.text, "header"));
}

struct other {
    const char *bytes;
    size_t size;
    const char *name;
};

static void what_is_no_text_in_lines_is_refused_by_its_kind(void **state)
{
    struct data_fixture *f = *state;
#define OTHER(bytes, name)             \
    {                                  \
        bytes, sizeof(bytes) - 1, name \
    }
    static const struct other others[] = {
        OTHER("\xFF\xFEi\0d\0\n\0", "UTF-16"),
        OTHER("\xFE\xFF\0i\0d\0\n", "UTF-16"),
        OTHER("\xFF\xFE\0\0i\0\0\0", "UTF-32"),
        OTHER("i\0d\0\n\0", "bytes of zero: UTF-16, or no text at all"),
        OTHER("PK\3\4 and more", "a zip archive (.xlsx files are some, too)"),
        OTHER("\xFD"
              "7zXZ\0\0\4",
              "an xz file"),
        OTHER("BZh91AY&SY", "a bzip2 file"),
        OTHER("PAR1\x15\4", "a Parquet file"),
        OTHER("id,x,c,y\r1,2,a,0\r", "lines that end with CR alone"),
    };
    static const char *const specs[] = {"{'train':{'format':'csv','file':'t'}," TABLE "}",
                                        "{'train':{'format':'csv','file':'t'},'header':false," TABLE
                                        "}",
                                        "{'train':{'format':'jsonl','file':'t'}," TABLE "}"};
    for (size_t i = 0; i < COUNT_OF(others); i++) {
        for (size_t k = 0; k < COUNT_OF(specs); k++) {
            char wanted[512];
            data_fixture_spec(f, specs[k]);
            data_fixture_write_bytes(f, "t", others[i].bytes, others[i].size);
            assert_int_equal(data_fixture_train(f), STATUS_INVALID);
            (void)snprintf(wanted, sizeof(wanted), "%s/t:1: expected UTF-8 text in lines, got %s",
                           f->root, others[i].name);
            assert_string_equal(f->err.text, wanted);
        }
    }
    data_fixture_spec(f, specs[0]);
    data_fixture_write(f, "t", "id,x,c,y\r\n1,2,a\rb,0\r\n");
    assert_ok(data_fixture_train(f), &f->err);
}

static void a_part_without_records_says_why(void **state)
{
    struct data_fixture *f = *state;
    data_fixture_spec(f, "{'train':{'format':'csv','file':'t'},'header':false," TABLE "}");
    data_fixture_write(f, "t", "");
    assert_int_equal(data_fixture_train(f), STATUS_INVALID);
    assert_non_null(strstr(f->err.text, "/t: no record for the training part: the file is empty"));
    data_fixture_write(f, "t", "id,x,c,y\n1,2,a,b\n");
    data_fixture_spec(f, "{'train':{'format':'csv','file':'t'},'on_error':'skip'," TABLE "}");
    assert_int_equal(data_fixture_train(f), STATUS_INVALID);
    assert_non_null(strstr(f->err.text, "/t: no record for the training part: all are malformed"));
    data_fixture_spec(
        f, "{'train':{'format':'csv','file':'t'},'classes':{'b':null,'c':0,'d':1}," TABLE "}");
    assert_int_equal(data_fixture_train(f), STATUS_INVALID);
    assert_non_null(strstr(f->err.text, "/t: no record for the training part, by \"split\" and "
                                        "\"classes\", among 1"));
}

static void malformed_json_lines_are_named_by_line_and_byte(void **state)
{
    struct data_fixture *f = *state;
    static const struct wrong json[] = {
        {"{\"x\":1,\"y\":0}\n{\"x\":true,\"y\":1}\n", ":2: x: expected a number, got \"true\""},
        {"{\"x\":1}\n", ":1: y: " EXPECTED_INTEGER " nothing"},
        {"[1]\n", ":1: byte 1: expected a JSON object on one line, got no object"},
        {"{\"x\":1,\"x\":2}\n",
         ":1: byte 9: expected a JSON object on one line, got a key that comes twice"},
        {"{\"x\":[1]}\n",
         ":1: byte 3: expected a JSON object on one line, got a nested value in a column"},
        {"{\"x\":01}\n",
         ":1: byte 6: expected a JSON object on one line, got what is no JSON value"},
        {"{\"x\":\"\\q\"}\n",
         ":1: byte 7: expected a JSON object on one line, got an escape that means nothing"},
        {"{\"a\":{\"b\":[}}\n",
         ":1: byte 12: expected a JSON object on one line, got a bracket that closes another"},
        {"{\"x\":1} 2\n",
         ":1: byte 9: expected a JSON object on one line, got something behind the object"},
        {"{\"x\":1,}\n",
         ":1: byte 8: expected a JSON object on one line, got no key where one must be"},
    };
    data_fixture_spec(f, "{'train':{'format':'jsonl','file':'t'}," TABLE "}");
    for (size_t i = 0; i < COUNT_OF(json); i++) {
        char wanted[512];
        data_fixture_write(f, "t", json[i].file);
        assert_int_equal(data_fixture_train(f), STATUS_INVALID);
        (void)snprintf(wanted, sizeof(wanted), "%s/t%s", f->root, json[i].text);
        assert_string_equal(f->err.text, wanted);
    }
}

static void skipping_passes_over_malformed_records_up_to_its_bound(void **state)
{
    struct data_fixture *f = *state;
    char wanted[512];
    data_fixture_write(f, "t", "id,x,c,y\n1,1,a,0\n2,x,a,0\n3\n4,3,b,1\n5,\"7\"7,\"b,1\n6,4,b,2\n");
    data_fixture_spec(
        f, "{'train':{'format':'csv','file':'t'},'on_error':'skip','max_errors':3," TABLE "}");
    assert_ok(data_fixture_train(f), &f->err);
    const int32_t *y = data_fixture_array(&f->train, "label", DATA_I32, 3, 1);
    assert_true(y[0] == 0 && y[1] == 1 && y[2] == 2);
    const struct data_fit *fit = data_fixture_fit(f);
    assert_int_equal(fit->skipped.count, 3);
    /* Without the folder: it goes with the model. */
    assert_string_equal(fit->skipped.first[0], "t:3:2 (x): expected a number, got \"x\"");
    assert_string_equal(fit->skipped.first[1],
                        "t:4: expected 4 fields, got 1 by the separator \",\"");
    data_fixture_spec(
        f, "{'train':{'format':'csv','file':'t'},'on_error':'skip','max_errors':2," TABLE "}");
    assert_int_equal(data_fixture_train(f), STATUS_INVALID);
    (void)snprintf(wanted, sizeof(wanted),
                   "%s/t: more malformed records than max_errors 2 allows; the first: "
                   "%s/t:3:2 (x): expected a number, got \"x\"",
                   f->root, f->root);
    assert_string_equal(f->err.text, wanted);
}

static void a_cut_gzip_file_is_refused(void **state)
{
    struct data_fixture *f = *state;
    CLEANUP(buf_clear) struct buf packed;
    char path[128];
    data_fixture_spec(f, "{'train':{'format':'csv','file':'t'}," TABLE "}");
    data_fixture_write_gzip(f, "t", table_csv, strlen(table_csv));
    (void)snprintf(path, sizeof(path), "%s/t", f->root);
    buf_init(&packed, MIB);
    assert_ok(fs_read_file(path, &packed, &f->err), &f->err);
    data_fixture_write_bytes(f, "t", packed.data, packed.size - 12);
    assert_int_equal(data_fixture_train(f), STATUS_INVALID);
    assert_non_null(strstr(f->err.text, "the file ends within its gzip stream"));
}

/* ------------------------------------------------------------------ large files */

/* A few MiB of rows with quotes across the borders of chunks; the same for each seed. */
static void write_large(const struct data_fixture *f, struct buf *text, int64_t bytes)
{
    buf_append_text(text, "id,x,c,y\n");
    for (uint32_t i = 0; (int64_t)text->size < bytes; i++) {
        const uint32_t bits = i * 2654435761U;
        buf_printf(text, "%u,%u.%03u,\"cat %u\n\"\"x\"\"\",%u\n", i, bits >> 22, bits % 1000,
                   bits >> 28, bits % 3);
    }
    data_fixture_write_bytes(f, "t", text->data, text->size);
}

static void set_processors(int count)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    for (int i = 0; i < count; i++)
        CPU_SET(i, &set);
    (void)sched_setaffinity(0, sizeof(set), &set);
}

static void threads_and_compression_do_not_change_a_bit(void **state)
{
    struct data_fixture *f = *state;
    CLEANUP(buf_clear) struct buf text;
    cpu_set_t before;
    char one[65];
    data_fixture_spec(f, "{'train':{'format':'csv','file':'t'}," TABLE "}");
    buf_init(&text, (size_t)64 * MIB);
    write_large(f, &text, 6 * MIB);
    assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
    set_processors(1);
    assert_ok(data_fixture_train(f), &f->err);
    memcpy(one, f->train.sha256, sizeof(one));
    CLEANUP(free_cleanup) char *fit = strdup(f->train.fit);
    (void)sched_setaffinity(0, sizeof(before), &before);
    assert_ok(data_fixture_train(f), &f->err);
    assert_string_equal(f->train.sha256, one);
    assert_string_equal(f->train.fit, fit);
    data_fixture_write_gzip(f, "t", text.data, text.size);
    assert_ok(data_fixture_train(f), &f->err);
    assert_string_equal(f->train.sha256, one);
    assert_string_equal(f->train.fit, fit);
}

/* Address space beyond what the process has already, in which the file would not fit. */
#define SPARE_BYTES ((int64_t)96 * MIB)
#define BIG_BYTES   ((int64_t)192 * MIB)

static int64_t address_space(void)
{
    long pages = 0;
    CLEANUP(file_cleanup) FILE *file = fopen("/proc/self/statm", "re");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%ld", &pages), 1);
    return pages * sysconf(_SC_PAGESIZE);
}

static void a_file_larger_than_memory_is_decoded(void **state)
{
    struct data_fixture *f = *state;
    CLEANUP(buf_clear) struct buf line;
    char path[128];
    buf_init(&line, MIB);
    for (int i = 0; i < 4000;
         i++) /* a line whose ignored column is long: what is decoded is small */
        buf_append_text(&line, "ignored ");
    (void)snprintf(path, sizeof(path), "%s/t", f->root);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    (void)fputs("id,x,c,y\n", file);
    int64_t rows = 0;
    for (int64_t written = 0; written < BIG_BYTES; written += (int64_t)line.size + 10, rows++)
        (void)fprintf(file, "%s,%d,a,%d\n", line.data, (int)(rows % 10), (int)(rows % 2));
    assert_int_equal(fclose(file), 0);
    data_fixture_spec(f, "{'train':{'format':'csv','file':'t'}," TABLE "}");
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        const rlim_t limit = (rlim_t)(address_space() + SPARE_BYTES);
        const struct rlimit bound = {.rlim_cur = limit, .rlim_max = limit};
        set_processors(2);
        if (setrlimit(RLIMIT_AS, &bound) != 0 || data_fixture_train(f) != STATUS_OK)
            (void)fprintf(stderr, "%s\n", f->err.text);
        _exit(f->train.count == rows ? 0 : 1);
    }
    int ended = 0;
    assert_int_equal(waitpid(child, &ended, 0), child);
    assert_true(WIFEXITED(ended));
    assert_int_equal(WEXITSTATUS(ended), 0);
}

/* ------------------------------------------------------------------ numpy */

static void write_npy(const struct data_fixture *f, const char *name, const char *header,
                      const void *values, size_t size)
{
    char file[512];
    const size_t length = strlen(header);
    (void)snprintf(file, sizeof(file), "\x93NUMPY\x01%c%c%c%s", 0, (char)length, 0, header);
    memcpy(file + 10 + length, values, size);
    data_fixture_write_bytes(f, name, file, 10 + length + size);
}

static void numpy_arrays_keep_their_values(void **state)
{
    struct data_fixture *f = *state;
    static const double wide[] = {0.5, -1.25, 3.0, 1e-3, 2.0, 7.0};
    static const uint8_t bytes[] = {0, 255, 7, 9, 1, 2};
    static const int64_t classes[] = {2, 0};
    data_fixture_spec(f,
                      "{'train':{'format':'npy','features':'x.npy','labels':'y.npy'},'root':'r'}");
    write_npy(f, "x.npy", "{'descr': '<f8', 'fortran_order': False, 'shape': (2, 3), }\n", wide,
              sizeof(wide));
    write_npy(f, "y.npy", "{'descr': '<i8', 'fortran_order': False, 'shape': (2,), }\n", classes,
              sizeof(classes));
    assert_ok(data_fixture_train(f), &f->err);
    assert_int_equal(f->train.kind, DATA_KIND_TABLE);
    const float *x = data_fixture_array(&f->train, "numeric", DATA_F32, 2, 3);
    const int32_t *y = data_fixture_array(&f->train, "label", DATA_I32, 2, 1);
    for (int i = 0; i < 6; i++)
        assert_true(x[i] == (float)wide[i]);
    assert_true(y[0] == 2 && y[1] == 0);
    write_npy(f, "x.npy", "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 3, 1)}\n", bytes,
              sizeof(bytes));
    assert_ok(data_fixture_train(f), &f->err);
    assert_int_equal(f->train.kind, DATA_KIND_BYTES);
    assert_memory_equal(data_fixture_array(&f->train, "features", DATA_U8, 2, 3), bytes, 6);
}

static void numpy_files_of_another_kind_are_refused(void **state)
{
    struct data_fixture *f = *state;
    static const struct wrong wrong[] = {
        {"{'descr': '>f8', 'fortran_order': False, 'shape': (2,)}", "expected 'descr'"},
        {"{'descr': '<f8', 'fortran_order': True, 'shape': (2,)}", "'fortran_order' False"},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': ()}", "no records"},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (x)}", "expected 1 to 4 dimensions"},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (300,)}", "cannot hold"},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (1,)}", "expected one for each"},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (2,)}", "finite"},
        {"", "expected 'descr'"}};
    static const double values[] = {1.0, INFINITY};
    static const uint8_t labels[] = {0, 1};
    data_fixture_spec(f,
                      "{'train':{'format':'npy','features':'x.npy','labels':'y.npy'},'root':'r'}");
    write_npy(f, "y.npy", "{'descr': '|u1', 'fortran_order': False, 'shape': (2,)}", labels, 2);
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        write_npy(f, "x.npy", wrong[i].file, values, sizeof(values));
        assert_int_not_equal(data_fixture_train(f), STATUS_OK);
        if (strstr(f->err.text, wrong[i].text) == NULL)
            fail_msg("%s: %s", wrong[i].file, f->err.text);
    }
}

#define WITH(test) \
    cmocka_unit_test_setup_teardown(test, data_fixture_set_up, data_fixture_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(a_table_is_found_by_its_header_however_it_is_packed),
        WITH(json_lines_give_the_same_table),
        WITH(a_file_without_header_has_the_columns_in_their_order),
        WITH(labels_of_a_model_without_classes_are_numbers),
        WITH(whole_numbers_are_numbers_too),
        WITH(labels_are_classes_of_the_model),
        WITH(the_evaluation_part_is_normalised_as_the_training_part),
        WITH(records_of_a_class_with_null_are_left_out),
        WITH(a_split_by_hash_goes_by_the_first_bytes_of_sha_256),
        WITH(a_split_by_time_takes_the_last_ones_and_ties_by_their_lines),
        WITH(texts_become_the_numbers_of_their_last_words),
        WITH(the_text_column_takes_separators_that_no_other_needs),
        WITH(malformed_records_are_named_by_line_field_and_value),
        WITH(a_header_that_is_taken_as_a_record_is_recognised),
        WITH(what_is_no_text_in_lines_is_refused_by_its_kind),
        WITH(a_part_without_records_says_why),
        WITH(malformed_json_lines_are_named_by_line_and_byte),
        WITH(skipping_passes_over_malformed_records_up_to_its_bound),
        WITH(a_cut_gzip_file_is_refused),
        WITH(threads_and_compression_do_not_change_a_bit),
        WITH(a_file_larger_than_memory_is_decoded),
        WITH(numpy_arrays_keep_their_values),
        WITH(numpy_files_of_another_kind_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
