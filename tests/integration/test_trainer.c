/*
 * test_trainer.c - real trainers, alone and in gangs: what they leave behind does not depend on how
 * often they were killed; signals, exit codes and events are those of the contract.
 */
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/id.h"
#include "schema/exit_code.h"
#include "tests/integration/cluster.h"
#include "tests/integration/gang.h"
#include "trainer/checkpoint.h"
#include "trainer/checkpoint_folder.h"

#define KILLS 6

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

static struct gang_start resume(struct gang_start start, const struct gang *gang)
{
    start.resume_step = gang_newest_step(gang);
    return start;
}

/* ------------------------------------------------------------------ killed and resumed */

/* Lets the attempt come to its next checkpoint and kills `victim` a random moment later. */
static void kill_at_random(struct gang *gang, int victim, uint64_t *random)
{
    gang_await(gang, 0, EVENT_CHECKPOINT, 1);
    (void)usleep((useconds_t)(splitmix64_next(random) % 15000));
    (void)kill(gang->pids[victim], SIGKILL);
}

static void a_killed_and_resumed_rank_gives_the_same_file(void **state)
{
    struct gang *gang = *state;
    gang_set(gang, "training.steps", json_integer(3000));
    gang_set(gang, "training.eval_every_epochs", json_integer(3));
    char expected[65], actual[65];
    gang_run(gang, &alone, TRAINER_EXIT_DONE);
    gang_model_sha256(gang, expected);
    struct wire_event whole, resumed;
    assert_true(gang_last_event(gang, 1, 0, EVENT_FINISHED, &whole));
    uint64_t random = 1;
    struct gang_start start =
        alone; /* the first of these is fresh: its checkpoints replace the old */

    for (int i = 0; i < KILLS; i++) {
        gang_start(gang, &start);
        kill_at_random(gang, 0, &random);
        (void)gang_wait(gang, 0);
        struct wire_event checkpoint;
        assert_true(gang_last_event(gang, gang->attempt, 0, EVENT_CHECKPOINT, &checkpoint));
        start.resume_step = checkpoint.step;
    }
    if (start.resume_step < 3000)
        gang_run(gang, &start, TRAINER_EXIT_DONE);

    gang_model_sha256(gang, actual);
    assert_string_equal(actual, expected);
    assert_true(gang_last_event(gang, gang->attempt, 0, EVENT_FINISHED, &resumed));
    assert_string_equal(resumed.sha256, whole.sha256);
}

static void a_gang_that_lost_a_rank_resumes_to_the_same_file(void **state)
{
    struct gang *gang = *state;
    struct gang_start start = {.world_size = 2, .shared_memory = true};
    gang_set(gang, "training.steps", json_integer(2000));
    char expected[65], actual[65];
    gang_run(gang, &start, TRAINER_EXIT_DONE);
    gang_model_sha256(gang, expected);
    uint64_t random = 2;

    for (int i = 0; i < 4; i++) {
        const int victim = i % 2;
        start.shared_memory = i < 2; /* links do not matter: the order of sums is the same */
        gang_start(gang, &start);
        kill_at_random(gang, victim, &random);
        assert_int_equal(gang_wait(gang, victim), 128 + SIGKILL);
        assert_int_equal(gang_wait(gang, 1 - victim), TRAINER_EXIT_PEER_LOST);
        struct wire_event checkpoint;
        assert_true(gang_last_event(gang, gang->attempt, 0, EVENT_CHECKPOINT, &checkpoint));
        start.resume_step = checkpoint.step;
    }
    gang_run(gang, &start, TRAINER_EXIT_DONE);

    gang_model_sha256(gang, actual);
    assert_string_equal(actual, expected);
}

/* Every metric of a resumed attempt is the uninterrupted one's, down to the last bit. */
static void resumed_metric_windows_are_those_of_an_uninterrupted_run(void **state)
{
    struct gang *gang = *state;
    gang_set(gang, "training.metrics_every_steps",
             json_integer(70)); /* windows cross checkpoints */
    gang_set(gang, "checkpoint.every_steps",
             json_integer(200)); /* no other is being written then */
    gang_run(gang, &alone, TRAINER_EXIT_DONE);
    const struct gang_start half = {.world_size = 1, .resume_step = 200};
    gang_run(gang, &half, TRAINER_EXIT_DONE);
    static struct wire_event whole[128], resumed[128];
    const int whole_count = gang_events(gang, 1, 0, whole, 128);
    const int resumed_count = gang_events(gang, 2, 0, resumed, 128);
    int compared = 0;
    for (int i = 0; i < resumed_count; i++) {
        for (int j = 0; j < whole_count; j++) {
            if (resumed[i].kind != EVENT_METRIC || whole[j].kind != EVENT_METRIC ||
                resumed[i].step != whole[j].step ||
                strcmp(resumed[i].values[0].name, whole[j].values[0].name) != 0)
                continue;
            assert_true(resumed[i].values[0].value == whole[j].values[0].value);
            assert_true(resumed[i].values[1].value == whole[j].values[1].value);
            compared++;
        }
    }
    assert_int_equal(compared, 6); /* 210, 280, 350, 400; evaluations at 314 and 400 */
}

static void threads_in_the_environment_change_nothing(void **state)
{
    struct gang *gang = *state;
    char expected[65], actual[65];
    struct gang_start start = alone;
    gang_run(gang, &start, TRAINER_EXIT_DONE);
    gang_model_sha256(gang, expected);
    start.threads = "2";

    gang_run(gang, &start, TRAINER_EXIT_DONE);

    gang_model_sha256(gang, actual);
    assert_string_equal(actual, expected);
}

/* ------------------------------------------------------------------ signals */

static void sigterm_stops_all_ranks_after_the_same_step_with_a_checkpoint(void **state)
{
    struct gang *gang = *state;
    struct gang_start start = {.world_size = 2, .shared_memory = true};
    gang_set(gang, "training.steps", json_integer(200000));
    gang_start(gang, &start);
    gang_await(gang, 0, EVENT_CHECKPOINT, 1);

    (void)kill(gang->pids[1], SIGTERM); /* one of them is enough */

    struct wire_event ends[2], checkpoint;
    for (int rank = 0; rank < 2; rank++) {
        assert_int_equal(gang_wait(gang, rank), TRAINER_EXIT_STOPPED);
        assert_true(gang_last_event(gang, 1, rank, EVENT_FINISHED, &ends[rank]));
        assert_string_equal(ends[rank].status, "stopped");
    }
    assert_int_equal(ends[0].step, ends[1].step);
    assert_true(gang_last_event(gang, 1, 0, EVENT_CHECKPOINT, &checkpoint));
    assert_int_equal(checkpoint.step, ends[0].step);
    assert_int_equal(gang_newest_step(gang), ends[0].step);
    gang_set(gang, "name", json_string("gang")); /* as it was: the hash of the spec is the same */
    const struct gang_start again = resume(start, gang);
    gang_start(gang, &again);
    gang_await(gang, 0, EVENT_PROGRESS, 1);
    struct wire_event first;
    assert_true(gang_last_event(gang, 2, 0, EVENT_STARTED, &first));
    assert_int_equal(first.resume_step, ends[0].step);
}

static void sigusr1_takes_a_checkpoint_and_goes_on(void **state)
{
    struct gang *gang = *state;
    gang_set(gang, "training.steps", json_integer(4000));
    gang_set(gang, "checkpoint", json_pack("{s:i}", "every_steps", 1000000));
    gang_start(gang, &alone);
    gang_await(gang, 0, EVENT_PROGRESS, 1);

    (void)kill(gang->pids[0], SIGUSR1);

    gang_await(gang, 0, EVENT_CHECKPOINT, 1);
    assert_int_equal(gang_wait(gang, 0), TRAINER_EXIT_DONE);
    struct wire_event checkpoint;
    assert_true(gang_last_event(gang, 1, 0, EVENT_CHECKPOINT, &checkpoint));
    assert_true(checkpoint.step > 0 && checkpoint.step < 4000);
}

static void checkpoints_also_come_by_the_clock(void **state)
{
    struct gang *gang = *state;
    gang_set(gang, "training.steps", json_integer(1000000));
    gang_set(gang, "checkpoint", json_pack("{s:s}", "every", "1s"));
    gang_start(gang, &alone);
    gang_await(gang, 0, EVENT_CHECKPOINT, 2);
    (void)kill(gang->pids[0], SIGTERM);
    assert_int_equal(gang_wait(gang, 0), TRAINER_EXIT_STOPPED);
}

/* ------------------------------------------------------------------ events */

static void events_are_numbered_and_say_what_the_contract_says(void **state)
{
    struct gang *gang = *state;
    gang_run(gang, &(struct gang_start){.world_size = 2}, TRAINER_EXIT_DONE);
    static struct wire_event events[128];
    const int count = gang_events(gang, 1, 0, events, 128);
    assert_true(count > 20 && count < 128);
    int64_t metric_step = 0, checkpoints = 0, first_progress = 0, last_progress = 0;
    bool evaluated = false;
    for (int i = 0; i < count; i++) {
        const struct wire_event *event = &events[i];
        assert_int_equal(event->seq, i + 1);
        assert_int_equal(event->rank, 0);
        assert_true(event->wall_ms > 0 && event->boot_ms > 0);
        if (event->kind == EVENT_METRIC && strcmp(event->values[0].name, "loss") == 0) {
            assert_int_equal(event->step, metric_step + 20);
            assert_int_equal(event->epoch, (event->step - 1) / 157);
            assert_string_equal(event->values[1].name, "accuracy");
            assert_string_equal(event->values[2].name, "samples_per_second");
            metric_step = event->step;
        }
        evaluated |=
            event->kind == EVENT_METRIC && strcmp(event->values[1].name, "eval_accuracy") == 0;
        if (event->kind == EVENT_CHECKPOINT) {
            assert_int_equal(event->shard, 0);
            assert_int_equal(event->shard_of, 1);
            assert_true(event->bytes > 0 && strlen(event->sha256) == 64);
            assert_true(fs_exists(event->path));
            assert_true(event->snapshot_wall_ms > 0 && event->snapshot_wall_ms <= event->wall_ms);
            checkpoints++;
        }
        if (event->kind == EVENT_PROGRESS) {
            assert_int_equal(event->of, 400);
            first_progress = first_progress == 0 ? event->step : first_progress;
            last_progress = event->step;
        }
    }
    assert_int_equal(events[0].kind, EVENT_STARTED);
    assert_int_equal(events[0].world_size, 2);
    assert_int_equal(events[0].resume_step, 0);
    assert_int_equal(metric_step, 400);
    assert_int_equal(first_progress, 1);
    assert_int_equal(last_progress, 400);
    assert_in_range(checkpoints, 1, 8); /* what falls due in its predecessor's write comes later */
    assert_true(evaluated);
    const struct wire_event *end = &events[count - 1];
    assert_int_equal(end->kind, EVENT_FINISHED);
    assert_string_equal(end->status, "succeeded");
    assert_true(fs_exists(end->path) && strlen(end->sha256) == 64 && end->value_count >= 4);
    assert_int_equal(gang_events(gang, 1, 1, events, 128), 2); /* rank 1: started, finished */
}

static double final_value(const struct gang *gang, const char *name)
{
    struct wire_event end;
    assert_true(gang_last_event(gang, gang->attempt, 0, EVENT_FINISHED, &end));
    for (size_t i = 0; i < end.value_count; i++) {
        if (strcmp(end.values[i].name, name) == 0)
            return end.values[i].value;
    }
    fail_msg("the finished event has no %s", name);
    return 0.0;
}

/* 10,000 records in batches of 64 leave 16; with 4 ranks each has 4. One of 9,999 leaves 15. */
static void one_two_and_four_ranks_learn_the_same(void **state)
{
    struct gang *gang = *state;
    gang_set(gang, "training",
             json_pack("{s:i, s:i, s:i}", "epochs", 2, "batch_size", 64, "seed", 1));
    gang_run(gang, &alone, TRAINER_EXIT_DONE);
    const double loss = final_value(gang, "eval_loss");
    const double accuracy = final_value(gang, "eval_accuracy");
    assert_true(accuracy > 0.85);
    for (int ranks = 2; ranks <= 4; ranks++) {
        gang_run(gang, &(struct gang_start){.world_size = ranks, .shared_memory = ranks != 3},
                 TRAINER_EXIT_DONE);
        assert_true(fabs(final_value(gang, "eval_loss") - loss) < 1e-3);
        assert_true(fabs(final_value(gang, "eval_accuracy") - accuracy) < 2e-3);
    }
}

/* 10,000 = 3 * 3333 + 1: the last batch has one row, so one of two ranks has none. */
static void a_last_batch_smaller_than_the_gang_is_trained(void **state)
{
    struct gang *gang = *state;
    gang_set(gang, "training",
             json_pack("{s:i, s:i, s:i}", "epochs", 3, "batch_size", 3333, "seed", 1));
    gang_run(gang, &alone, TRAINER_EXIT_DONE);
    const double loss = final_value(gang, "eval_loss");
    gang_run(gang, &(struct gang_start){.world_size = 2}, TRAINER_EXIT_DONE);
    assert_true(fabs(final_value(gang, "eval_loss") - loss) < 1e-3);
    struct wire_event end;
    assert_true(gang_last_event(gang, 2, 0, EVENT_FINISHED, &end));
    assert_int_equal(end.step, 12);
}

/* ------------------------------------------------------------------ failures */

/* The attempt must end with this code and a finished event whose text has this in it. */
static void expect_failure(struct gang *gang, const struct gang_start *start, int code,
                           const char *text)
{
    gang_run(gang, start, code);
    struct wire_event end;
    assert_true(gang_last_event(gang, gang->attempt, 0, EVENT_FINISHED, &end));
    assert_string_equal(end.status, "failed");
    if (strstr(end.text, text) == NULL)
        fail_msg("\"%s\" says nothing of \"%s\"", end.text, text);
}

static void failures_have_their_exit_codes(void **state)
{
    struct gang *gang = *state;
    gang_set(gang, "training.steps", json_integer(20));
    gang_set(gang, "model.classes", json_integer(5));
    expect_failure(gang, &alone, TRAINER_EXIT_BAD_DATA, "has label 9, the model has 5 classes");
    gang_set(gang, "model.classes", json_integer(10));
    gang_set(gang, "data.train.features", json_string("absent.gz"));
    expect_failure(gang, &alone, TRAINER_EXIT_BAD_DATA, "absent.gz");
    gang_set(gang, "data.train.features", json_string("train-labels-idx1-ubyte.gz"));
    expect_failure(gang, &alone, TRAINER_EXIT_BAD_DATA,
                   "byte 3: expected 2 to 4 dimensions, got 1");
    gang_set(gang, "data.train.features", json_string("train-images-idx3-ubyte.gz"));
    gang_set(gang, "training.epoch", json_integer(1));
    expect_failure(gang, &alone, TRAINER_EXIT_BAD_SPEC, "/training/epoch");
    gang_set(gang, "training.epoch", NULL);
    gang_set(gang, "checkpoint.every_steps", json_integer(5));
    const struct gang_start nowhere = {.world_size = 1, .checkpoints = "/proc/nowhere"};
    expect_failure(gang, &nowhere, TRAINER_EXIT_CANNOT_WRITE, "/proc/nowhere");
    gang_set(gang, "resources.device", json_string("cuda"));
    expect_failure(gang, &alone, TRAINER_EXIT_BAD_SPEC, "/resources/device");
}

/* The spec is right by itself; the gang is not of its size. */
static void a_gang_of_another_size_than_the_spec_allows_is_a_bad_spec(void **state)
{
    struct gang *gang = *state;
    const struct gang_start pair = {.world_size = 2}, three = {.world_size = 3};
    gang_set(gang, "training.steps", json_integer(20));
    gang_set(gang, "training.reproducible", json_true());
    expect_failure(gang, &three, TRAINER_EXIT_BAD_SPEC,
                   "/training/reproducible: 3 ranks, expected a divisor of 8");
    gang_set(gang, "training.micro_shards", json_integer(1));
    expect_failure(gang, &pair, TRAINER_EXIT_BAD_SPEC, "2 ranks, expected a divisor of 1");
    gang_set(gang, "training.micro_shards", NULL);
    gang_set(gang, "training.reproducible", NULL);
    gang_set(gang, "training.sync", json_string("parameter_server"));
    gang_set(gang, "training.servers", json_integer(2));
    gang_set(gang, "resources.ranks", json_integer(3));
    expect_failure(gang, &pair, TRAINER_EXIT_BAD_SPEC,
                   "/training/servers: expected integer 1..1, one of 2 ranks must work, got 2");
}

/* A .npy file of `rows` rows of `columns` float32, all zero. */
static void write_npy(const char *folder, const char *name, int rows, int columns)
{
    char path[GANG_PATH_BYTES], shape[118];
    const float zeros[64] = {0.0F};
    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    (void)snprintf(shape, sizeof(shape),
                   "{'descr': '<f4', 'fortran_order': False, 'shape': (%d, %d), }", rows, columns);
    (void)fprintf(file, "\x93NUMPY\x01%c%c%c%-117s\n", 0, 118, 0, shape);
    assert_int_equal(fwrite(zeros, sizeof(float), (size_t)(rows * columns), file), rows * columns);
    assert_int_equal(fclose(file), 0);
}

static void labels_that_do_not_fit_the_head_are_bad_data(void **state)
{
    struct gang *gang = *state;
    gang_set(gang, "model.head", json_string("linear"));
    gang_set(gang, "model.classes", NULL);
    expect_failure(gang, &alone, TRAINER_EXIT_BAD_DATA,
                   "/model/head: linear expects labels that are numbers, got classes");
    write_npy(gang->folder, "x.npy", 16, 4);
    write_npy(gang->folder, "y.npy", 16, 1);
    memcpy(gang->data, gang->folder, sizeof(gang->folder));
    gang_set(gang, "model.head", json_string("sigmoid"));
    gang_set(gang, "training.class_weights", json_string("balanced"));
    gang_set(gang, "data",
             json_pack("{s:s, s:{s:s, s:s, s:s}}", "root", "mine", "train", "format", "npy",
                       "features", "x.npy", "labels", "y.npy"));
    expect_failure(gang, &alone, TRAINER_EXIT_BAD_DATA,
                   "/model/head: sigmoid expects labels that are classes, got numbers");
}

static void a_loss_that_is_not_finite_ends_the_job_by_name(void **state)
{
    struct gang *gang = *state;
    /* Each step multiplies the weights by about -999. */
    gang_set(gang, "optimizer",
             json_pack("{s:s, s:f, s:f}", "type", "sgd", "lr", 1000.0, "weight_decay", 1.0));
    expect_failure(gang, &alone, TRAINER_EXIT_INTERNAL, ": the loss is ");
    expect_failure(gang, &(struct gang_start){.world_size = 2}, TRAINER_EXIT_INTERNAL,
                   ": the loss is ");
}

static void flip_byte(const char *path, long offset)
{
    CLEANUP(file_cleanup) FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, offset, SEEK_SET), 0);
    const int byte = fgetc(file);
    assert_int_equal(fseek(file, offset, SEEK_SET), 0);
    assert_true(fputc(byte ^ 1, file) != EOF);
}

static void a_damaged_checkpoint_is_refused_by_name(void **state)
{
    struct gang *gang = *state;
    gang_run(gang, &alone, TRAINER_EXIT_DONE);
    struct gang_start start = resume(alone, gang);
    struct wire_event checkpoint;
    assert_true(gang_last_event(gang, 1, 0, EVENT_CHECKPOINT, &checkpoint));
    assert_int_equal(checkpoint.step, start.resume_step);
    flip_byte(checkpoint.path, (long)checkpoint.bytes - 100);
    expect_failure(gang, &start, TRAINER_EXIT_DEVICE_FAULT, "XXH3 of its tensors is");
    flip_byte(checkpoint.path, (long)checkpoint.bytes - 100);
    gang_set(gang, "training.seed", json_integer(2));
    expect_failure(gang, &start, TRAINER_EXIT_INTERNAL, "it is of another spec");
    gang_set(gang, "training.seed", json_integer(1));
    gang_run(gang, &start, TRAINER_EXIT_DONE);
}

static void a_rank_alone_in_its_gang_gives_up_in_time(void **state)
{
    struct gang *gang = *state;
    gang_start(gang, &(struct gang_start){.world_size = 2, .setup_timeout_ms = 1000});
    (void)kill(gang->pids[1], SIGKILL); /* perhaps before it has met rank 0, perhaps after */
    const int code = gang_wait(gang, 0);
    assert_int_equal(code, TRAINER_EXIT_PEER_LOST);
}

/* ------------------------------------------------------------------ verbs */

static void run_verb(const char *const *words, int code, struct process_result *result)
{
    char program[512];
    cluster_program("reprise-trainer", program);
    const char *argv[16] = {program};
    for (size_t i = 0; words[i] != NULL; i++)
        argv[i + 1] = words[i];
    process_run(argv, NULL, NULL, process_patience(GANG_PATIENCE_MS), result);
    if (result->exit_code != code)
        fail_msg("exit %d, expected %d: %s", result->exit_code, code, result->err.data);
}

static void train_prints_its_results_and_resumes_past_a_damaged_checkpoint(void **state)
{
    struct gang *gang = *state;
    char spec[GANG_PATH_BYTES], output[GANG_PATH_BYTES], newest[3 * GANG_PATH_BYTES];
    (void)snprintf(spec, sizeof(spec), "%s/spec.json", gang->folder);
    (void)snprintf(output, sizeof(output), "%s/alone", gang->folder);
    const char *const words[] = {"train", spec, "--data", "deploy/data", "--output", output, NULL};
    struct process_result first, second;
    run_verb(words, 0, &first);
    CLEANUP(json_cleanup) json_t *line = json_loads(first.out.data, 0, NULL);
    assert_true(json_number_value(json_object_get(line, "eval_accuracy")) > 0.8);
    assert_int_equal(json_integer_value(json_object_get(line, "steps")), 400);
    char checkpoints[2 * GANG_PATH_BYTES], folder[2 * GANG_PATH_BYTES];
    int64_t step = 0;
    (void)snprintf(checkpoints, sizeof(checkpoints), "%s/checkpoints", output);
    assert_int_equal(checkpoint_newest(checkpoints, -1, folder, sizeof(folder), &step, NULL),
                     STATUS_OK);
    (void)snprintf(newest, sizeof(newest), "%s/" CHECKPOINT_SHARD_NAME, folder);
    flip_byte(newest, 5000);

    const char *const again[] = {"train",    spec,   "--data",   "deploy/data",
                                 "--output", output, "--resume", NULL};
    run_verb(again, 0, &second);

    CLEANUP(json_cleanup) json_t *resumed = json_loads(second.out.data, 0, NULL);
    assert_string_equal(json_string_value(json_object_get(resumed, "sha256")),
                        json_string_value(json_object_get(line, "sha256")));
    process_result_clear(&first);
    process_result_clear(&second);
}

static void numerics_is_one_line_with_a_hash(void **state)
{
    (void)state;
    struct process_result first, second;
    run_verb((const char *const[]){"numerics", NULL}, 0, &first);
    run_verb((const char *const[]){"numerics", NULL}, 0, &second);
    assert_string_equal(first.out.data, second.out.data);
    assert_int_equal(strspn(first.out.data, "0123456789abcdef"), 64);
    assert_int_equal(first.out.data[64], ' ');
    assert_ptr_equal(strchr(first.out.data, '\n'), first.out.data + first.out.size - 1);
    process_result_clear(&first);
    process_result_clear(&second);
}

static void decode_fills_the_cache_that_training_uses(void **state)
{
    struct gang *gang = *state;
    char spec[GANG_PATH_BYTES], cache[GANG_PATH_BYTES];
    (void)snprintf(spec, sizeof(spec), "%s/spec.json", gang->folder);
    (void)snprintf(cache, sizeof(cache), "%s/cache", gang->folder);
    const char *const words[] = {"decode", spec, "--data", gang->data, "--cache", cache, NULL};
    struct process_result result;
    run_verb(words, 0, &result);
    assert_true(fs_exists(cache));
    process_result_clear(&result);
    gang_set(gang, "data.eval.labels", json_string("t10k-images-idx3-ubyte.gz"));
    run_verb(words, TRAINER_EXIT_BAD_DATA, &result);
    assert_non_null(strstr(result.err.data, "t10k-images-idx3-ubyte.gz: byte 3"));
    process_result_clear(&result);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_killed_and_resumed_rank_gives_the_same_file),
        TEST(a_gang_that_lost_a_rank_resumes_to_the_same_file),
        TEST(resumed_metric_windows_are_those_of_an_uninterrupted_run),
        TEST(threads_in_the_environment_change_nothing),
        TEST(sigterm_stops_all_ranks_after_the_same_step_with_a_checkpoint),
        TEST(sigusr1_takes_a_checkpoint_and_goes_on),
        TEST(checkpoints_also_come_by_the_clock),
        TEST(events_are_numbered_and_say_what_the_contract_says),
        TEST(one_two_and_four_ranks_learn_the_same),
        TEST(a_last_batch_smaller_than_the_gang_is_trained),
        TEST(failures_have_their_exit_codes),
        TEST(a_gang_of_another_size_than_the_spec_allows_is_a_bad_spec),
        TEST(labels_that_do_not_fit_the_head_are_bad_data),
        TEST(a_loss_that_is_not_finite_ends_the_job_by_name),
        TEST(a_damaged_checkpoint_is_refused_by_name),
        TEST(a_rank_alone_in_its_gang_gives_up_in_time),
        TEST(train_prints_its_results_and_resumes_past_a_damaged_checkpoint),
        TEST(numerics_is_one_line_with_a_hash),
        TEST(decode_fills_the_cache_that_training_uses),
    };
    return cmocka_run_group_tests_name("trainer", tests, NULL, NULL);
}
