/*
 * test_jobs.c - the example jobs: each is a valid spec, and each that brings its own invented data
 * trains as it stands, in one process, to a model that has learned what is in there.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <dirent.h>
#include <jansson.h>

#include "base/compiler.h"
#include "base/fs.h"
#include "base/json.h"
#include "tests/integration/cluster.h"
#include "tests/integration/process.h"

#define JOBS        "deploy/jobs"
#define PATIENCE_MS 120000
#define PATH_BYTES  512

static const char suffix[] = ".json";

static bool is_job(const char *name)
{
    const size_t length = strlen(name);
    return length > sizeof(suffix) && strcmp(name + length - sizeof(suffix) + 1, suffix) == 0;
}

static void each_example_job_is_valid(void **state)
{
    (void)state;
    char program[PATH_BYTES], path[PATH_BYTES];
    cluster_program("reprise", program);
    DIR *folder = opendir(JOBS);
    assert_non_null(folder);
    int jobs = 0;
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        if (!is_job(entry->d_name))
            continue;
        struct process_result result;
        (void)snprintf(path, sizeof(path), JOBS "/%s", entry->d_name);
        process_run((const char *const[]){program, "validate", path, NULL}, NULL, NULL, PATIENCE_MS,
                    &result);
        if (result.exit_code != 0)
            fail_msg("%s: %s%s", path, result.out.data, result.err.data);
        process_result_clear(&result);
        jobs++;
    }
    (void)closedir(folder);
    assert_true(jobs >= 9);
}

/* Trains the job on deploy/data and returns the line of its final metrics. */
static json_t *train(const char *job)
{
    char program[PATH_BYTES], path[PATH_BYTES], output[] = "/tmp/reprise-jobs-XXXXXX";
    cluster_program("reprise-trainer", program);
    (void)snprintf(path, sizeof(path), JOBS "/%s.json", job);
    assert_non_null(mkdtemp(output));
    struct process_result result;
    process_run((const char *const[]){program, "train", path, "--data", "deploy/data", "--output",
                                      output, NULL},
                NULL, NULL, PATIENCE_MS, &result);
    if (result.exit_code != 0)
        fail_msg("%s ended with %d: %s", job, result.exit_code, result.err.data);
    json_t *line = json_loads(result.out.data, 0, NULL);
    assert_non_null(line);
    process_result_clear(&result);
    assert_int_equal(fs_remove_tree(output, NULL), STATUS_OK);
    return line;
}

static void assert_reaches(const char *job, const json_t *line, const char *metric, double bar)
{
    const json_t *value = json_object_get(line, metric);
    if (!json_is_number(value) || !(json_number_value(value) >= bar))
        fail_msg("%s: %s is %.4f, expected at least %.4f", job, metric, json_number_value(value),
                 bar);
}

/* PyTorch's same model comes to an AUC of .87 here. */
static void the_credit_job_tells_who_will_default(void **state)
{
    (void)state;
    CLEANUP(json_cleanup) json_t *line = train("credit-small");
    assert_reaches("credit-small", line, "eval_auc", 0.83);
    assert_reaches("credit-small", line, "eval_accuracy", 0.76);
}

/* Two in a hundred labels are wrong: .98 is all that there is. */
static void the_reviews_job_reads_negations(void **state)
{
    (void)state;
    CLEANUP(json_cleanup) json_t *line = train("reviews-small");
    assert_reaches("reviews-small", line, "eval_auc", 0.95);
    assert_reaches("reviews-small", line, "eval_accuracy", 0.93);
}

/* By chance it would be .1. */
static void the_shop_job_finds_the_next_item(void **state)
{
    (void)state;
    CLEANUP(json_cleanup) json_t *line = train("shop-small");
    assert_reaches("shop-small", line, "eval_hr_at_10", 0.9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_example_job_is_valid),
        cmocka_unit_test(the_credit_job_tells_who_will_default),
        cmocka_unit_test(the_reviews_job_reads_negations),
        cmocka_unit_test(the_shop_job_finds_the_next_item),
    };
    process_setup();
    return cmocka_run_group_tests_name("jobs", tests, NULL, NULL);
}
