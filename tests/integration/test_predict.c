/*
 * test_predict.c - saved models in use: `evaluate` gives what the job reported, to the last digit;
 * `predict` gives one line a row, whatever way the rows come; both refuse what is wrong by name.
 */
#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fs.h"
#include "base/json.h"
#include "schema/exit_code.h"
#include "tests/integration/cluster.h"
#include "tests/integration/gang.h"
#include "tests/integration/saved.h"

#define LINE_BYTES 4096

static struct gang gang; /* images */
static struct saved credit, reviews, shop;

static int set_up(void **state)
{
    (void)state;
    gang_open(&gang);
    gang_set(&gang, "training.steps", json_integer(60));
    const struct gang_start start = {.world_size = 2, .shared_memory = true};
    gang_run(&gang, &start, TRAINER_EXIT_DONE);
    saved_open(&credit, "credit-small", "table");
    saved_open(&reviews, "reviews-small", "text");
    saved_open(&shop, "shop-small", "interactions");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    saved_close(&shop);
    saved_close(&reviews);
    saved_close(&credit);
    gang_close(&gang);
    return 0;
}

static const char *gang_model(void)
{
    static char path[SAVED_PATH_BYTES];
    (void)snprintf(path, sizeof(path), "%s/out/model.safetensors", gang.folder);
    return path;
}

static const char *gang_file(const char *name)
{
    static char path[SAVED_PATH_BYTES];
    (void)snprintf(path, sizeof(path), "%s/%s", gang.data, name);
    return path;
}

/* Copies the next line, without its end, and moves on; false at the end. */
static bool next_line(const char **at, char out[LINE_BYTES])
{
    const char *end = strchr(*at, '\n');
    if (end == NULL)
        return false;
    const size_t size = (size_t)(end - *at);
    assert_true(size < LINE_BYTES);
    memcpy(out, *at, size);
    out[size] = '\0';
    *at = end + 1;
    return true;
}

static int count_lines(const char *text)
{
    int lines = 0;
    for (; *text != '\0'; text++)
        lines += *text == '\n' ? 1 : 0;
    return lines;
}

/* ------------------------------------------------------------------ evaluate */

static void evaluate_gives_a_gangs_figures_to_the_last_digit(void **state)
{
    (void)state;
    struct wire_event finished;
    assert_true(gang_last_event(&gang, 1, 0, EVENT_FINISHED, &finished));
    const char *const words[] = {"evaluate", gang_model(), "--data", gang.data, NULL};
    CLEANUP(json_cleanup) json_t *line = saved_json(words);
    int compared = 0;
    for (size_t i = 0; i < finished.value_count; i++) {
        const struct event_value *value = &finished.values[i];
        if (strncmp(value->name, "eval_", 5) != 0)
            continue;
        assert_true(json_number_value(json_object_get(line, value->name)) == value->value);
        compared++;
    }
    assert_int_equal(compared, 2); /* loss and accuracy */
    assert_true(json_is_true(json_object_get(line, "same_data")));
}

static void assert_evaluates_alike(const struct saved *saved)
{
    const char *const words[] = {"evaluate", saved->model, "--data", saved->data, NULL};
    CLEANUP(json_cleanup) json_t *line = saved_json(words);
    const char *name;
    json_t *value;
    int compared = 0;
    json_object_foreach(saved->trained, name, value) {
        if (strncmp(name, "eval_", 5) != 0)
            continue;
        assert_true(json_number_value(json_object_get(line, name)) == json_number_value(value));
        compared++;
    }
    assert_true(compared >= 2);
    assert_true(json_is_true(json_object_get(line, "same_data")));
}

static void evaluate_gives_the_figures_of_every_family(void **state)
{
    (void)state;
    assert_evaluates_alike(&shop);
    assert_evaluates_alike(&credit); /* a split by hash */
    assert_evaluates_alike(&reviews);
}

static void texts_are_evaluated_without_the_training_data(void **state)
{
    (void)state;
    char folder[SAVED_PATH_BYTES], path[SAVED_PATH_BYTES];
    struct error err = {.status = STATUS_OK};
    (void)snprintf(folder, sizeof(folder), "%s/alone", reviews.folder);
    (void)snprintf(path, sizeof(path), "%s/alone/test.tsv", reviews.folder);
    assert_int_equal(fs_make_dirs(folder, 0755, &err), STATUS_OK);
    CLEANUP(buf_clear) struct buf test = saved_read(reviews.data, "test.tsv");
    assert_int_equal(fs_replace_file(path, test.data, test.size, 0644, &err), STATUS_OK);
    const char *const words[] = {"evaluate", reviews.model, "--data", folder, NULL};
    CLEANUP(json_cleanup) json_t *line = saved_json(words);
    assert_true(json_number_value(json_object_get(line, "eval_auc")) ==
                json_number_value(json_object_get(reviews.trained, "eval_auc")));
    assert_true(json_is_true(json_object_get(line, "same_data")));
}

/* ---- by hand, from the lines that predict prints */

#define TWO_CLASSES_MAX 1000

struct scored_texts {
    int count;
    int labels[TWO_CLASSES_MAX];
    double probabilities[TWO_CLASSES_MAX]; /* of "positive" */
};

/* Predicts the texts of test.tsv with a model of two classes. */
static void predict_test_texts(const char *model, const char *folder, struct scored_texts *out)
{
    CLEANUP(buf_clear) struct buf test = saved_read(folder, "test.tsv");
    CLEANUP(buf_clear) struct buf texts;
    buf_init(&texts, (size_t)1 * MIB);
    const char *at = test.data;
    char line[LINE_BYTES];
    out->count = 0;
    for (; next_line(&at, line); out->count++) {
        assert_true(out->count < TWO_CLASSES_MAX);
        out->labels[out->count] = strncmp(line, "positive\t", 9) == 0 ? 1 : 0;
        buf_append_text(&texts, strchr(line, '\t') + 1);
        buf_append_text(&texts, "\n");
    }
    const char *const words[] = {"predict", model, "--data", "-", NULL};
    CLEANUP(buf_clear) struct buf lines = saved_output(words, texts.data);
    at = lines.data;
    for (int i = 0; i < out->count; i++) {
        assert_true(next_line(&at, line));
        out->probabilities[i] = strtod(strchr(line, ',') + 1, NULL);
    }
    assert_string_equal(at, "");
}

static double auc_of(const struct scored_texts *texts)
{
    double above = 0.0, pairs = 0.0;
    for (int i = 0; i < texts->count; i++) {
        for (int j = 0; j < texts->count; j++) {
            if (texts->labels[i] != 1 || texts->labels[j] != 0)
                continue;
            const double difference = texts->probabilities[i] - texts->probabilities[j];
            above += difference > 0.0 ? 1.0 : difference < 0.0 ? 0.0 : 0.5;
            pairs += 1.0;
        }
    }
    return above / pairs;
}

static double log_loss_of(const struct scored_texts *texts)
{
    double sum = 0.0;
    for (int i = 0; i < texts->count; i++)
        sum -= log(texts->labels[i] == 1 ? texts->probabilities[i] : 1.0 - texts->probabilities[i]);
    return sum / texts->count;
}

static void a_softmax_of_two_classes_has_the_auc_and_the_plain_loss_of_its_predictions(void **state)
{
    (void)state;
    static struct scored_texts texts;
    struct gang weighted;
    char model[SAVED_PATH_BYTES];
    gang_open(&weighted);
    gang_use(&weighted, "reviews-small");
    gang_set(&weighted, "model.head", json_string("softmax"));
    gang_set(&weighted, "model.classes", json_integer(2));
    gang_set(&weighted, "training.class_weights", json_pack("[f,f]", 1.0, 4.0));
    gang_set(&weighted, "checkpoint.best", json_pack("{s:s}", "metric", "eval_auc"));
    const struct gang_start start = {.world_size = 1};
    gang_run(&weighted, &start, TRAINER_EXIT_DONE);
    (void)snprintf(model, sizeof(model), "%s/out/model.safetensors", weighted.folder);
    const char *const words[] = {"evaluate", model, "--data", weighted.data, NULL};
    CLEANUP(json_cleanup) json_t *line = saved_json(words);
    struct wire_event finished;
    assert_true(gang_last_event(&weighted, 1, 0, EVENT_FINISHED, &finished));
    int compared = 0;
    for (size_t i = 0; i < finished.value_count; i++) {
        const json_t *value = json_object_get(line, finished.values[i].name);
        if (value == NULL)
            continue;
        assert_true(json_number_value(value) == finished.values[i].value);
        compared++;
    }
    assert_int_equal(compared, 3); /* of the best step: loss, accuracy, auc */
    predict_test_texts(model, weighted.data, &texts);
    const double auc = json_number_value(json_object_get(line, "eval_auc"));
    const double loss = json_number_value(json_object_get(line, "eval_loss"));
    assert_true(auc > 0.9);
    assert_true(fabs(auc - auc_of(&texts)) < 1e-3); /* calls of other shapes may swap neighbours */
    assert_true(fabs(loss - log_loss_of(&texts)) < 1e-4);
    gang_close(&weighted);
}

static void other_records_are_evaluated_and_said_to_be_other(void **state)
{
    (void)state;
    const char *const words[] = {"evaluate", gang_model(),
                                 "--data",   gang.data,
                                 "--file",   "train-images-idx3-ubyte.gz",
                                 "--labels", "train-labels-idx1-ubyte.gz",
                                 NULL};
    CLEANUP(json_cleanup) json_t *line = saved_json(words);
    assert_true(json_is_false(json_object_get(line, "same_data")));
    assert_int_equal(json_integer_value(json_object_get(line, "records")), 10000);
    const char *const unlabelled[] = {"evaluate", gang_model(), "--data",
                                      gang.data,  "--file",     "train-images-idx3-ubyte.gz",
                                      NULL};
    saved_refused(unlabelled, NULL, TRAINER_EXIT_BAD_DATA, "labels are in a file of their own");
}

static void what_is_no_model_is_refused_by_name(void **state)
{
    (void)state;
    const char *const missing[] = {"evaluate", "/nowhere/m", "--data", gang.data, NULL};
    saved_refused(missing, NULL, TRAINER_EXIT_BAD_DATA, "/nowhere/m");
    const char *const no_model[] = {"predict", gang_file("t10k-labels-idx1-ubyte.gz"), "--data",
                                    "-", NULL};
    saved_refused(no_model, "", TRAINER_EXIT_BAD_DATA, "t10k-labels-idx1-ubyte.gz");
    const char *const no_data[] = {"evaluate", gang_model(), NULL};
    saved_refused(no_data, NULL, TRAINER_EXIT_BAD_SPEC, "--data DIR is required");
    const char *const no_rows[] = {"predict", gang_model(), NULL};
    saved_refused(no_rows, NULL, TRAINER_EXIT_BAD_SPEC, "needs --data FILE");
    const char *const no_shop[] = {"predict", credit.model, "--data", "-", "--users", "1", NULL};
    saved_refused(no_shop, "", TRAINER_EXIT_BAD_SPEC, "--users, --top-k and --exclude-seen");
}

static void assert_same_bytes(const char *a, const char *b)
{
    CLEANUP(buf_clear) struct buf left = saved_read("", a);
    CLEANUP(buf_clear) struct buf right = saved_read("", b);
    assert_int_equal(left.size, right.size);
    assert_memory_equal(left.data, right.data, left.size);
}

static void a_models_bytes_do_not_depend_on_where_and_when_it_was_trained(void **state)
{
    (void)state;
    struct saved again;
    saved_open(&again, "reviews-small", "text");
    assert_same_bytes(again.model, reviews.model);
    assert_same_bytes(again.onnx, reviews.onnx);
    saved_close(&again);
}

/* ------------------------------------------------------------------ predict */

/* The evaluation part's records through predict and through evaluate: one accuracy. */
static void images_are_predicted_as_they_are_evaluated(void **state)
{
    (void)state;
    const char *const evaluate[] = {"evaluate", gang_model(), "--data", gang.data, NULL};
    CLEANUP(json_cleanup) json_t *figures = saved_json(evaluate);
    const int records = (int)json_integer_value(json_object_get(figures, "records"));
    const double accuracy = json_number_value(json_object_get(figures, "eval_accuracy"));
    const char *const predict[] = {"predict", gang_model(), "--data",
                                   gang_file("t10k-images-idx3-ubyte.gz"), NULL};
    CLEANUP(buf_clear) struct buf lines = saved_output(predict, NULL);
    assert_int_equal(count_lines(lines.data), records + 1);

    char plain[SAVED_PATH_BYTES], command[3 * SAVED_PATH_BYTES];
    (void)snprintf(plain, sizeof(plain), "%s/labels", gang.folder);
    (void)snprintf(command, sizeof(command), "gzip -dc '%s' >'%s'",
                   gang_file("t10k-labels-idx1-ubyte.gz"), plain);
    const char *const unpack[] = {"/bin/sh", "-c", command, NULL};
    struct process_result unpacked;
    process_run(unpack, NULL, NULL, 10000, &unpacked);
    assert_int_equal(unpacked.exit_code, 0);
    process_result_clear(&unpacked);
    CLEANUP(buf_clear) struct buf labels = saved_read(gang.folder, "labels");

    char line[LINE_BYTES];
    const char *at = lines.data;
    int right = 0;
    assert_true(next_line(&at, line));
    assert_non_null(strstr(line, "class,probability_0,probability_1,"));
    for (int i = 0; i < records; i++) {
        assert_true(next_line(&at, line));
        right += line[0] - '0' == labels.data[8 + i] ? 1 : 0;
    }
    assert_true(fabs((double)right / records - accuracy) < 1e-9);
}

static void rows_give_the_same_lines_from_a_file_a_pipe_and_without_unused_columns(void **state)
{
    (void)state;
    char path[SAVED_PATH_BYTES];
    (void)snprintf(path, sizeof(path), "%s/loans.csv", credit.data);
    CLEANUP(buf_clear) struct buf table = saved_read(credit.data, "loans.csv");
    const char *const from_file[] = {"predict", credit.model, "--data", path, NULL};
    const char *const from_pipe[] = {"predict", credit.model, "--data", "-", NULL};
    CLEANUP(buf_clear) struct buf expected = saved_output(from_file, NULL);
    CLEANUP(buf_clear) struct buf actual = saved_output(from_pipe, table.data);
    assert_string_equal(actual.data, expected.data);
    assert_int_equal(count_lines(expected.data), count_lines(table.data));

    /* One row by hand: columns in another order, neither id nor outcome. */
    static const char row[] =
        "region,home,purpose,late_payments,open_accounts,months,amount,debt,income,age\n"
        "R04,own,business,0,3,36,14500,0,3060,52\n";
    char first[LINE_BYTES];
    const char *at = expected.data;
    assert_true(next_line(&at, first) && next_line(&at, first));
    CLEANUP(buf_clear) struct buf one = saved_output(from_pipe, row);
    at = one.data;
    char line[LINE_BYTES];
    assert_true(next_line(&at, line));
    assert_string_equal(line, "class,probability");
    assert_true(next_line(&at, line));
    /* A call of one row may differ in the last digits. */
    assert_int_equal(strcspn(line, ","), strcspn(first, ","));
    const char *const columns[] = {strchr(line, ','), strchr(first, ',')};
    assert_true(fabs(strtod(columns[0] + 1, NULL) - strtod(columns[1] + 1, NULL)) < 1e-6);
}

static void a_malformed_row_is_named_by_line_and_column(void **state)
{
    (void)state;
    const char *const words[] = {"predict", credit.model, "--data", "-", NULL};
    saved_refused(words,
                  "age,income,debt,amount,months,open_accounts,late_payments,purpose,home,region\n"
                  "52,3060,0,14500,36,3,0,business,own,R04\n"
                  "52,much,0,14500,36,3,0,business,own,R04\n",
                  TRAINER_EXIT_BAD_DATA,
                  "trainer_failed standard input:3:2 (income): expected a number, got \"much\"");
    saved_refused(words, "age,income\n1,2\n", TRAINER_EXIT_BAD_DATA, "no column \"debt\"");
}

static void a_text_is_one_line_with_its_score_in_front(void **state)
{
    (void)state;
    const char *const words[] = {"predict", reviews.model, "--data", "-", NULL};
    CLEANUP(buf_clear)
    struct buf lines =
        saved_output(words, "the account was pleasant.\nthe website remains terrible.\n");
    const char *at = lines.data;
    char line[LINE_BYTES];
    assert_true(next_line(&at, line));
    assert_string_equal(strchr(line, '\t'), "\tthe account was pleasant.");
    assert_true(strtod(line, NULL) > 0.5);
    assert_true(next_line(&at, line));
    assert_string_equal(strchr(line, '\t'), "\tthe website remains terrible.");
    assert_true(strtod(line, NULL) < 0.5);
    assert_string_equal(at, "");

    const char *const json[] = {"predict", reviews.model, "--data", "-", "--json", NULL};
    CLEANUP(buf_clear) struct buf objects = saved_output(json, "the account was \"pleasant\".\n");
    struct error err = {.status = STATUS_OK};
    CLEANUP(json_cleanup) json_t *object = NULL;
    assert_int_equal(json_parse(objects.data, objects.size, &object, &err), STATUS_OK);
    assert_string_equal(json_string_value(json_object_get(object, "class")), "positive");
    assert_string_equal(json_string_value(json_object_get(object, "text")),
                        "the account was \"pleasant\".");
    assert_true(json_number_value(json_object_get(object, "probability")) > 0.5);
}

static void each_line_of_texts_has_its_line_of_scores_even_an_empty_one(void **state)
{
    (void)state;
    static const char texts[] = "\nthe account was pleasant.\n\n  \n!?\r\n\r\nterrible\n\n\n";
    const char *const words[] = {"predict", reviews.model, "--data", "-", NULL};
    CLEANUP(buf_clear) struct buf lines = saved_output(words, texts);
    const char *at = lines.data, *from = texts;
    char line[LINE_BYTES], text[LINE_BYTES], none[LINE_BYTES] = "";
    while (next_line(&from, text)) {
        text[strcspn(text, "\r")] = '\0';
        assert_true(next_line(&at, line));
        assert_string_equal(strchr(line, '\t') + 1, text);
        *strchr(line, '\t') = '\0';
        if (strpbrk(text, "aeiou") != NULL)
            continue;
        if (none[0] == '\0')
            (void)snprintf(none, sizeof(none), "%s", line);
        assert_string_equal(line, none); /* what a text of no words has */
    }
    assert_string_equal(at, "");
}

/* ------------------------------------------------------------------ recommenders */

#define SHOP_ITEMS 300

struct item_line {
    int user, rank, item;
    double score;
};

static int read_items(const char *text, struct item_line *out, int max)
{
    char line[LINE_BYTES];
    int count = 0;
    while (next_line(&text, line)) {
        struct item_line *item = &out[count++];
        assert_true(count <= max);
        char *at = line;
        item->user = (int)strtol(at, &at, 10);
        item->rank = (int)strtol(at, &at, 10);
        item->item = (int)strtol(at, &at, 10);
        item->score = strtod(at, &at);
        assert_true(*at == '\0');
    }
    return count;
}

static void the_best_items_of_a_user_are_the_first_of_all_its_items(void **state)
{
    (void)state;
    static struct item_line all[2 * SHOP_ITEMS], best[20];
    const char *const every[] = {"predict", shop.model, "--users", "7,2", "--top-k", "9999", NULL};
    CLEANUP(buf_clear) struct buf lines = saved_output(every, NULL);
    assert_int_equal(read_items(lines.data, all, 2 * SHOP_ITEMS), 2 * SHOP_ITEMS);
    bool is_there[SHOP_ITEMS] = {false};
    for (int i = 0; i < SHOP_ITEMS; i++) {
        assert_int_equal(all[i].user, 7);
        assert_int_equal(all[i].rank, i + 1);
        assert_true(i == 0 || all[i].score <= all[i - 1].score);
        assert_false(is_there[all[i].item]);
        is_there[all[i].item] = true;
    }
    assert_int_equal(all[SHOP_ITEMS].user, 2);
    /* Without --top-k as many as the spec's. */
    const char *const few[] = {"predict", shop.model, "--users", "7", NULL};
    CLEANUP(buf_clear) struct buf first = saved_output(few, NULL);
    assert_int_equal(read_items(first.data, best, 20), 10);
    for (int i = 0; i < 10; i++)
        assert_int_equal(best[i].item, all[i].item);
    const char *const everyone[] = {"predict", shop.model, NULL};
    CLEANUP(buf_clear) struct buf of_all = saved_output(everyone, NULL);
    assert_int_equal(count_lines(of_all.data) % 10, 0);
    assert_non_null(
        strstr(of_all.data, first.data)); /* user 7 is among them, with the same lines */
}

static void what_a_user_has_seen_is_left_out_and_nothing_else(void **state)
{
    (void)state;
    static struct item_line all[SHOP_ITEMS], unseen[SHOP_ITEMS];
    char path[SAVED_PATH_BYTES];
    (void)snprintf(path, sizeof(path), "%s/train.tsv", shop.data);
    const char *const every[] = {"predict", shop.model, "--users", "3", "--top-k", "9999", NULL};
    const char *const rest[] = {"predict", shop.model,       "--users", "3",  "--top-k",
                                "9999",    "--exclude-seen", "--data",  path, NULL};
    CLEANUP(buf_clear) struct buf lines = saved_output(every, NULL);
    CLEANUP(buf_clear) struct buf others = saved_output(rest, NULL);
    CLEANUP(buf_clear) struct buf log = saved_read(shop.data, "train.tsv");
    const int count = read_items(lines.data, all, SHOP_ITEMS);
    const int left = read_items(others.data, unseen, SHOP_ITEMS);
    bool is_seen[SHOP_ITEMS] = {false};
    char line[LINE_BYTES];
    for (const char *at = log.data; next_line(&at, line);) {
        char *field = line;
        if (strtol(field, &field, 10) == 3)
            is_seen[strtol(field, NULL, 10)] = true;
    }
    int at = 0;
    for (int i = 0; i < count; i++) {
        if (is_seen[all[i].item])
            continue;
        assert_true(at < left);
        assert_int_equal(unseen[at++].item, all[i].item);
    }
    assert_int_equal(at, left);
    assert_true(left < count);
}

static void a_recommender_refuses_users_that_it_does_not_know(void **state)
{
    (void)state;
    const char *const unknown[] = {"predict", shop.model, "--users", "1,anna", NULL};
    saved_refused(unknown, NULL, TRAINER_EXIT_BAD_DATA,
                  "user \"anna\" was not in the training data");
    const char *const no_log[] = {"predict", shop.model, "--exclude-seen", NULL};
    saved_refused(no_log, NULL, TRAINER_EXIT_BAD_SPEC, "--data FILE for --exclude-seen");
    const char *const no_use[] = {"predict", shop.model, "--data", shop.data, NULL};
    saved_refused(no_use, NULL, TRAINER_EXIT_BAD_SPEC, "for --exclude-seen, which is not given");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(evaluate_gives_a_gangs_figures_to_the_last_digit),
        cmocka_unit_test(evaluate_gives_the_figures_of_every_family),
        cmocka_unit_test(texts_are_evaluated_without_the_training_data),
        cmocka_unit_test(
            a_softmax_of_two_classes_has_the_auc_and_the_plain_loss_of_its_predictions),
        cmocka_unit_test(other_records_are_evaluated_and_said_to_be_other),
        cmocka_unit_test(what_is_no_model_is_refused_by_name),
        cmocka_unit_test(a_models_bytes_do_not_depend_on_where_and_when_it_was_trained),
        cmocka_unit_test(images_are_predicted_as_they_are_evaluated),
        cmocka_unit_test(rows_give_the_same_lines_from_a_file_a_pipe_and_without_unused_columns),
        cmocka_unit_test(a_malformed_row_is_named_by_line_and_column),
        cmocka_unit_test(a_text_is_one_line_with_its_score_in_front),
        cmocka_unit_test(each_line_of_texts_has_its_line_of_scores_even_an_empty_one),
        cmocka_unit_test(the_best_items_of_a_user_are_the_first_of_all_its_items),
        cmocka_unit_test(what_a_user_has_seen_is_left_out_and_nothing_else),
        cmocka_unit_test(a_recommender_refuses_users_that_it_does_not_know),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
