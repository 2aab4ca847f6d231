/*
 * test_reproducible.c - with "reproducible": true a job's weights have one SHA-256, on 1, 2 and 4
 * ranks, uninterrupted and killed at random moments; for every family, on its small example job.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/id.h"
#include "schema/exit_code.h"
#include "tests/integration/gang.h"

#define KILLS 3

/* As much of a family's example job as takes a second or two. */
struct family {
    const char *job;
    int steps;
    int checkpoint_steps;
};

static const struct family families[] = {
    {"digits", 600, 50},
    {"credit-small", 1500, 100},
    {"reviews-small", 300, 25},
    {"shop-small", 1000, 50},
};

static void use(struct gang *gang, const struct family *family)
{
    gang_use(gang, family->job);
    gang_set(gang, "training.epochs", NULL);
    gang_set(gang, "training.steps", json_integer(family->steps));
    gang_set(gang, "training.early_stopping", NULL);
    gang_set(gang, "training.reproducible", json_true());
    gang_set(gang, "resources.ranks",
             json_integer(4)); /* the spec of all; it is not looked at here */
    gang_set(gang, "checkpoint", json_pack("{s:i}", "every_steps", family->checkpoint_steps));
}

static void weights_of(const struct gang *gang, char out[65])
{
    struct wire_event finished;
    assert_true(gang_last_event(gang, gang->attempt, 0, EVENT_FINISHED, &finished));
    (void)snprintf(out, 65, "%s", finished.sha256);
    assert_int_equal(strlen(out), 64);
}

/* False when the attempt ended by itself before it came to a checkpoint: it had little left to do. */
static bool comes_to_a_checkpoint(struct gang *gang)
{
    for (;;) {
        struct wire_event event;
        if (gang_last_event(gang, gang->attempt, 0, EVENT_CHECKPOINT, &event))
            return true;
        if (gang_last_event(gang, gang->attempt, 0, EVENT_FINISHED, &event))
            return false;
        clock_sleep_ms(1);
    }
}

/* Kills a random rank a random while after a checkpoint, three times, and goes on from the newest. */
static void run_killed(struct gang *gang, int world_size, uint64_t *random)
{
    struct gang_start start = {.world_size = world_size, .shared_memory = true};
    for (int i = 0; i < KILLS; i++) {
        gang_start(gang, &start);
        if (!comes_to_a_checkpoint(gang)) {
            for (int rank = 0; rank < world_size; rank++)
                assert_int_equal(gang_wait(gang, rank), TRAINER_EXIT_DONE);
            return;
        }
        (void)usleep((useconds_t)(splitmix64_next(random) % 30000));
        (void)kill(gang->pids[splitmix64_next(random) % (uint64_t)world_size], SIGKILL);
        for (int rank = 0; rank < world_size; rank++)
            (void)gang_wait(gang, rank);
        struct wire_event checkpoint;
        assert_true(gang_last_event(gang, gang->attempt, 0, EVENT_CHECKPOINT, &checkpoint));
        start.resume_step = checkpoint.step;
    }
    gang_run(gang, &start, TRAINER_EXIT_DONE);
}

static void any_number_of_ranks_killed_or_not_gives_the_same_weights(void **state)
{
    (void)state;
    uint64_t random = 7;
    for (size_t f = 0; f < COUNT_OF(families); f++) {
        struct gang gang;
        char expected[65] = "", actual[65];
        gang_open(&gang);
        use(&gang, &families[f]);
        for (int world_size = 1; world_size <= GANG_RANKS_MAX; world_size *= 2) {
            const struct gang_start start = {.world_size = world_size, .shared_memory = true};
            gang_run(&gang, &start, TRAINER_EXIT_DONE);
            weights_of(&gang, actual);
            if (expected[0] == '\0')
                memcpy(expected, actual, sizeof(expected));
            if (strcmp(actual, expected) != 0)
                fail_msg("%s on %d ranks: %s, on 1: %s", families[f].job, world_size, actual,
                         expected);
            run_killed(&gang, world_size, &random);
            weights_of(&gang, actual);
            if (strcmp(actual, expected) != 0)
                fail_msg("%s on %d ranks, killed: %s, uninterrupted: %s", families[f].job,
                         world_size, actual, expected);
        }
        gang_close(&gang);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_number_of_ranks_killed_or_not_gives_the_same_weights),
    };
    return cmocka_run_group_tests_name("reproducible", tests, NULL, NULL);
}
