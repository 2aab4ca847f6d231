/* test_predict_write.c - the lines of each head in each form, with names that need quotes. */
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>

#include "trainer/predict_write.h"

struct fixture {
    FILE *file;
    char *text;
    size_t size;
    struct predict_writer writer;
    struct error err;
};

static void set_up(struct fixture *f, int head, int classes, enum predict_form form)
{
    *f = (struct fixture){.err = {.status = STATUS_OK}};
    f->file = open_memstream(&f->text, &f->size);
    assert_non_null(f->file);
    predict_writer_init(&f->writer, f->file);
    f->writer.head = head;
    f->writer.classes = classes;
    f->writer.form = form;
}

/* What was written is this; ends the fixture. */
static void check(struct fixture *f, const char *expected)
{
    assert_ok(predict_write_end(&f->writer, &f->err), &f->err);
    assert_string_equal(f->text, expected);
    predict_writer_clear(&f->writer);
    (void)fclose(f->file);
    free(f->text);
}

static const float three[] = {0.25F, 0.5F, 0.125F};
static const float one[] = {0.75F};

static struct data_fit *named_fit(void)
{
    struct data_fit *fit = calloc(1, sizeof(*fit));
    assert_non_null(fit);
    fit->class_count = 3;
    fit->classes[0] = (struct data_class){.value = "good", .index = 0};
    fit->classes[1] = (struct data_class){.value = "bad, \"really\"", .index = 1};
    fit->classes[2] = (struct data_class){.value = "left out", .index = -1};
    return fit;
}

static void tables_are_csv_with_a_header(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f, HEAD_SOFTMAX, 3, PREDICT_CSV);
    assert_ok(predict_write_header(&f.writer, &f.err), &f.err);
    assert_ok(predict_write_row(&f.writer, three, NULL, 0, &f.err), &f.err);
    check(&f, "class,probability_0,probability_1,probability_2\n1,0.25,0.5,0.125\n");

    set_up(&f, HEAD_SIGMOID, 1, PREDICT_CSV);
    assert_ok(predict_write_header(&f.writer, &f.err), &f.err);
    assert_ok(predict_write_row(&f.writer, one, NULL, 0, &f.err), &f.err);
    check(&f, "class,probability\n1,0.75\n");

    set_up(&f, HEAD_LINEAR, 1, PREDICT_CSV);
    assert_ok(predict_write_header(&f.writer, &f.err), &f.err);
    const float value = -12.345F;
    assert_ok(predict_write_row(&f.writer, &value, NULL, 0, &f.err), &f.err);
    check(&f, "value\n-12.3450003\n");
}

static void names_of_classes_are_quoted_where_they_must_be(void **state)
{
    (void)state;
    struct fixture f;
    struct data_fit *fit = named_fit();
    set_up(&f, HEAD_SOFTMAX, 2, PREDICT_CSV);
    f.writer.fit = fit;
    assert_ok(predict_write_header(&f.writer, &f.err), &f.err);
    assert_ok(predict_write_row(&f.writer, three, NULL, 0, &f.err), &f.err);
    check(&f, "class,probability_good,\"probability_bad, \"\"really\"\"\"\n"
              "\"bad, \"\"really\"\"\",0.25,0.5\n");
    set_up(&f, HEAD_SOFTMAX, 2, PREDICT_JSON);
    f.writer.fit = fit;
    assert_ok(predict_write_header(&f.writer, &f.err), &f.err);
    assert_ok(predict_write_row(&f.writer, three, NULL, 0, &f.err), &f.err);
    check(&f, "{\"class\":\"bad, \\\"really\\\"\",\"probabilities\":"
              "{\"good\":0.25,\"bad, \\\"really\\\"\":0.5}}\n");
    free(fit);
}

static void a_text_stands_behind_its_scores(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f, HEAD_SIGMOID, 1, PREDICT_TEXT);
    assert_ok(predict_write_header(&f.writer, &f.err), &f.err);
    assert_ok(predict_write_row(&f.writer, one, "fine, thanksX", 12, &f.err), &f.err);
    check(&f, "0.75\tfine, thanks\n");
    set_up(&f, HEAD_SOFTMAX, 3, PREDICT_TEXT);
    assert_ok(predict_write_row(&f.writer, three, "", 0, &f.err), &f.err);
    check(&f, "0.25,0.5,0.125\t\n");
    set_up(&f, HEAD_SIGMOID, 1, PREDICT_JSON);
    assert_ok(predict_write_row(&f.writer, one, "a \"b\"\xff", 6, &f.err), &f.err);
    check(&f, "{\"class\":\"1\",\"probability\":0.75,\"text\":\"a \\\"b\\\"\xef\xbf\xbd\"}\n");
}

static void an_item_has_user_rank_and_score(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f, HEAD_SOFTMAX, 0, PREDICT_TEXT);
    assert_ok(predict_write_item(&f.writer, "anna", 1, "tea", 0.5F, &f.err), &f.err);
    check(&f, "anna\t1\ttea\t0.5\n");
    set_up(&f, HEAD_SOFTMAX, 0, PREDICT_JSON);
    assert_ok(predict_write_item(&f.writer, "anna", 2, "\"tea\"", 0.5F, &f.err), &f.err);
    check(&f, "{\"user\":\"anna\",\"rank\":2,\"item\":\"\\\"tea\\\"\",\"score\":0.5}\n");
}

static void a_full_disk_is_an_error_of_its_own(void **state)
{
    (void)state;
    struct error err = {.status = STATUS_OK};
    struct predict_writer writer;
    FILE *full = fopen("/dev/full", "w");
    if (full == NULL)
        skip();
    predict_writer_init(&writer, full);
    writer.head = HEAD_LINEAR;
    assert_ok(predict_write_row(&writer, one, NULL, 0, &err), &err); /* buffered */
    assert_fails(predict_write_end(&writer, &err), &err, STATUS_NO_SPACE,
                 "write the predictions: No space left on device");
    predict_writer_clear(&writer);
    (void)fclose(full);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_are_csv_with_a_header),
        cmocka_unit_test(names_of_classes_are_quoted_where_they_must_be),
        cmocka_unit_test(a_text_stands_behind_its_scores),
        cmocka_unit_test(an_item_has_user_rank_and_score),
        cmocka_unit_test(a_full_disk_is_an_error_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
