/*
 * test_trainer_guards.c - what watches over training, seen from outside: losses that are no numbers,
 * replicas that differ, early stopping, the best parameters, the plan of memory.
 *
 * Faults of memory are made by this test: it looks for the parameters in the memory of a running rank
 * and changes a bit there (process_vm_writev), so the program needs no hook.
 */
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fs.h"
#include "base/id.h"
#include "schema/exit_code.h"
#include "tests/integration/gang.h"
#include "trainer/checkpoint_folder.h"
#include "trainer/export/safetensors.h"

#define EVENTS_MAX   4096
#define KILLS        5
#define REGION_BYTES (256 * MIB) /* larger ones are not looked through */

static struct wire_event events[EVENTS_MAX];

static int set_up(void **state)
{
    static struct gang gang;
    gang_open(&gang);
    *state = &gang;
    return 0;
}

static int tear_down(void **state)
{
    gang_close(*state);
    return 0;
}

static const struct gang_start alone = {.world_size = 1};
static const struct gang_start pair = {.world_size = 2, .shared_memory = true};

static struct wire_event end_of(const struct gang *gang, int rank)
{
    struct wire_event end;
    if (!gang_last_event(gang, gang->attempt, rank, EVENT_FINISHED, &end))
        fail_msg("rank %d of attempt %d has no finished event", rank, gang->attempt);
    return end;
}

static double value_of(const struct wire_event *event, const char *name)
{
    for (size_t i = 0; i < event->value_count; i++) {
        if (strcmp(event->values[i].name, name) == 0)
            return event->values[i].value;
    }
    return NAN;
}

/* Warnings of the newest attempt's rank 0 that have `part`; their steps go to `steps`. */
static int warnings_with(const struct gang *gang, const char *part, int64_t *steps, int max)
{
    const int count = gang_events(gang, gang->attempt, 0, events, EVENTS_MAX);
    int found = 0;
    for (int i = 0; i < count; i++) {
        if (events[i].kind != EVENT_WARNING || strstr(events[i].text, part) == NULL)
            continue;
        if (steps != NULL && found < max)
            steps[found] = events[i].step;
        found++;
    }
    return found;
}

/* ------------------------------------------------------------------ losses that are no numbers */

/* Weight decay times a rate that warms up without end: weights grow from a step on, until they overflow. */
static void make_explosive(struct gang *gang, const char *policy)
{
    gang_set(gang, "optimizer",
             json_pack("{s:s, s:f, s:f, s:f, s:{s:s, s:i}}", "type", "sgd", "lr", 200.0,
                       "weight_decay", 1.0, "momentum", 0.5, "schedule", "type", "constant",
                       "warmup_steps", 2000));
    gang_set(gang, "training.steps", json_integer(2000));
    gang_set(gang, "training.guards",
             strcmp(policy, "fail") == 0
                 ? json_pack("{s:s}", "on_nan", policy)
                 : json_pack("{s:s, s:i, s:f, s:f}", "on_nan", policy, "max_rollbacks", 8,
                             "rollback_lr_factor", 0.1, "loss_spike", 3.0));
}

static void a_loss_that_is_no_number_fails_with_its_step_and_its_ranks(void **state)
{
    struct gang *gang = *state;
    make_explosive(gang, "fail");

    gang_run(gang, &pair, TRAINER_EXIT_INTERNAL);

    for (int rank = 0; rank < 2; rank++) {
        const struct wire_event end = end_of(gang, rank);
        char expected[128];
        (void)snprintf(expected, sizeof(expected),
                       "step %lld: the loss is not a number on all 2 ranks",
                       (long long)end.step + 1);
        assert_string_equal(end.status, "failed");
        assert_string_equal(end.text, expected);
    }
}

static void a_rollback_goes_on_with_a_lower_rate_and_says_so(void **state)
{
    struct gang *gang = *state;
    make_explosive(gang, "rollback");

    gang_run(gang, &alone, TRAINER_EXIT_DONE);

    int64_t steps[16], spikes[256];
    const int rollbacks = warnings_with(gang, "back to step", steps, 16);
    assert_in_range(rollbacks, 2, 8);
    for (int i = 0; i < rollbacks; i++)
        assert_int_equal(steps[i] % 50, 0);
    assert_int_equal(steps[0], 0); /* what had jumped already is no place to go back to */
    assert_int_equal(
        warnings_with(gang, "with 0.01 times the learning rate (rollback 2 of at most 8)", NULL, 0),
        1);
    const int spike_count = warnings_with(gang, "the loss jumped to", spikes, 256);
    assert_true(spike_count > 2);
    for (int i = 1; i < spike_count; i++) /* one in a window of 20, unless it was gone back over */
        assert_true(spikes[i] < spikes[i - 1] || spikes[i] / 20 > spikes[i - 1] / 20);
    const struct wire_event end = end_of(gang, 0);
    assert_int_equal(end.step, 2000);
    assert_true(isfinite(value_of(&end, "loss")));
}

static void too_many_rollbacks_fail(void **state)
{
    struct gang *gang = *state;
    make_explosive(gang, "rollback");
    gang_set(gang, "training.guards.max_rollbacks", json_integer(1));

    gang_run(gang, &alone, TRAINER_EXIT_INTERNAL);

    const struct wire_event end = end_of(gang, 0);
    assert_non_null(strstr(end.text, "the loss is not a number, after 1 rollbacks"));
}

/* A line to fit, and an evaluation whose error overflows. */
static void make_overflow(struct gang *gang)
{
    static const char train[] = "x,y\n0.1,0.2\n0.5,1.0\n0.7,1.4\n0.9,1.8\n";
    static const char eval[] = "x,y\n1e30,1\n2,4\n";
    char path[GANG_PATH_BYTES];
    (void)snprintf(gang->data, sizeof(gang->data), "%s", gang->folder);
    (void)snprintf(path, sizeof(path), "%s/train.csv", gang->folder);
    assert_int_equal(fs_replace_file(path, train, strlen(train), 0644, NULL), STATUS_OK);
    (void)snprintf(path, sizeof(path), "%s/eval.csv", gang->folder);
    assert_int_equal(fs_replace_file(path, eval, strlen(eval), 0644, NULL), STATUS_OK);
    gang_set(gang, "data",
             json_pack("{s:{s:s, s:s}, s:{s:s, s:s}, s:s, s:s, s:[{s:s, s:s}, {s:s, s:s}]}",
                       "train", "format", "csv", "file", "train.csv", "eval", "format", "csv",
                       "file", "eval.csv", "root", "line", "normalize", "none", "columns", "name",
                       "x", "kind", "numeric", "name", "y", "kind", "label"));
    gang_set(gang, "model",
             json_pack("{s:s, s:[i], s:s}", "type", "mlp", "hidden", 4, "head", "linear"));
    gang_set(gang, "training.batch_size", json_integer(2));
    gang_set(gang, "training.steps", json_integer(100));
    gang_set(gang, "training.eval_every_epochs", json_integer(30));
}

static void a_figure_that_is_not_finite_is_taken_as_such_a_loss(void **state)
{
    struct gang *gang = *state;
    make_overflow(gang);
    gang_run(gang, &alone, TRAINER_EXIT_INTERNAL);
    struct wire_event end = end_of(gang, 0);
    assert_string_equal(end.text, "step 60: eval_loss is not finite");

    gang_set(gang, "training.guards",
             json_pack("{s:s, s:i}", "on_nan", "rollback", "max_rollbacks", 2));
    gang_run(gang, &alone, TRAINER_EXIT_INTERNAL);
    end = end_of(gang, 0);
    assert_string_equal(end.text, "step 60: eval_loss is not finite, after 2 rollbacks");
    assert_int_equal(warnings_with(gang, "back to step 50", NULL, 0), 2);
}

/* The only step has a loss that is a number, and a gradient that is not when it is multiplied by the rate. */
static void a_last_step_that_overflows_is_no_success(void **state)
{
    struct gang *gang = *state;
    static const char train[] = "x,y\n3e18,1\n";
    char path[GANG_PATH_BYTES];
    make_overflow(gang);
    (void)snprintf(path, sizeof(path), "%s/train.csv", gang->folder);
    assert_int_equal(fs_replace_file(path, train, strlen(train), 0644, NULL), STATUS_OK);
    gang_set(gang, "data.eval", NULL);
    gang_set(gang, "model.hidden", json_array());
    gang_set(gang, "optimizer", json_pack("{s:s, s:f}", "type", "sgd", "lr", 1000.0));
    gang_set(gang, "training",
             json_pack("{s:i, s:i, s:i}", "steps", 1, "batch_size", 2, "eval_every_epochs", 0));
    for (int ranks = 1; ranks <= 2; ranks++) {
        gang_run(gang, &(struct gang_start){.world_size = ranks}, TRAINER_EXIT_INTERNAL);
        const struct wire_event failed = end_of(gang, 0);
        assert_string_equal(failed.text, "step 1: parameters are not finite");
    }
    gang_set(gang, "training.guards",
             json_pack("{s:s, s:f}", "on_nan", "rollback", "rollback_lr_factor", 1e-6));
    gang_run(gang, &pair, TRAINER_EXIT_DONE);
    assert_int_equal(
        warnings_with(gang, "step 1: parameters are not finite: back to step 0", NULL, 0), 1);
}

/* Kills ranks at random moments until an attempt gets through; the file must be the expected one. */
static void kill_until_done(struct gang *gang, struct gang_start start, uint64_t seed,
                            int64_t last_step, const char expected[65])
{
    uint64_t random = seed;
    int64_t resume_step = 0;
    for (int i = 0; i < KILLS && resume_step < last_step; i++) {
        const int victim = i % start.world_size;
        start.resume_step = resume_step;
        gang_start(gang, &start);
        gang_await(gang, 0, EVENT_CHECKPOINT, 1);
        (void)usleep((useconds_t)(splitmix64_next(&random) % 40000));
        (void)kill(gang->pids[victim], SIGKILL);
        for (int rank = 0; rank < start.world_size; rank++)
            (void)gang_wait(gang, rank);
        struct wire_event checkpoint;
        assert_true(gang_last_event(gang, gang->attempt, 0, EVENT_CHECKPOINT, &checkpoint));
        resume_step = checkpoint.step;
    }
    if (resume_step < last_step) {
        start.resume_step = resume_step;
        gang_run(gang, &start, TRAINER_EXIT_DONE);
    }
    char actual[65];
    gang_model_sha256(gang, actual);
    assert_string_equal(actual, expected);
}

static void a_killed_job_that_rolls_back_ends_with_the_same_file(void **state)
{
    struct gang *gang = *state;
    char expected[65];
    make_explosive(gang, "rollback");
    gang_run(gang, &alone, TRAINER_EXIT_DONE);
    gang_model_sha256(gang, expected);

    kill_until_done(gang, alone, 1, 2000, expected);
}

static void a_killed_gang_that_rolls_back_ends_with_the_same_file(void **state)
{
    struct gang *gang = *state;
    static const char *const modes[] = {"sharded", "parameter_server"};
    make_explosive(gang, "rollback");
    gang_set(gang, "resources", json_pack("{s:i}", "ranks", 2));
    for (size_t i = 0; i < COUNT_OF(modes); i++) {
        char expected[65];
        gang_set(gang, "training.sync", json_string(modes[i]));
        gang_set(gang, "training.servers", i == 1 ? json_integer(1) : NULL);
        gang_run(gang, &pair, TRAINER_EXIT_DONE);
        assert_true(warnings_with(gang, "back to step", NULL, 0) >= 2);
        gang_model_sha256(gang, expected);

        kill_until_done(gang, pair, 2, 2000, expected);
    }
}

static void rollbacks_and_choices_are_the_same_on_any_number_of_ranks(void **state)
{
    struct gang *gang = *state;
    const struct gang_start four = {.world_size = 4, .shared_memory = true};
    char expected[65], actual[65];
    make_explosive(gang, "rollback");
    gang_set(gang, "training.reproducible", json_true());
    gang_set(gang, "training.micro_shards", json_integer(4));
    gang_set(gang, "training.eval_every_epochs", json_integer(4));
    gang_set(gang, "checkpoint.best",
             json_pack("{s:s, s:s}", "metric", "eval_loss", "mode", "min"));
    gang_run(gang, &alone, TRAINER_EXIT_DONE);
    assert_true(warnings_with(gang, "back to step", NULL, 0) >= 2);
    gang_model_sha256(gang, expected);

    gang_run(gang, &four, TRAINER_EXIT_DONE);

    gang_model_sha256(gang, actual);
    assert_string_equal(actual, expected);
}

/* ------------------------------------------------------------------ faults of memory */

/* Values that stay where they are: steps are too small to change a float. */
static void make_still(struct gang *gang)
{
    gang_set(gang, "optimizer", json_pack("{s:s, s:f}", "type", "sgd", "lr", 1e-12));
    gang_set(gang, "training.steps", json_integer(1000000));
    gang_set(gang, "checkpoint.every_steps", json_integer(1000000));
}

/* The first values of the parameters, from a checkpoint that is asked for. */
static void read_still(struct gang *gang, float *out, size_t count)
{
    char path[GANG_PATH_BYTES];
    struct error err = {.status = STATUS_OK};
    gang_await(gang, 0, EVENT_PROGRESS, 1);
    (void)kill(gang->pids[0], SIGUSR1);
    gang_await(gang, 0, EVENT_CHECKPOINT, 1);
    (void)snprintf(path, sizeof(path), "%s/checkpoints/step-%06lld/" CHECKPOINT_SHARD_NAME,
                   gang->folder, (long long)gang_newest_step(gang));
    struct safetensors *file = NULL;
    if (safetensors_open(path, &file, &err) != STATUS_OK)
        fail_msg("%s", err.text);
    size_t tensors = 0;
    memcpy(out, safetensors_tensors(file, &tensors)[0].values, count * sizeof(float));
    safetensors_close(file);
}

/*
 * Puts `value` in place of the first float wherever a process has these; the number of places. Ranks
 * that share memory have each other's too, so those of these tests do not.
 */
static int overwrite_in_region(pid_t pid, uintptr_t begin, size_t size, const float *pattern,
                               size_t count, float value)
{
    uint8_t *copy = malloc(size);
    assert_non_null(copy);
    struct iovec here = {.iov_base = copy, .iov_len = size};
    struct iovec there = {.iov_base = (void *)begin, .iov_len = size};
    const ssize_t got = process_vm_readv(pid, &here, 1, &there, 1, 0);
    int found = 0;
    for (size_t at = 0; got > 0 && at + count * sizeof(float) <= (size_t)got; at += sizeof(float)) {
        if (memcmp(copy + at, pattern, count * sizeof(float)) != 0)
            continue;
        here = (struct iovec){.iov_base = &value, .iov_len = sizeof(value)};
        there = (struct iovec){.iov_base = (void *)(begin + at), .iov_len = sizeof(value)};
        assert_int_equal(process_vm_writev(pid, &here, 1, &there, 1, 0), sizeof(value));
        found++;
    }
    free(copy);
    return found;
}

static void overwrite(pid_t pid, const float *pattern, size_t count, float value)
{
    char path[64], line[512];
    (void)snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
    FILE *maps = fopen(path, "re");
    assert_non_null(maps);
    int found = 0;
    while (fgets(line, sizeof(line), maps) != NULL) {
        char *rest = NULL;
        const uintptr_t begin = (uintptr_t)strtoull(line, &rest, 16);
        const uintptr_t end = (uintptr_t)strtoull(rest + 1, &rest, 16);
        if (strncmp(rest, " rw-p", 5) == 0 && end - begin <= REGION_BYTES)
            found += overwrite_in_region(pid, begin, end - begin, pattern, count, value);
    }
    (void)fclose(maps);
    assert_true(found > 0);
}

static void a_flipped_bit_of_a_replica_is_a_device_fault_that_names_its_rank(void **state)
{
    struct gang *gang = *state;
    const struct gang_start three = {.world_size = 3};
    float values[16], flipped = 0.0F;
    make_still(gang);
    gang_set(gang, "training.guards", json_pack("{s:i}", "replica_check_steps", 25));
    gang_start(gang, &three);
    read_still(gang, values, COUNT_OF(values));
    uint32_t bits = 0;
    memcpy(&bits, &values[0], sizeof(bits));
    bits ^= 1U << 3;
    memcpy(&flipped, &bits, sizeof(flipped));

    overwrite(gang->pids[2], values, COUNT_OF(values), flipped);

    for (int rank = 0; rank < 3; rank++) {
        assert_int_equal(gang_wait(gang, rank), TRAINER_EXIT_DEVICE_FAULT);
        const struct wire_event end = end_of(gang, rank);
        assert_non_null(strstr(end.text, "replicas differ"));
        assert_non_null(strstr(end.text, "on 1 of 3 ranks: 2"));
    }
}

static void a_loss_spoiled_by_one_rank_names_it(void **state)
{
    struct gang *gang = *state;
    float values[16];
    make_still(gang);
    gang_start(gang, &(struct gang_start){.world_size = 2});
    read_still(gang, values, COUNT_OF(values));

    overwrite(gang->pids[1], values, COUNT_OF(values), NAN);

    for (int rank = 0; rank < 2; rank++) {
        assert_int_equal(gang_wait(gang, rank), TRAINER_EXIT_INTERNAL);
        const struct wire_event end = end_of(gang, rank);
        assert_non_null(strstr(end.text, "the loss is not a number on rank 1"));
    }
}

/* ------------------------------------------------------------------ early stopping, best */

/* A small model that soon learns its 2,000 images by heart, evaluated each epoch. */
static void make_overfit(struct gang *gang)
{
    gang_set(gang, "optimizer.lr", json_real(0.01));
    gang_set(gang, "training.steps", json_integer(3000));
    gang_set(gang, "training.eval_every_epochs", json_integer(1));
    gang_set(gang, "training.early_stopping",
             json_pack("{s:s, s:s, s:i, s:f}", "metric", "eval_loss", "mode", "min", "patience", 3,
                       "min_delta", 0.01));
    gang_set(gang, "checkpoint.best",
             json_pack("{s:s, s:s}", "metric", "eval_loss", "mode", "min"));
}

static int read_evaluations(const struct gang *gang, double *losses, int64_t *steps, int max)
{
    const int count = gang_events(gang, gang->attempt, 0, events, EVENTS_MAX);
    int found = 0;
    for (int i = 0; i < count; i++) {
        const double loss = value_of(&events[i], "eval_loss");
        if (events[i].kind != EVENT_METRIC || isnan(loss))
            continue;
        assert_true(found < max);
        steps[found] = events[i].step;
        losses[found++] = loss;
    }
    return found;
}

static void early_stopping_comes_where_its_events_say_and_the_best_is_exported(void **state)
{
    struct gang *gang = *state;
    make_overfit(gang);

    gang_run(gang, &pair, TRAINER_EXIT_DONE);

    double losses[128];
    int64_t steps[128];
    const int count = read_evaluations(gang, losses, steps, 128);
    int reference = 0, best = 0, stop = 0;
    for (int i = 1; i < count && stop == 0; i++) { /* by hand: patience 3, min_delta 0.01 */
        best = losses[i] < losses[best] ? i : best;
        if (losses[i] < losses[reference] - 0.01)
            reference = i;
        else if (i - reference == 3)
            stop = i;
    }
    assert_true(stop > 3);
    assert_int_equal(stop, count - 1);
    const struct wire_event end = end_of(gang, 0);
    assert_string_equal(end.status, "succeeded");
    assert_int_equal(end.step, steps[stop]);
    assert_true(value_of(&end, "stopped_early_step") == (double)steps[stop]);
    assert_true(value_of(&end, "best_step") == (double)steps[best]);
    assert_true(value_of(&end, "eval_loss") == losses[best]);
    assert_int_equal(warnings_with(gang, "early stopping after step", NULL, 0), 1);
    struct wire_event progress; /* nobody is told that 3,000 steps were done */
    assert_true(gang_last_event(gang, gang->attempt, 0, EVENT_PROGRESS, &progress));
    assert_true(progress.step == steps[stop] && progress.of == steps[stop]);

    int told = 0; /* the last step's own figures, whatever metrics_every_steps is */
    const int all = gang_events(gang, gang->attempt, 0, events, EVENTS_MAX);
    for (int i = 0; i < all; i++)
        told += events[i].kind == EVENT_METRIC && events[i].step == steps[stop] &&
                isfinite(value_of(&events[i], "loss"));
    assert_int_equal(told, 1);

    /* The same job, told to end at the best step, has the same tensors. */
    gang_set(gang, "training.early_stopping", NULL);
    gang_set(gang, "checkpoint.best", NULL);
    gang_set(gang, "training.steps", json_integer(steps[best]));
    gang_run(gang, &pair, TRAINER_EXIT_DONE);
    const struct wire_event shorter = end_of(gang, 0);
    assert_string_equal(shorter.sha256, end.sha256);
}

static void a_killed_job_that_stops_early_ends_with_the_same_file(void **state)
{
    struct gang *gang = *state;
    char expected[65];
    make_overfit(gang);
    gang_run(gang, &alone, TRAINER_EXIT_DONE);
    gang_model_sha256(gang, expected);

    kill_until_done(gang, alone, 3, 3000, expected);
}

/* ------------------------------------------------------------------ memory */

static void no_rank_takes_more_memory_than_it_planned(void **state)
{
    struct gang *gang = *state;
    gang_run(gang, &pair, TRAINER_EXIT_DONE);
    const struct wire_event end = end_of(gang, 0);
    const double plan = value_of(&end, "memory_plan_bytes");
    const double peak = value_of(&end, "memory_peak_bytes");
    assert_true(plan > 64.0 * MIB && plan < 80.0 * MIB);
    assert_true(peak > 1.0 * MIB && peak <= plan);
    assert_int_equal(warnings_with(gang, "memory: this rank took", NULL, 0), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_loss_that_is_no_number_fails_with_its_step_and_its_ranks),
        TEST(a_rollback_goes_on_with_a_lower_rate_and_says_so),
        TEST(too_many_rollbacks_fail),
        TEST(a_figure_that_is_not_finite_is_taken_as_such_a_loss),
        TEST(a_last_step_that_overflows_is_no_success),
        TEST(a_killed_job_that_rolls_back_ends_with_the_same_file),
        TEST(a_killed_gang_that_rolls_back_ends_with_the_same_file),
        TEST(rollbacks_and_choices_are_the_same_on_any_number_of_ranks),
        TEST(a_flipped_bit_of_a_replica_is_a_device_fault_that_names_its_rank),
        TEST(a_loss_spoiled_by_one_rank_names_it),
        TEST(early_stopping_comes_where_its_events_say_and_the_best_is_exported),
        TEST(a_killed_job_that_stops_early_ends_with_the_same_file),
        TEST(no_rank_takes_more_memory_than_it_planned),
    };
    return cmocka_run_group_tests_name("trainer_guards", tests, NULL, NULL);
}
