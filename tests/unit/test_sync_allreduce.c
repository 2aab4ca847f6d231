/* What a step of the allreduce mode does: the sum over the ranks, then one update, everywhere. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/comm_gang.h"
#include "trainer/sync/sync.h"

enum { COUNT = 5 };

static int step_once(struct comm *comm, void *context)
{
    (void)context;
    float parameters[COUNT] = {10, 20, 30, 40, 50};
    float gradients[COUNT + SYNC_TAIL] = {1, 2, 3, 4, 5};
    const struct training_spec training = {.sync = SYNC_ALLREDUCE};
    const struct optimizer_spec optimizer = {.type = OPTIMIZER_SGD, .lr = 1.0};
    struct sync_parts parts = {.device = {.ops = &compute_cpu},
                               .comm = comm,
                               .training = &training,
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
    sync->ops->close(sync);
    compute_cpu.close(parts.device.compute);

    const float ranks = (float)comm->world_size;
    for (size_t i = 0; i < COUNT; i++)
        GANG_CHECK((int)parameters[i] == (int)((float)(i + 1) * (10 - ranks)));
    GANG_CHECK((int)gradients[COUNT + SYNC_TAIL_SUMS] == (int)(ranks * (ranks + 1) / 2));
    GANG_CHECK((gradients[COUNT + SYNC_TAIL_WANTS_STOP] > 0) == (comm->world_size > 1));
    return 0;
}

static void every_rank_makes_the_update_of_the_summed_gradients(void **state)
{
    (void)state;
    for (int world = 1; world <= 4; world++) {
        struct gang gang = {.world_size = world, .ranks_per_node = 2, .shares_memory = true};
        gang_run(&gang, step_once, NULL);
    }
}

static void the_tail_of_one_rank_reaches_the_decision_of_all(void **state)
{
    (void)state;
    struct gang gang = {.world_size = 2, .ranks_per_node = 1};
    gang_run(&gang, step_once, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_rank_makes_the_update_of_the_summed_gradients),
        cmocka_unit_test(the_tail_of_one_rank_reaches_the_decision_of_all),
    };
    return cmocka_run_group_tests_name("sync_allreduce", tests, NULL, NULL);
}
