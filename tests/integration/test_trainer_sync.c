/*
 * test_trainer_sync.c - real gangs by every way to synchronise: what they learn, that a killed one goes
 * on to the same bits, that a checkpoint of one world is taken up by another, and that all stop together.
 */
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fs.h"
#include "base/id.h"
#include "schema/exit_code.h"
#include "tests/integration/gang.h"
#include "trainer/export/safetensors.h"

#define STEPS 600

static int set_up(void **state)
{
    static struct gang gang;
    gang_open(&gang);
    gang_set(&gang, "training.steps", json_integer(STEPS));
    *state = &gang;
    return 0;
}

static int tear_down(void **state)
{
    gang_close(*state);
    return 0;
}

static const struct {
    const char *sync;
    int ranks, servers, staleness;
} modes[] = {
    {"allreduce", 2, 0, 0},        {"sharded", 2, 0, 0},          {"sharded", 3, 0, 0},
    {"parameter_server", 2, 1, 0}, {"parameter_server", 4, 2, 0}, {"parameter_server", 3, 1, 2},
};

static void use_mode(struct gang *gang, size_t mode)
{
    gang_set(gang, "training.sync", json_string(modes[mode].sync));
    gang_set(gang, "resources.ranks", json_integer(modes[mode].ranks));
    gang_set(gang, "training.servers",
             modes[mode].servers > 0 ? json_integer(modes[mode].servers) : NULL);
    gang_set(gang, "training.staleness",
             modes[mode].staleness > 0 ? json_integer(modes[mode].staleness) : NULL);
}

static double final_value(const struct gang *gang, const char *name)
{
    static struct wire_event end;
    assert_true(gang_last_event(gang, gang->attempt, 0, EVENT_FINISHED, &end));
    for (size_t i = 0; i < end.value_count; i++) {
        if (strcmp(end.values[i].name, name) == 0)
            return end.values[i].value;
    }
    fail_msg("no %s", name);
    return 0.0;
}

static void every_mode_learns_what_one_rank_learns(void **state)
{
    struct gang *gang = *state;
    gang_run(gang, &(struct gang_start){.world_size = 1}, TRAINER_EXIT_DONE);
    const double loss = final_value(gang, "eval_loss");
    for (size_t m = 0; m < COUNT_OF(modes); m++) {
        use_mode(gang, m);
        const struct gang_start start = {.world_size = modes[m].ranks, .shared_memory = m % 2 == 0};
        gang_run(gang, &start, TRAINER_EXIT_DONE);
        const double tolerance = modes[m].staleness > 0 ? 0.05 : 1e-3;
        const double found = final_value(gang, "eval_loss");
        if (fabs(found - loss) > tolerance)
            fail_msg("mode %zu: evaluation loss %.6f, one rank has %.6f", m, found, loss);
    }
}

static void the_result_says_whether_it_can_be_reproduced(void **state)
{
    struct gang *gang = *state;
    gang_set(gang, "training.steps", json_integer(20));
    for (size_t m = 0; m < COUNT_OF(modes); m++) {
        char path[GANG_PATH_BYTES];
        struct safetensors *file = NULL;
        use_mode(gang, m);
        gang_run(gang, &(struct gang_start){.world_size = modes[m].ranks, .shared_memory = true},
                 TRAINER_EXIT_DONE);
        (void)snprintf(path, sizeof(path), "%s/out/model.safetensors", gang->folder);
        assert_int_equal(safetensors_open(path, &file, NULL), STATUS_OK);
        assert_string_equal(safetensors_metadata(file, "sync"), modes[m].sync);
        assert_string_equal(safetensors_metadata(file, "reproducible"),
                            modes[m].staleness > 0 ? "no" : "yes");
        safetensors_cleanup(&file);
    }
}

/* The sums of a step come so many steps later: the first windows have none. */
static void figures_of_a_stale_gang_are_numbers_from_the_first_on(void **state)
{
    struct gang *gang = *state;
    static struct wire_event events[64];
    use_mode(gang, COUNT_OF(modes) - 1);
    gang_set(gang, "training.steps", json_integer(20));
    gang_set(gang, "training.metrics_every_steps", json_integer(1));
    gang_run(gang, &(struct gang_start){.world_size = 3}, TRAINER_EXIT_DONE);
    const int count = gang_events(gang, 1, 0, events, 64);
    int told = 0;
    for (int i = 0; i < count; i++) {
        if (events[i].kind != EVENT_METRIC || strcmp(events[i].values[0].name, "loss") != 0)
            continue;
        assert_true(isfinite(events[i].values[0].value));
        told++;
    }
    assert_int_equal(told, 20 - modes[COUNT_OF(modes) - 1].staleness);
}

/* With Adam, whose state lies in slices, which the checkpoint has put together. */
static void a_killed_gang_goes_on_to_the_same_bits_in_every_mode(void **state)
{
    struct gang *gang = *state;
    uint64_t random = 3;
    for (size_t m = 1; m < COUNT_OF(modes); m++) {
        if (modes[m].staleness > 0)
            continue;
        struct gang_start start = {.world_size = modes[m].ranks, .shared_memory = true};
        char expected[65], actual[65];
        use_mode(gang, m);
        gang_run(gang, &start, TRAINER_EXIT_DONE);
        gang_model_sha256(gang, expected);
        gang_start(gang, &start);
        gang_await(gang, 0, EVENT_CHECKPOINT, 1);
        (void)usleep((useconds_t)(splitmix64_next(&random) % 15000));
        (void)kill(gang->pids[modes[m].ranks - 1], SIGKILL);
        for (int rank = 0; rank < modes[m].ranks; rank++)
            (void)gang_wait(gang, rank);
        struct wire_event checkpoint;
        assert_true(gang_last_event(gang, gang->attempt, 0, EVENT_CHECKPOINT, &checkpoint));
        start.resume_step = checkpoint.step;
        gang_run(gang, &start, TRAINER_EXIT_DONE);
        gang_model_sha256(gang, actual);
        assert_string_equal(actual, expected);
    }
}

static void a_checkpoint_of_one_world_is_taken_up_by_another(void **state)
{
    struct gang *gang = *state;
    static const int worlds[] = {4, 1, 3};
    gang_run(gang, &(struct gang_start){.world_size = 1}, TRAINER_EXIT_DONE);
    const double loss = final_value(gang, "eval_loss");
    use_mode(gang, 1);
    gang_start(gang, &(struct gang_start){.world_size = 2, .shared_memory = true});
    gang_await(gang, 0, EVENT_CHECKPOINT, 2);
    (void)kill(gang->pids[1], SIGKILL);
    for (int rank = 0; rank < 2; rank++)
        (void)gang_wait(gang, rank);
    struct wire_event checkpoint;
    assert_true(gang_last_event(gang, gang->attempt, 0, EVENT_CHECKPOINT, &checkpoint));
    for (size_t i = 0; i < COUNT_OF(worlds); i++) {
        const struct gang_start start = {
            .world_size = worlds[i], .shared_memory = true, .resume_step = checkpoint.step};
        gang_run(gang, &start, TRAINER_EXIT_DONE);
        assert_true(fabs(final_value(gang, "eval_loss") - loss) < 1e-3);
    }
}

/* The signal goes to the last rank: a server, where there is one. */
static void sigterm_to_any_rank_stops_all_after_the_same_step(void **state)
{
    struct gang *gang = *state;
    gang_set(gang, "training.steps", json_integer(200000));
    for (size_t m = 1; m < COUNT_OF(modes); m++) {
        const int last = modes[m].ranks - 1;
        struct wire_event ends[GANG_RANKS_MAX];
        use_mode(gang, m);
        gang_start(gang, &(struct gang_start){.world_size = last + 1, .shared_memory = true});
        gang_await(gang, 0, EVENT_CHECKPOINT, 1);
        (void)kill(gang->pids[last], SIGTERM);
        for (int rank = 0; rank <= last; rank++) {
            assert_int_equal(gang_wait(gang, rank), TRAINER_EXIT_STOPPED);
            assert_true(gang_last_event(gang, gang->attempt, rank, EVENT_FINISHED, &ends[rank]));
            assert_int_equal(ends[rank].step, ends[0].step);
        }
        struct wire_event checkpoint;
        assert_true(gang_last_event(gang, gang->attempt, 0, EVENT_CHECKPOINT, &checkpoint));
        assert_int_equal(checkpoint.step, ends[0].step);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_mode_learns_what_one_rank_learns, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_result_says_whether_it_can_be_reproduced, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(figures_of_a_stale_gang_are_numbers_from_the_first_on,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_killed_gang_goes_on_to_the_same_bits_in_every_mode,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_checkpoint_of_one_world_is_taken_up_by_another, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(sigterm_to_any_rank_stops_all_after_the_same_step, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests_name("trainer_sync", tests, NULL, NULL);
}
