/* What one step does in each mode, checked by eye: fewer parameters than a slice of each rank has. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/comm_gang.h"
#include "trainer/sync/sync.h"

enum { COUNT = 5 };

static const struct training_spec allreduce = {.sync = SYNC_ALLREDUCE};

/* parameters -= gradients of all workers */
static int step_once(struct comm *comm, void *context)
{
    const struct training_spec *training = context;
    float parameters[COUNT] = {10, 20, 30, 40, 50};
    float gradients[COUNT + SYNC_TAIL] = {1, 2, 3, 4, 5};
    const struct optimizer_spec optimizer = {.type = OPTIMIZER_SGD, .lr = 1.0};
    struct sync_parts parts = {.device = {.ops = &compute_cpu},
                               .comm = comm,
                               .training = training,
                               .optimizer = &optimizer,
                               .parameters = parameters,
                               .gradients = gradients,
                               .count = COUNT};
    struct sync *sync = NULL;
    gradients[COUNT + SYNC_TAIL_SUMS] = (float)comm->rank + 1;
    gradients[COUNT + SYNC_TAIL_WANTS_STOP] = comm->rank == 1;

    GANG_TRY(compute_cpu.open(0, 1, &parts.device.compute, err));
    GANG_TRY(sync_open(&parts, &sync, err));
    GANG_TRY(sync->ops->prepare(sync, 1, 1.0, err));
    GANG_TRY(sync->ops->step(sync, err));
    GANG_TRY(sync->ops->settle(sync, err));
    sync->ops->close(sync);
    compute_cpu.close(parts.device.compute);

    const float workers = (float)sync_workers(training, comm->world_size);
    const float ranks = (float)comm->world_size;
    for (size_t i = 0; i < COUNT; i++)
        GANG_CHECK((int)parameters[i] == (int)((float)(i + 1) * (10 - workers)));
    GANG_CHECK((int)gradients[COUNT + SYNC_TAIL_SUMS] == (int)(ranks * (ranks + 1) / 2));
    GANG_CHECK((gradients[COUNT + SYNC_TAIL_WANTS_STOP] > 0) == (comm->world_size > 1));
    return 0;
}

static void every_rank_makes_the_update_of_the_summed_gradients(void **state)
{
    (void)state;
    struct training_spec modes[] = {allreduce,
                                    {.sync = SYNC_SHARDED},
                                    {.sync = SYNC_PARAMETER_SERVER, .servers = 1},
                                    {.sync = SYNC_PARAMETER_SERVER, .servers = 2}};
    for (size_t m = 0; m < COUNT_OF(modes); m++) {
        for (int world = 1; world <= 4; world++) {
            struct gang gang = {.world_size = world, .ranks_per_node = 2, .shares_memory = true};
            if (modes[m].servers < world || world == 1)
                gang_run(&gang, step_once, &modes[m]);
        }
    }
}

static void the_tail_of_one_rank_reaches_the_decision_of_all(void **state)
{
    (void)state;
    struct training_spec training = allreduce;
    struct gang gang = {.world_size = 2, .ranks_per_node = 1};
    gang_run(&gang, step_once, &training);
}

/* What does not suit the world is refused before anything is sent. */
static int open_in_vain(struct comm *comm, void *context)
{
    (void)context;
    static const struct training_spec unfit[] = {
        {.sync = SYNC_PARAMETER_SERVER, .servers = 3},
        {.sync = SYNC_PARAMETER_SERVER, .servers = 0},
        {.sync = SYNC_PARAMETER_SERVER, .servers = 1, .staleness = 1000},
        {.sync = SYNC_ALLREDUCE, .reproducible = true}, /* 3 ranks */
    };
    const struct optimizer_spec optimizer = {.type = OPTIMIZER_SGD, .lr = 1.0};
    float vectors[2 * COUNT + SYNC_TAIL] = {0};
    struct sync_parts parts = {.device = {.ops = &compute_cpu},
                               .comm = comm,
                               .optimizer = &optimizer,
                               .parameters = vectors,
                               .gradients = vectors + COUNT,
                               .count = COUNT};
    GANG_TRY(compute_cpu.open(0, 1, &parts.device.compute, err));
    for (size_t i = 0; i < COUNT_OF(unfit); i++) {
        struct sync *sync = NULL;
        struct error err = {.status = STATUS_OK};
        parts.training = &unfit[i];
        GANG_CHECK(sync_open(&parts, &sync, &err) == STATUS_INVALID);
        GANG_CHECK(sync == NULL && err.text[0] != '\0');
    }
    compute_cpu.close(parts.device.compute);
    return 0;
}

static void a_mode_that_does_not_suit_the_world_is_refused(void **state)
{
    (void)state;
    struct gang gang = {.world_size = 3, .ranks_per_node = 3, .shares_memory = true};
    gang_run(&gang, open_in_vain, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_rank_makes_the_update_of_the_summed_gradients),
        cmocka_unit_test(the_tail_of_one_rank_reaches_the_decision_of_all),
        cmocka_unit_test(a_mode_that_does_not_suit_the_world_is_refused),
    };
    return cmocka_run_group_tests_name("sync_step", tests, NULL, NULL);
}
