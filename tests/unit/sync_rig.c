#include "tests/unit/sync_rig.h"

#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "base/clock.h"
#include "trainer/sync/grad_tree.h"

enum { READY_STRIDE = 100000, STRUCT_BYTES = 4096 };

static size_t count_of(size_t count)
{
    return count == 0 ? RIG_COUNT : count;
}

static size_t result_bytes(size_t count)
{
    return STRUCT_BYTES + (1 + OPTIM_STATES_MAX) * count_of(count) * sizeof(float);
}

struct rig_result *rig_result_new(size_t count)
{
    uint8_t *memory =
        mmap(NULL, result_bytes(count), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(memory != MAP_FAILED);
    struct rig_result *result = (struct rig_result *)(void *)memory;
    result->parameters = (float *)(void *)(memory + STRUCT_BYTES);
    for (size_t i = 0; i < OPTIM_STATES_MAX; i++)
        result->states[i] = result->parameters + (1 + i) * count_of(count);
    return result;
}

void rig_result_free(struct rig_result *result, size_t count)
{
    (void)munmap(result, result_bytes(count));
}

/* A number in [-1, 1) from three. */
static float noise(uint32_t a, uint32_t b, uint32_t c)
{
    uint32_t x = a * 2654435761U ^ b * 2246822519U ^ c * 3266489917U;
    x = (x ^ x >> 15) * 2246822519U;
    x = (x ^ x >> 13) * 3266489917U;
    return (float)(x >> 8) / 8388608.0F - 1.0F;
}

/* One rank's view of the problem. */
struct problem {
    const struct rig_case *what;
    size_t count, flags;
    float *parameters, *gradients;
};

static bool is_in_table(size_t i)
{
    return i >= RIG_TABLE_OFFSET && i < RIG_TABLE_OFFSET + (size_t)RIG_TABLE_ROWS * RIG_TABLE_WIDTH;
}

/* Adds one shard's gradients, flags and sums to `into`. */
static void add_shard(const struct problem *problem, int step, int shard, float *into)
{
    const uint32_t s = (uint32_t)step, k = (uint32_t)shard;
    for (size_t i = 0; i < problem->count; i++) {
        if (!is_in_table(i))
            into[i] += (problem->parameters[i] - noise((uint32_t)i, k, 7) - 0.5F) / RIG_SHARDS;
    }
    for (uint32_t touch = 0; touch < 2; touch++) {
        const size_t row = (s * 31 + k * 17 + touch * 101) % RIG_TABLE_ROWS;
        const size_t first = RIG_TABLE_OFFSET + row * RIG_TABLE_WIDTH;
        for (size_t i = first; i < first + RIG_TABLE_WIDTH; i++)
            into[i] += (problem->parameters[i] - noise((uint32_t)i, k, s)) / RIG_SHARDS;
        if (problem->flags > 0)
            into[problem->count + row] += 1.0F;
    }
    float *tail = into + problem->count + problem->flags;
    tail[SYNC_TAIL_SUMS] += problem->parameters[0] * problem->parameters[0] + noise(s, k, 1);
    tail[SYNC_TAIL_ROWS] += 1.0F;
}

/* The shards of rank `worker` of `workers`. */
static enum status compute_gradients(const struct problem *problem, const struct sync_parts *parts,
                                     int step, bool are_zero, struct error *err)
{
    const int workers = sync_workers(parts->training, parts->comm->world_size);
    const int worker = parts->comm->rank;
    const size_t floats = problem->count + problem->flags + SYNC_TAIL;
    if (!are_zero)
        memset(problem->gradients, 0, problem->count * sizeof(float));
    memset(problem->gradients + problem->count, 0, (floats - problem->count) * sizeof(float));
    if (worker >= workers)
        return STATUS_OK;
    const int first = RIG_SHARDS * worker / workers;
    const int end = RIG_SHARDS * (worker + 1) / workers;
    if (!problem->what->shards_by_tree) {
        for (int shard = first; shard < end; shard++)
            add_shard(problem, step, shard, problem->gradients);
        return STATUS_OK;
    }
    CLEANUP(grad_tree_cleanup) struct grad_tree *tree = NULL;
    TRY(grad_tree_open(parts->device, problem->gradients, floats, end - first, &tree, err));
    for (int shard = first; shard < end; shard++) {
        float *target = grad_tree_target(tree, shard - first);
        memset(target, 0, floats * sizeof(float));
        add_shard(problem, step, shard, target);
        TRY(grad_tree_fold(tree, shard - first, err));
    }
    return STATUS_OK;
}

static enum status say_ready(struct sync *sync, size_t count, struct error *err)
{
    for (size_t at = count; at > READY_STRIDE; at -= READY_STRIDE)
        TRY(sync->ops->ready(sync, at - READY_STRIDE, err));
    return STATUS_OK;
}

static int train(const struct problem *problem, const struct sync_parts *parts, struct sync *sync,
                 struct rig_result *result)
{
    struct comm *comm = parts->comm;
    float *tail = problem->gradients + problem->count + problem->flags;
    const int lag = comm->world_size == 1 ? 0 : (int)problem->what->training.staleness;
    for (int step = 0; step < problem->what->steps; step++) {
        if (problem->what->killed_rank == comm->rank && comm->rank > 0 && step == 3)
            (void)raise(SIGKILL);
        if (problem->what->slow_rank == comm->rank && comm->rank > 0)
            clock_sleep_ms(1);
        atomic_store(&result->begun[comm->rank], step + 1);
        GANG_TRY(compute_gradients(problem, parts, step, sync->clears_gradients, err));
        tail[SYNC_TAIL_WANTS_STOP] = comm->rank == comm->world_size - 1 && step == 2 ? 1.0F : 0.0F;
        GANG_TRY(sync->ops->prepare(sync, step + 1, 1.0, err));
        if (!problem->what->is_never_ready)
            GANG_TRY(say_ready(sync, problem->count, err));
        GANG_TRY(sync->ops->step(sync, err));
        for (int rank = 0; rank < sync_workers(parts->training, comm->world_size); rank++)
            GANG_CHECK(atomic_load(&result->begun[rank]) >= step + 1 - lag);
        GANG_CHECK((tail[SYNC_TAIL_WANTS_STOP] > 0) == (step == 2 + lag));
        GANG_CHECK((int)tail[SYNC_TAIL_ROWS] == (step < lag ? 0 : RIG_SHARDS));
        if (comm->rank == 0 && step == lag)
            result->first_loss = (double)tail[SYNC_TAIL_SUMS];
        if (comm->rank == 0)
            result->last_loss = (double)tail[SYNC_TAIL_SUMS];
    }
    return 0;
}

static int collect(const struct problem *problem, struct comm *comm, struct sync *sync,
                   struct rig_result *result)
{
    const size_t bytes = problem->count * sizeof(float);
    GANG_TRY(sync->ops->settle(sync, err));
    GANG_TRY(sync_check_replicas(sync, err));
    for (int i = 0; i < sync->optim->state_count; i++) {
        float *target = comm->rank == 0 ? result->states[i] : NULL;
        GANG_TRY(sync->ops->gather_state(sync, i, target, err));
        /* What a slice was gathered from, it can be put back from. */
        GANG_TRY(comm->ops->barrier(comm, err));
        GANG_TRY(sync->ops->put_state(sync, i, result->states[i], err));
        GANG_TRY(comm->ops->barrier(comm, err));
        if (comm->rank == 0)
            memset(result->states[i], 0, bytes);
        GANG_TRY(sync->ops->gather_state(sync, i, target, err));
    }
    if (comm->rank == 0)
        memcpy(result->parameters, problem->parameters, bytes);
    if (problem->what->spoils_rank_1) {
        struct error err = {.status = STATUS_OK};
        if (comm->rank == 1)
            problem->parameters[problem->count - 1] += 1.0F;
        GANG_CHECK(sync_check_replicas(sync, &err) == STATUS_CORRUPT);
        GANG_CHECK(strstr(err.text, "on 1 of ") != NULL && strstr(err.text, "ranks: 1") != NULL);
    }
    return 0;
}

static int run_problem(const struct problem *problem, struct sync_parts *parts,
                       struct rig_result *result)
{
    struct comm *comm = parts->comm;
    struct sync *sync = NULL;
    GANG_TRY(sync_open(parts, &sync, err));
    int code = train(problem, parts, sync, result);
    if (code == 0)
        code = collect(problem, comm, sync, result);
    sync->ops->close(sync);
    return code;
}

int rig_rank(struct comm *comm, void *context)
{
    const struct rig_context *rig = context;
    const struct rig_case *what = rig->what;
    const bool is_sparse = what->optimizer.embeddings == EMBEDDING_SPARSE;
    const struct optim_table table = {
        .offset = RIG_TABLE_OFFSET, .rows = RIG_TABLE_ROWS, .width = RIG_TABLE_WIDTH};
    struct sync_parts parts = {.device = {.ops = &compute_cpu},
                               .comm = comm,
                               .training = &what->training,
                               .optimizer = &what->optimizer,
                               .count = count_of(what->count)};
    if (is_sparse) {
        parts.tables = &table;
        parts.table_count = 1;
        parts.flag_count = RIG_TABLE_ROWS;
    }
    GANG_TRY(compute_cpu.open(0, 1, &parts.device.compute, err));
    struct sync_memory parameters, gradients;
    GANG_TRY(sync_memory_open(parts.device, comm, parts.count, &parameters, err));
    GANG_TRY(sync_memory_open(parts.device, comm, parts.count + parts.flag_count + SYNC_TAIL,
                              &gradients, err));
    parts.parameters = parameters.data;
    parts.gradients = gradients.data;
    for (size_t i = 0; i < parts.count; i++)
        parts.parameters[i] = noise((uint32_t)i, 3, 5);
    const struct problem problem = {.what = what,
                                    .count = parts.count,
                                    .flags = parts.flag_count,
                                    .parameters = parts.parameters,
                                    .gradients = parts.gradients};
    const int code = run_problem(&problem, &parts, rig->result);
    sync_memory_close(parts.device, &parameters);
    sync_memory_close(parts.device, &gradients);
    compute_cpu.close(parts.device.compute);
    return code;
}

void rig_run(const struct rig_case *what, int world_size, int ranks_per_node,
             struct rig_result *out)
{
    struct gang gang = {
        .world_size = world_size, .ranks_per_node = ranks_per_node, .shares_memory = true};
    struct rig_context context = {.what = what, .result = out};
    gang_run(&gang, rig_rank, &context);
}
