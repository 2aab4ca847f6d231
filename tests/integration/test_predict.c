/*
 * test_predict.c - saved models in use: `evaluate` gives what the job reported, to the last digit, and
 * refuses what is no model.
 */
#include <jansson.h>
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
#include "tests/integration/process.h"

#define PATH_BYTES 512
#define VERB_MS    60000
#define WORDS_MAX  12

static int set_up(void **state)
{
    static struct gang gang;
    gang_open(&gang);
    gang_set(&gang, "training.steps", json_integer(60));
    *state = &gang;
    return 0;
}

static int tear_down(void **state)
{
    gang_close(*state);
    return 0;
}

/* Runs reprise-trainer with these words; the result is to be cleared. */
static void run_verb(const char *const *words, struct process_result *out)
{
    char program[PATH_BYTES];
    const char *argv[WORDS_MAX + 2] = {program};
    cluster_program("reprise-trainer", program);
    for (int i = 0; i < WORDS_MAX && words[i] != NULL; i++)
        argv[i + 1] = words[i];
    process_run(argv, NULL, NULL, VERB_MS, out);
}

/* Runs it, and parses the one line of JSON that it prints. */
static json_t *run_to_json(const char *const *words)
{
    struct process_result result;
    run_verb(words, &result);
    if (result.exit_code != 0)
        fail_msg("%s: exit %d: %s", words[0], result.exit_code, result.err.data);
    struct error err = {.status = STATUS_OK};
    json_t *line = NULL;
    if (json_parse(result.out.data, result.out.size, &line, &err) != STATUS_OK)
        fail_msg("%s: %s", result.out.data, err.text);
    process_result_clear(&result);
    return line;
}

static void assert_refused(const char *const *words, int code, const char *text)
{
    struct process_result result;
    run_verb(words, &result);
    assert_int_equal(result.exit_code, code);
    if (strstr(result.err.data, text) == NULL)
        fail_msg("expected \"%s\" in: %s", text, result.err.data);
    process_result_clear(&result);
}

static void evaluate_gives_the_jobs_own_figures_to_the_last_digit(void **state)
{
    struct gang *gang = *state;
    const struct gang_start start = {.world_size = 2, .shared_memory = true};
    gang_run(gang, &start, TRAINER_EXIT_DONE);
    struct wire_event finished;
    assert_true(gang_last_event(gang, 1, 0, EVENT_FINISHED, &finished));
    char model[PATH_BYTES];
    (void)snprintf(model, sizeof(model), "%s/out/model.safetensors", gang->folder);
    const char *const words[] = {"evaluate", model, "--data", gang->data, NULL};
    CLEANUP(json_cleanup) json_t *line = run_to_json(words);
    size_t compared = 0;
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

static void other_records_are_evaluated_and_said_to_be_other(void **state)
{
    struct gang *gang = *state;
    const struct gang_start start = {.world_size = 1};
    gang_run(gang, &start, TRAINER_EXIT_DONE);
    char model[PATH_BYTES];
    (void)snprintf(model, sizeof(model), "%s/out/model.safetensors", gang->folder);
    const char *const words[] = {"evaluate", model,
                                 "--data",   gang->data,
                                 "--file",   "train-images-idx3-ubyte.gz",
                                 "--labels", "train-labels-idx1-ubyte.gz",
                                 NULL};
    CLEANUP(json_cleanup) json_t *line = run_to_json(words);
    assert_true(json_is_false(json_object_get(line, "same_data")));
    assert_int_equal(json_integer_value(json_object_get(line, "records")), 10000);
    const char *const unlabelled[] = {
        "evaluate", model, "--data", gang->data, "--file", "train-images-idx3-ubyte.gz", NULL};
    assert_refused(unlabelled, TRAINER_EXIT_BAD_DATA, "labels are in a file of their own");
}

static void what_is_no_model_is_refused_by_name(void **state)
{
    struct gang *gang = *state;
    const char *const missing[] = {"evaluate", "/nowhere/m", "--data", gang->data, NULL};
    assert_refused(missing, TRAINER_EXIT_BAD_DATA, "/nowhere/m");
    char path[PATH_BYTES];
    (void)snprintf(path, sizeof(path), "%s/text", gang->folder);
    static const char text[] = "this is no model at all, but a text";
    struct error err = {.status = STATUS_OK};
    assert_int_equal(fs_replace_file(path, text, sizeof(text), 0644, &err), STATUS_OK);
    const char *const no_model[] = {"evaluate", path, "--data", gang->data, NULL};
    assert_refused(no_model, TRAINER_EXIT_BAD_DATA, path);
    const char *const no_data[] = {"evaluate", path, NULL};
    assert_refused(no_data, TRAINER_EXIT_BAD_SPEC, "evaluate needs --data DIR");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(evaluate_gives_the_jobs_own_figures_to_the_last_digit,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(other_records_are_evaluated_and_said_to_be_other, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_is_no_model_is_refused_by_name, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
