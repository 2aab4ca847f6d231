/* The ways to synchronise against each other: the same trajectory, whoever holds what. */

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "tests/unit/sync_rig.h"

#define TOLERANCE  2e-5
#define IN_TIME_MS 60000 /* with a sanitizer on a busy machine; without, it takes milliseconds */

enum { LARGE = 1300007 }; /* parameters: their gradients are summed in buckets */

static const struct optimizer_spec optimizers[] = {
    {.type = OPTIMIZER_SGD, .lr = 0.1, .momentum = 0.9, .clip_norm = 3.0},
    {.type = OPTIMIZER_ADAM, .lr = 0.01, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8},
    {.type = OPTIMIZER_ADAM,
     .lr = 0.01,
     .beta1 = 0.9,
     .beta2 = 0.999,
     .eps = 1e-8,
     .embeddings = EMBEDDING_SPARSE,
     .clip_norm = 2.0},
    {.type = OPTIMIZER_ADAGRAD, .lr = 0.05, .eps = 1e-10, .embeddings = EMBEDDING_SPARSE},
};

static const struct training_spec modes[] = {
    {.sync = SYNC_ALLREDUCE},
    {.sync = SYNC_SHARDED},
    {.sync = SYNC_PARAMETER_SERVER, .servers = 1},
};

static const struct training_spec stale = {
    .sync = SYNC_PARAMETER_SERVER, .servers = 1, .staleness = 2};

static struct rig_case case_of(const struct training_spec *training,
                               const struct optimizer_spec *optimizer)
{
    return (struct rig_case){.training = *training, .optimizer = *optimizer, .steps = 12};
}

static void assert_near(const float *a, const float *b, const char *what)
{
    for (size_t i = 0; i < RIG_COUNT; i++) {
        const double difference = fabs((double)a[i] - (double)b[i]);
        if (!(difference <= TOLERANCE * (1.0 + fabs((double)b[i]))))
            fail_msg("%s: element %zu is %.9g, expected %.9g", what, i, (double)a[i], (double)b[i]);
    }
}

static void assert_same_trajectory(const struct rig_result *a, const struct rig_result *b,
                                   const char *what)
{
    assert_near(a->parameters, b->parameters, what);
    for (size_t i = 0; i < OPTIM_STATES_MAX; i++)
        assert_near(a->states[i], b->states[i], what);
    assert_true(fabs(a->last_loss - b->last_loss) < 1e-4);
    assert_true(fabs(a->first_loss - b->first_loss) < 1e-4);
}

static void assert_same_bits(const struct rig_result *a, const struct rig_result *b)
{
    assert_memory_equal(a->parameters, b->parameters, RIG_COUNT * sizeof(float));
    for (size_t i = 0; i < OPTIM_STATES_MAX; i++)
        assert_memory_equal(a->states[i], b->states[i], RIG_COUNT * sizeof(float));
}

static void every_mode_gives_the_trajectory_of_one_rank(void **state)
{
    (void)state;
    struct rig_result *expected = rig_result_new(0), *result = rig_result_new(0);
    for (size_t o = 0; o < COUNT_OF(optimizers); o++) {
        const struct rig_case alone = case_of(&modes[0], &optimizers[o]);
        rig_run(&alone, 1, 1, expected);
        for (size_t m = 0; m < COUNT_OF(modes); m++) {
            static const int worlds[] = {1, 2, 4};
            for (size_t w = 0; w < COUNT_OF(worlds); w++) {
                struct rig_case what = case_of(&modes[m], &optimizers[o]);
                char name[64];
                if (worlds[w] == 4 && what.training.servers > 0)
                    what.training.servers = 2;
                snprintf(name, sizeof(name), "optimizer %zu, mode %zu, %d ranks", o, m, worlds[w]);
                rig_run(&what, worlds[w], worlds[w] == 4 ? 2 : worlds[w], result);
                assert_same_trajectory(result, expected, name);
            }
        }
    }
    rig_result_free(expected, 0);
    rig_result_free(result, 0);
}

static void the_same_ranks_give_the_same_bits(void **state)
{
    (void)state;
    struct rig_result *first = rig_result_new(0), *second = rig_result_new(0);
    for (size_t m = 0; m < COUNT_OF(modes); m++) {
        const struct rig_case what = case_of(&modes[m], &optimizers[2]);
        for (int world = 2; world <= 3; world++) { /* 3: no power of two */
            rig_run(&what, world, world, first);
            rig_run(&what, world, world, second);
            assert_same_bits(first, second);
        }
    }
    rig_result_free(first, 0);
    rig_result_free(second, 0);
}

static void shards_on_1_2_and_4_ranks_give_the_same_bits(void **state)
{
    (void)state;
    struct rig_result *first = rig_result_new(0), *second = rig_result_new(0);
    struct rig_case what = case_of(&modes[0], &optimizers[2]);
    what.training.reproducible = true;
    what.shards_by_tree = true;
    rig_run(&what, 1, 1, first);
    for (int world = 2; world <= RIG_SHARDS; world *= 2) {
        rig_run(&what, world, world == 2 ? 1 : 2, second);
        assert_same_bits(first, second);
    }
    rig_result_free(first, 0);
    rig_result_free(second, 0);
}

/* The sum of a bucket by the thread, by the training thread, or with all others: the same bits. */
static void buckets_that_travel_early_change_no_bit(void **state)
{
    (void)state;
    struct rig_result *results[3];
    struct rig_case what = case_of(&modes[0], &optimizers[2]);
    what.count = LARGE;
    what.steps = 5;
    for (size_t i = 0; i < COUNT_OF(results); i++) {
        results[i] = rig_result_new(LARGE);
        what.is_never_ready = i == 1;
        what.training.reproducible = i == 2; /* the tree of ours is the communicator's too */
        rig_run(&what, 2, 2, results[i]);
        assert_memory_equal(results[i]->parameters, results[0]->parameters, LARGE * sizeof(float));
    }
    for (size_t i = 0; i < COUNT_OF(results); i++)
        rig_result_free(results[i], LARGE);
}

/* The dense part has a fixed point that the age of the parameters does not move. */
static void assert_converged(const struct rig_result *a, const struct rig_result *b)
{
    for (size_t i = 0; i < RIG_TABLE_OFFSET; i++)
        assert_true(fabs((double)a->parameters[i] - (double)b->parameters[i]) < 1e-3);
}

static void stale_workers_converge_where_others_do(void **state)
{
    (void)state;
    static const struct optimizer_spec sgd = {.type = OPTIMIZER_SGD, .lr = 0.1};
    struct rig_result *expected = rig_result_new(0), *result = rig_result_new(0);
    struct rig_case alone = case_of(&modes[0], &sgd);
    alone.steps = 100;
    rig_run(&alone, 1, 1, expected);
    for (int world = 2; world <= 5; world++) {
        struct rig_case what = case_of(&stale, &sgd);
        what.steps = alone.steps;
        what.slow_rank = 1;
        what.training.servers = world / 2;
        what.training.staleness = world == 3 ? 1 : 2;
        what.optimizer.clip_norm = world == 4 ? 1e3 : 0.0;
        what.optimizer.embeddings = world == 5 ? EMBEDDING_SPARSE : EMBEDDING_DENSE;
        for (int ranks_per_node = 1; ranks_per_node <= world; ranks_per_node += 2) {
            rig_run(&what, world, ranks_per_node, result);
            assert_converged(result, expected);
        }
    }
    rig_result_free(expected, 0);
    rig_result_free(result, 0);
}

static void a_replica_that_differs_is_named(void **state)
{
    (void)state;
    struct rig_result *result = rig_result_new(0);
    struct rig_case what = case_of(&modes[0], &optimizers[0]);
    what.spoils_rank_1 = true;
    rig_run(&what, 4, 4, result);
    rig_result_free(result, 0);
}

/* Nobody waits for the deadline. */
static void a_killed_rank_ends_the_others_in_every_mode(void **state)
{
    (void)state;
    struct rig_result *result = rig_result_new(LARGE);
    for (size_t m = 0; m <= COUNT_OF(modes); m++) {
        for (int killed = 1; killed <= 2; killed++) { /* 2: the server */
            struct rig_case what =
                case_of(m < COUNT_OF(modes) ? &modes[m] : &stale, &optimizers[1]);
            struct gang gang = {.world_size = 3,
                                .ranks_per_node = 2,
                                .shares_memory = true,
                                .timeout_ms = 10 * IN_TIME_MS};
            struct rig_context context = {.what = &what, .result = result};
            what.killed_rank = killed;
            what.steps = 1000000;
            what.count = m == 0 ? LARGE : 0;
            gang_start(&gang, rig_rank, &context);
            for (int rank = 0; rank < 3; rank++)
                assert_int_equal(gang_wait(&gang, rank, IN_TIME_MS), rank == killed ? 128 + 9 : 1);
        }
    }
    rig_result_free(result, LARGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_mode_gives_the_trajectory_of_one_rank),
        cmocka_unit_test(the_same_ranks_give_the_same_bits),
        cmocka_unit_test(shards_on_1_2_and_4_ranks_give_the_same_bits),
        cmocka_unit_test(buckets_that_travel_early_change_no_bit),
        cmocka_unit_test(stale_workers_converge_where_others_do),
        cmocka_unit_test(a_replica_that_differs_is_named),
        cmocka_unit_test(a_killed_rank_ends_the_others_in_every_mode),
    };
    return cmocka_run_group_tests_name("sync_modes", tests, NULL, NULL);
}
