/*
 * test_first_use.c - what people do with the trainer on their first day: data and specs with the usual
 * mistakes. Each is told in words that say where it is; what is allowed but hardly meant is a warning; a
 * job that fails leaves no model.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <unistd.h>

#include "base/fs.h"
#include "schema/exit_code.h"
#include "tests/integration/cluster.h"
#include "tests/integration/saved.h"

#define TEXT_BYTES  8192
#define PATIENCE_MS 60000

static char folder[64];

static int set_up(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof(folder), "/tmp/reprise-first-XXXXXX");
    assert_non_null(mkdtemp(folder));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    return fs_remove_tree(folder, NULL) == STATUS_OK ? 0 : 1;
}

static void write_file(const char *name, const char *text)
{
    char path[SAVED_PATH_BYTES];
    struct error err = {.status = STATUS_OK};
    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    if (fs_replace_file(path, text, strlen(text), 0644, &err) != STATUS_OK)
        fail_msg("%s", err.text);
}

/* A spec with ' for ". */
static void write_spec(const char *model, const char *data, const char *more)
{
    char text[TEXT_BYTES];
    const int size = snprintf(text, sizeof(text),
                              "{'name': 'first', 'model': %s, 'data': {'root': 'data', %s},"
                              "'optimizer': {'type': 'adam', 'lr': 0.01%s}",
                              model, data, more);
    assert_true(size > 0 && (size_t)size < sizeof(text));
    for (char *at = text; *at != '\0'; at++)
        *at = *at == '\'' ? '"' : *at;
    write_file("spec.json", text);
}

#define NEWS "{'type': 'bilstm', 'embedding': 2, 'hidden': 2}"
#define NEWS_DATA(format)                                                    \
    "'train': {'format': '" format "', 'file': 'news'}, 'columns': ["        \
    "{'name': 'label', 'kind': 'label'}, {'name': 'text', 'kind': 'text'}]," \
    "'classes': {'down': 0, 'up': 1}, 'vocabulary': 8, 'length': 4"
#define TRAINING "}, 'training': {'epochs': 1, 'batch_size': 8}"

static void train(int code, const char *said)
{
    char spec[SAVED_PATH_BYTES], output[SAVED_PATH_BYTES], model[SAVED_PATH_BYTES];
    (void)snprintf(spec, sizeof(spec), "%s/spec.json", folder);
    (void)snprintf(output, sizeof(output), "%s/out", folder);
    (void)snprintf(model, sizeof(model), "%s/out/model.safetensors", folder);
    assert_int_equal(fs_remove_tree(output, NULL), STATUS_OK);
    const char *const words[] = {"train", spec, "--data", folder, "--output", output, NULL};
    saved_refused(words, NULL, code, said);
    assert_int_equal(access(model, F_OK) == 0, code == TRAINER_EXIT_DONE);
}

static void a_spec_that_is_wrong_is_named_with_its_place(void **state)
{
    (void)state;
    write_file("spec.json", "{\n  \"name\": }");
    train(TRAINER_EXIT_BAD_SPEC, "/spec.json: line 2, column 11: unexpected token near '}'");
    write_file("spec.json", "{\"name\": \"first\", \"nane\": 1}");
    train(TRAINER_EXIT_BAD_SPEC, "/spec.json: /nane: unknown field, did you mean \"name\"?");
    train(TRAINER_EXIT_BAD_SPEC, "bad_spec /model: expected object, got nothing");
    write_spec("{'type': 'bilstm', 'hidden': 'wide'}", NEWS_DATA("tsv"),
               "}, 'training': {'epochs': 0, 'batch_size': 8}");
    train(TRAINER_EXIT_BAD_SPEC, "bad_spec /model/hidden: expected integer");
    train(TRAINER_EXIT_BAD_SPEC, "bad_spec /training/epochs: expected integer");
}

static void words_that_no_verb_takes_are_told(void **state)
{
    (void)state;
    const char *const unknown[] = {"trian", "spec.json", NULL};
    saved_refused(unknown, NULL, TRAINER_EXIT_BAD_SPEC,
                  "expected a verb, got \"trian\", did you mean \"train\"?");
    const char *const without[] = {"predict", "--json", NULL};
    saved_refused(without, NULL, TRAINER_EXIT_BAD_SPEC,
                  "reprise-trainer predict: expected MODEL.safetensors, got nothing");
    const char *const surplus[] = {"predict", "a.safetensors", "b.csv", NULL};
    saved_refused(surplus, NULL, TRAINER_EXIT_BAD_SPEC,
                  "expected MODEL.safetensors alone, got \"b.csv\" beside it");
    const char *const some[] = {"numerics", "cpu", NULL};
    saved_refused(some, NULL, TRAINER_EXIT_BAD_SPEC, "expected no words, got \"cpu\"");
    const char *const none[] = {NULL};
    saved_refused(none, NULL, TRAINER_EXIT_BAD_SPEC, "Try 'reprise-trainer --help'");
    const char *const nothing[] = {"--json", NULL};
    saved_refused(nothing, NULL, TRAINER_EXIT_BAD_SPEC, "expected a verb, got \"--json\"");
}

static void an_option_that_the_verb_has_not_is_refused_with_the_nearest(void **state)
{
    (void)state;
    const char *const misspelt[] = {"train", "spec.json", "--outptu", "x", NULL};
    saved_refused(misspelt, NULL, TRAINER_EXIT_BAD_SPEC,
                  "reprise-trainer train: unknown option --outptu, did you mean --output?");
    const char *const others[] = {"train", "spec.json", "--top-k", "3", NULL};
    saved_refused(others, NULL, TRAINER_EXIT_BAD_SPEC, "unknown option --top-k");
    const char *const missing[] = {"train", "spec.json", "--output", "x", NULL};
    saved_refused(missing, NULL, TRAINER_EXIT_BAD_SPEC, "--data DIR is required");
}

static void each_verb_has_a_page_with_an_example_and_its_exit_codes(void **state)
{
    static const char *const verbs[] = {"train",   "decode",    "evaluate",
                                        "predict", "make-data", "numerics"};
    (void)state;
    const char *const all[] = {"--help", NULL};
    CLEANUP(buf_clear) struct buf list = saved_output(all, NULL);
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
        const char *const words[] = {verbs[i], "--help", NULL};
        const char *const other[] = {"help", verbs[i], NULL};
        char usage[64];
        (void)snprintf(usage, sizeof(usage), "Usage: reprise-trainer %s ", verbs[i]);
        CLEANUP(buf_clear) struct buf page = saved_output(words, NULL);
        CLEANUP(buf_clear) struct buf same = saved_output(other, NULL);
        assert_string_equal(page.data, same.data);
        assert_non_null(strstr(list.data, verbs[i]));
        assert_ptr_equal(strstr(page.data, usage), page.data);
        assert_non_null(strstr(page.data, "\nexit codes:\n  0 done"));
        assert_true(strcmp(verbs[i], "numerics") == 0 || strstr(page.data, "\nexample") != NULL);
    }
}

static void results_that_cannot_be_printed_are_a_failure(void **state)
{
    (void)state;
    char program[SAVED_PATH_BYTES], command[2 * SAVED_PATH_BYTES];
    cluster_program("reprise-trainer", program);
    (void)snprintf(command, sizeof(command), "%s numerics >/dev/full", program);
    const char *const argv[] = {"/bin/sh", "-c", command, NULL};
    struct process_result result;
    process_run(argv, NULL, NULL, PATIENCE_MS, &result);
    assert_int_equal(result.exit_code, TRAINER_EXIT_CANNOT_WRITE);
    assert_non_null(strstr(result.err.data, "write to standard output"));
    process_result_clear(&result);
}

/* ------------------------------------------------------------------ tables */

#define LOAN "{'type': 'mlp', 'hidden': [4], 'head': 'sigmoid'}"
#define LOAN_DATA(format)                                                   \
    "'train': {'format': '" format "', 'file': 'loans'}, 'columns': ["      \
    "{'name': 'id', 'kind': 'ignore'}, {'name': 'age', 'kind': 'numeric'}," \
    "{'name': 'y', 'kind': 'label'}], 'classes': {'good': 0, 'bad': 1}"
#define SPLIT ", 'split': {'by': 'hash', 'column': 'id', 'test_share': 0.5}"

/* Rows 1..count, the first `bad` of them bad. */
static void write_loans(int count, int bad, const char *more)
{
    char text[TEXT_BYTES] = "id,age,y\n";
    size_t used = strlen(text);
    for (int i = 1; i <= count; i++)
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%d,%d,%s\n", i, 20 + i % 50,
                                 i <= bad ? "bad" : "good");
    (void)snprintf(text + used, sizeof(text) - used, "%s", more);
    write_file("loans", text);
}

static void a_class_without_records_is_told(void **state)
{
    (void)state;
    write_spec(LOAN, LOAN_DATA("csv") SPLIT, TRAINING);
    write_loans(40, 0, "");
    train(TRAINER_EXIT_DONE, "the training part has no record of 1 of 2 classes: \"bad\"");
    train(TRAINER_EXIT_DONE, "records of the evaluation part are of class \"good\": there is no "
                             "eval_auc");
}

static void a_column_that_is_the_same_everywhere_is_told(void **state)
{
    (void)state;
    write_spec(LOAN, LOAN_DATA("csv"), TRAINING);
    write_file("loans", "id,age,y\n1,,good\n2,NA,bad\n3,,good\n");
    train(TRAINER_EXIT_DONE,
          "column \"age\" has one value or none in all 3 records of the training "
          "part: nothing can be learned from it");
    write_file("loans", "id,age,y\n1,30,good\n2,30,bad\n3,30,good\n");
    train(TRAINER_EXIT_DONE, "column \"age\" has one value or none in all 3 records");
}

static void early_stopping_on_a_missing_auc_says_why(void **state)
{
    (void)state;
    write_spec(LOAN, LOAN_DATA("csv") SPLIT,
               "}, 'training': {'epochs': 2, 'batch_size': 8, "
               "'early_stopping': {'metric': 'eval_auc'}}");
    write_loans(40, 0, "");
    train(TRAINER_EXIT_BAD_SPEC, "/training/early_stopping/metric: this evaluation part has no "
                                 "\"eval_auc\": it needs records of both classes");
}

static void records_that_are_left_out_are_told(void **state)
{
    (void)state;
    write_spec(LOAN, LOAN_DATA("csv") ", 'on_error': 'skip'", TRAINING);
    write_loans(40, 20, "41,old,bad\n42,30,awful\n");
    train(TRAINER_EXIT_DONE, "2 malformed records of the training part were passed over");
    train(TRAINER_EXIT_DONE, "loans:42:2 (age): expected a number, got \"old\"");
}

static void a_warm_up_longer_than_the_job_is_told(void **state)
{
    (void)state;
    write_spec(LOAN, LOAN_DATA("csv"),
               ", 'schedule': {'type': 'constant', 'warmup_steps': 500}" TRAINING);
    write_loans(40, 20, "");
    train(TRAINER_EXIT_DONE, "/optimizer/schedule/warmup_steps is 500, the job has 5 steps");
}

static void a_folder_of_another_job_is_not_resumed(void **state)
{
    (void)state;
    char spec[SAVED_PATH_BYTES], output[SAVED_PATH_BYTES];
    write_spec(LOAN, LOAN_DATA("csv"), TRAINING ", 'checkpoint': {'every_steps': 2}");
    write_loans(40, 20, "");
    train(TRAINER_EXIT_DONE, "");
    write_spec(LOAN, LOAN_DATA("csv"),
               ", 'clip_norm': 1" TRAINING ", 'checkpoint': {'every_steps': 2}");
    (void)snprintf(spec, sizeof(spec), "%s/spec.json", folder);
    (void)snprintf(output, sizeof(output), "%s/out", folder);
    const char *const words[] = {"train",    spec,   "--data",   folder,
                                 "--output", output, "--resume", NULL};
    saved_refused(words, NULL, TRAINER_EXIT_BAD_SPEC, "it is of another spec");
}

/* ------------------------------------------------------------------ texts */

static void texts_without_a_word_are_refused(void **state)
{
    (void)state;
    write_spec(NEWS, NEWS_DATA("tsv"), TRAINING);
    write_file("news", "up\t...\ndown\t\nup\t?!\n");
    train(TRAINER_EXIT_BAD_DATA, "/news: no text of the training part has a word");
}

static void a_model_of_json_lines_predicts_json_lines(void **state)
{
    (void)state;
    char model[SAVED_PATH_BYTES];
    (void)snprintf(model, sizeof(model), "%s/out/model.safetensors", folder);
    write_spec(NEWS, NEWS_DATA("jsonl"), TRAINING);
    write_file("news", "{\"text\": \"profits rose\", \"label\": \"up\"}\n"
                       "{\"label\": \"down\", \"text\": \"profits fell\"}\n");
    train(TRAINER_EXIT_DONE, "");
    const char *const words[] = {"predict", model, "--data", "-", NULL};
    CLEANUP(buf_clear)
    struct buf lines = saved_output(words, "{\"text\": \"profits\\nrose\", \"id\": [1]}\n");
    assert_non_null(strstr(lines.data, "\tprofits rose\n"));
    saved_refused(words, "profits rose\n", TRAINER_EXIT_BAD_DATA, "expected a JSON object");
    saved_refused(words, "{\"txt\": \"profits\"}\n", TRAINER_EXIT_BAD_DATA,
                  "text: expected a text");
}

/* ------------------------------------------------------------------ interactions */

static void a_rank_among_few_candidates_is_told(void **state)
{
    (void)state;
    char text[TEXT_BYTES] = "";
    size_t used = 0;
    for (int i = 0; i < 60; i++)
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%d\t%d\n", i % 6, i / 6);
    write_file("log", text);
    write_spec("{'type': 'ncf', 'variant': 'gmf', 'factors': 4}",
               "'train': {'format': 'interactions', 'file': 'log'}, 'split': {'by': 'hash'}",
               TRAINING);
    train(TRAINER_EXIT_DONE, "6 of 6 evaluation records have 10 candidates or fewer: a hit among "
                             "the first 10 (/model/top_k) says nothing of them");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_spec_that_is_wrong_is_named_with_its_place),
        cmocka_unit_test(words_that_no_verb_takes_are_told),
        cmocka_unit_test(an_option_that_the_verb_has_not_is_refused_with_the_nearest),
        cmocka_unit_test(each_verb_has_a_page_with_an_example_and_its_exit_codes),
        cmocka_unit_test(results_that_cannot_be_printed_are_a_failure),
        cmocka_unit_test(a_class_without_records_is_told),
        cmocka_unit_test(a_column_that_is_the_same_everywhere_is_told),
        cmocka_unit_test(early_stopping_on_a_missing_auc_says_why),
        cmocka_unit_test(records_that_are_left_out_are_told),
        cmocka_unit_test(a_warm_up_longer_than_the_job_is_told),
        cmocka_unit_test(a_folder_of_another_job_is_not_resumed),
        cmocka_unit_test(texts_without_a_word_are_refused),
        cmocka_unit_test(a_model_of_json_lines_predicts_json_lines),
        cmocka_unit_test(a_rank_among_few_candidates_is_told),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
