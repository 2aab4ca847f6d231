/* Every operation of the host communicator, in every shape of gang, against what it must give. */

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "base/fs.h"
#include "base/hash.h"
#include "tests/unit/comm_gang.h"

enum { SIZE_MAX_FLOATS = 1600000 };
static const size_t sizes[] = {0, 1, 3, 1000, 4096, 101770};

static const int worlds[] = {1, 2, 3, 4, 5, 8};

/* Values whose sum depends on the order of the additions. */
static float value(int rank, size_t i)
{
    uint32_t x = (uint32_t)i * UINT32_C(2654435761) + (uint32_t)rank * UINT32_C(40503) + 12345;
    x ^= x >> 15;
    x *= UINT32_C(2246822519);
    x ^= x >> 13;
    const float mantissa = (float)(x & 0xffff) / 65536.0F - 0.5F;
    return mantissa * (float)(1U << (x >> 16 & 15));
}

/* The sum in the promised order: extra ranks first, then the balanced tree. */
static float tree_sum(int world, size_t i)
{
    float sums[GANG_RANKS_MAX];
    int power = 1;
    while (power * 2 <= world)
        power *= 2;
    for (int rank = 0; rank < power; rank++)
        sums[rank] = value(rank, i);
    for (int rank = power; rank < world; rank++)
        sums[rank - power] += value(rank, i);
    for (int distance = 1; distance < power; distance *= 2) {
        for (int rank = 0; rank < power; rank += 2 * distance)
            sums[rank] += sums[rank + distance];
    }
    return sums[0];
}

static bool same_bits(float a, float b)
{
    return memcmp(&a, &b, sizeof(a)) == 0;
}

static int check_all_reduce(struct comm *comm, size_t count)
{
    CLEANUP(free_cleanup) float *data = malloc((count + 1) * sizeof(float));
    GANG_CHECK(data != NULL);
    for (size_t i = 0; i < count; i++)
        data[i] = value(comm->rank, i);
    data[count] = 42;

    GANG_TRY(comm->ops->all_reduce_sum(comm, data, count, err));

    for (size_t i = 0; i < count; i++)
        GANG_CHECK(same_bits(data[i], tree_sum(comm->world_size, i)));
    GANG_CHECK(same_bits(data[count], 42));
    return 0;
}

static int check_reduce_scatter(struct comm *comm, size_t count)
{
    const size_t world = (size_t)comm->world_size;
    CLEANUP(free_cleanup) float *data = malloc((world * count + 1) * sizeof(float));
    CLEANUP(free_cleanup) float *out = malloc((count + 1) * sizeof(float));
    GANG_CHECK(data != NULL && out != NULL);
    for (size_t i = 0; i < world * count; i++)
        data[i] = value(comm->rank, i);

    GANG_TRY(comm->ops->reduce_scatter_sum(comm, out, data, count, err));

    for (size_t i = 0; i < count; i++) {
        const size_t at = (size_t)comm->rank * count + i;
        GANG_CHECK(same_bits(out[i], tree_sum(comm->world_size, at)));
        GANG_CHECK(same_bits(data[at], value(comm->rank, at)));
    }
    /* Again in place: the rest is used up. */
    float *mine = data + (size_t)comm->rank * count;
    GANG_TRY(comm->ops->reduce_scatter_sum(comm, mine, data, count, err));
    for (size_t i = 0; i < count; i++)
        GANG_CHECK(same_bits(mine[i], out[i]));
    return 0;
}

static int check_all_gather(struct comm *comm, size_t count)
{
    const size_t world = (size_t)comm->world_size;
    CLEANUP(free_cleanup) float *out = malloc((world * count + 1) * sizeof(float));
    GANG_CHECK(out != NULL);
    float *mine = out + (size_t)comm->rank * count;
    for (size_t i = 0; i < count; i++)
        mine[i] = value(comm->rank, i);

    GANG_TRY(comm->ops->all_gather(comm, out, mine, count * sizeof(float), err));

    for (size_t rank = 0; rank < world; rank++) {
        for (size_t i = 0; i < count; i++)
            GANG_CHECK(same_bits(out[rank * count + i], value((int)rank, i)));
    }
    return 0;
}

/* Rank s sends rank r `base` + 3 s + r bytes. */
static size_t parcel_bytes(size_t base, int source, int target)
{
    return base + 3 * (size_t)source + (size_t)target;
}

static uint8_t parcel_byte(int source, int target, size_t i)
{
    return (uint8_t)(i * 7 + (size_t)source * 31 + (size_t)target);
}

static int check_all_to_all(struct comm *comm, size_t base)
{
    size_t send_offset[GANG_RANKS_MAX], send_bytes[GANG_RANKS_MAX];
    size_t recv_offset[GANG_RANKS_MAX], recv_bytes[GANG_RANKS_MAX];
    size_t send_total = 0, recv_total = 0;
    for (int peer = 0; peer < comm->world_size; peer++) {
        send_offset[peer] = send_total;
        send_bytes[peer] = parcel_bytes(base, comm->rank, peer);
        send_total += send_bytes[peer];
        recv_offset[peer] = recv_total;
        recv_bytes[peer] = parcel_bytes(base, peer, comm->rank);
        recv_total += recv_bytes[peer];
    }
    CLEANUP(free_cleanup) uint8_t *data = malloc(send_total + 1);
    CLEANUP(free_cleanup) uint8_t *out = calloc(1, recv_total + 1);
    GANG_CHECK(data != NULL && out != NULL);
    for (int peer = 0; peer < comm->world_size; peer++) {
        for (size_t i = 0; i < send_bytes[peer]; i++)
            data[send_offset[peer] + i] = parcel_byte(comm->rank, peer, i);
    }

    GANG_TRY(comm->ops->all_to_all(comm, out, recv_offset, recv_bytes, data, send_offset,
                                   send_bytes, err));

    for (int peer = 0; peer < comm->world_size; peer++) {
        for (size_t i = 0; i < recv_bytes[peer]; i++)
            GANG_CHECK(out[recv_offset[peer] + i] == parcel_byte(peer, comm->rank, i));
    }
    return 0;
}

static int check_broadcast(struct comm *comm, size_t count)
{
    CLEANUP(free_cleanup) float *data = calloc(count + 1, sizeof(float));
    GANG_CHECK(data != NULL);
    for (int root = 0; root < comm->world_size; root++) {
        for (size_t i = 0; i < count; i++)
            data[i] = value(comm->rank + 100, i);
        GANG_TRY(comm->ops->broadcast(comm, data, count * sizeof(float), root, err));
        for (size_t i = 0; i < count; i++)
            GANG_CHECK(same_bits(data[i], value(root + 100, i)));
    }
    return 0;
}

/* A chain: each rank sends what it got, plus one, to the next. */
static int check_send_recv(struct comm *comm, size_t count)
{
    CLEANUP(free_cleanup) float *data = calloc(count + 1, sizeof(float));
    GANG_CHECK(data != NULL);
    if (comm->rank > 0)
        GANG_TRY(comm->ops->recv(comm, data, count * sizeof(float), comm->rank - 1, err));
    for (size_t i = 0; i < count; i++)
        data[i] += 1;
    if (comm->rank + 1 < comm->world_size)
        GANG_TRY(comm->ops->send(comm, data, count * sizeof(float), comm->rank + 1, err));
    for (size_t i = 0; i < count; i++)
        GANG_CHECK(same_bits(data[i], (float)comm->rank + 1));
    return 0;
}

/* Rank 0 takes from all others what comes first: from each the same number, in its order. */
static int check_recv_any(struct comm *comm, size_t count)
{
    enum { TURNS = 5 };
    CLEANUP(free_cleanup) float *data = malloc((count + 1) * sizeof(float));
    GANG_CHECK(data != NULL);
    const int others = comm->world_size - 1;
    int turns[GANG_RANKS_MAX] = {0};
    for (int turn = 0; comm->rank > 0 && turn < TURNS; turn++) {
        for (size_t i = 0; i < count; i++)
            data[i] = (float)(comm->rank * TURNS + turn);
        GANG_TRY(comm->ops->send(comm, data, count * sizeof(float), 0, err));
    }
    for (int i = 0; comm->rank == 0 && i < others * TURNS; i++) {
        int source = 0;
        GANG_TRY(comm->ops->recv_any(comm, data, count * sizeof(float), 1, others, &source, err));
        GANG_CHECK(source >= 1 && source <= others && turns[source] < TURNS);
        for (size_t j = 0; j < count; j++)
            GANG_CHECK(same_bits(data[j], (float)(source * TURNS + turns[source])));
        turns[source]++;
    }
    return 0;
}

static int every_operation(struct comm *comm, void *context)
{
    (void)context;
    GANG_CHECK(comm_check(comm->ops, NULL) == STATUS_OK);
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        int failed = check_all_reduce(comm, sizes[i]);
        failed |= check_reduce_scatter(comm, sizes[i] / 4);
        failed |= check_all_gather(comm, sizes[i]);
        failed |= check_all_to_all(comm, sizes[i]);
        failed |= check_broadcast(comm, sizes[i] / 2);
        failed |= check_send_recv(comm, sizes[i]);
        failed |= check_recv_any(comm, sizes[i]);
        if (failed)
            return 1;
        GANG_TRY(comm->ops->barrier(comm, err));
    }
    return 0;
}

/* The same promises on memory that all ranks see, beginning somewhere inside it. */
static int operations_on_a_window(struct comm *comm, void *context)
{
    enum { MOST = 101770, BEFORE = 48 };
    const bool *is_one_node = context;
    const size_t world = (size_t)comm->world_size;
    void *memory = NULL;
    GANG_TRY(comm->ops->window(comm, (world * MOST + BEFORE + 1) * sizeof(float), &memory, err));
    GANG_CHECK((memory != NULL) == *is_one_node);
    if (memory == NULL)
        return 0;
    float *data = (float *)memory + BEFORE;
    for (size_t s = 0; s < COUNT_OF(sizes); s++) {
        const size_t count = sizes[s];
        float *mine = data + (size_t)comm->rank * count;
        for (size_t i = 0; i < world * count; i++)
            data[i] = value(comm->rank, i);
        data[world * count] = 42;
        GANG_TRY(comm->ops->reduce_scatter_sum(comm, mine, data, count, err));
        for (size_t i = 0; i < count; i++)
            GANG_CHECK(same_bits(mine[i], tree_sum((int)world, (size_t)comm->rank * count + i)));
        GANG_TRY(comm->ops->all_gather(comm, data, mine, count * sizeof(float), err));
        for (size_t i = 0; i < world * count; i++)
            GANG_CHECK(same_bits(data[i], tree_sum((int)world, i)));
        for (size_t i = 0; i < count; i++)
            data[i] = value(comm->rank, i);
        GANG_TRY(comm->ops->all_reduce_sum(comm, data, count, err));
        for (size_t i = 0; i < count; i++)
            GANG_CHECK(same_bits(data[i], tree_sum((int)world, i)));
        GANG_CHECK(same_bits(data[world * count], 42));
    }
    return 0;
}

static void sums_on_memory_that_all_see_have_the_promised_bits(void **state)
{
    (void)state;
    for (size_t i = 1; i < COUNT_OF(worlds); i++) {
        bool is_one_node = true;
        struct gang gang = {
            .world_size = worlds[i], .ranks_per_node = worlds[i], .shares_memory = true};
        gang_run(&gang, operations_on_a_window, &is_one_node);
        is_one_node = false;
        gang.ranks_per_node = 1;
        gang_run(&gang, operations_on_a_window, &is_one_node);
    }
}

static int one_big_sum(struct comm *comm, void *context)
{
    (void)context;
    return check_all_reduce(comm, SIZE_MAX_FLOATS) | check_reduce_scatter(comm, 300001) |
           check_all_gather(comm, 300001);
}

static void every_operation_is_right_between_ranks_of_one_node(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(worlds); i++) {
        struct gang gang = {
            .world_size = worlds[i], .ranks_per_node = worlds[i], .shares_memory = true};
        gang_run(&gang, every_operation, NULL);
    }
}

static void every_operation_is_right_between_nodes(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(worlds); i++) {
        struct gang gang = {.world_size = worlds[i], .ranks_per_node = 1};
        gang_run(&gang, every_operation, NULL);
    }
}

static void every_operation_is_right_on_nodes_of_several_ranks(void **state)
{
    (void)state;
    static const int per_node[][2] = {{3, 2}, {4, 2}, {5, 3}, {8, 4}};
    for (size_t i = 0; i < COUNT_OF(per_node); i++) {
        struct gang gang = {
            .world_size = per_node[i][0], .ranks_per_node = per_node[i][1], .shares_memory = true};
        gang_run(&gang, every_operation, NULL);
    }
}

static void a_node_without_shared_memory_uses_connections(void **state)
{
    (void)state;
    struct gang gang = {.world_size = 3, .ranks_per_node = 3, .shares_memory = false};
    gang_run(&gang, every_operation, NULL);
}

static void vectors_larger_than_any_ring_are_summed_right(void **state)
{
    (void)state;
    static const struct gang gangs[] = {
        {.world_size = 2, .ranks_per_node = 2, .shares_memory = true},
        {.world_size = 3, .ranks_per_node = 3, .shares_memory = true},
        {.world_size = 4, .ranks_per_node = 2, .shares_memory = true},
        {.world_size = 2, .ranks_per_node = 1},
    };
    for (size_t i = 0; i < COUNT_OF(gangs); i++) {
        struct gang gang = gangs[i];
        gang_run(&gang, one_big_sum, NULL);
    }
}

/* ---- ranks that disagree */

static int sums_of_different_sizes(struct comm *comm, void *context)
{
    (void)context;
    float data[200] = {0};
    struct error err = {0};
    const enum status status =
        comm->ops->all_reduce_sum(comm, data, comm->rank == 0 ? 100 : 200, &err);
    GANG_CHECK(status == STATUS_CORRUPT || status == STATUS_UNAVAILABLE);
    GANG_CHECK(comm->ops->barrier(comm, NULL) == STATUS_UNAVAILABLE);
    return status == STATUS_CORRUPT ? 10 : 11;
}

static int different_operations(struct comm *comm, void *context)
{
    (void)context;
    uint8_t data[4] = {0}, out[8] = {0};
    struct error err = {0};
    const enum status status = comm->rank == 0
                                   ? comm->ops->all_reduce_sum(comm, (float[]){0}, 1, &err)
                                   : comm->ops->all_gather(comm, out, data, sizeof(data), &err);
    GANG_CHECK(status == STATUS_CORRUPT || status == STATUS_UNAVAILABLE);
    return status == STATUS_CORRUPT ? 10 : 11;
}

static void ranks_that_disagree_are_told_so(void **state)
{
    (void)state;
    gang_rank_fn *const cases[] = {sums_of_different_sizes, different_operations};
    for (size_t i = 0; i < 4; i++) {
        struct gang gang = {
            .world_size = 2, .ranks_per_node = i % 2 == 0 ? 2 : 1, .shares_memory = i % 2 == 0};
        gang_start(&gang, cases[i / 2], NULL);
        const int first = gang_wait(&gang, 0, 10000);
        const int second = gang_wait(&gang, 1, 10000);
        assert_true(first == 10 || second == 10);
        assert_true(first >= 10 && second >= 10);
    }
}

static int calls_that_make_no_sense(struct comm *comm, void *context)
{
    (void)context;
    struct error err = {0};
    uint8_t byte = 0;
    GANG_CHECK(comm->ops->send(comm, &byte, 1, comm->rank, &err) == STATUS_INVALID);
    GANG_CHECK(comm->ops->recv(comm, &byte, 1, 2, NULL) == STATUS_INVALID);
    GANG_CHECK(comm->ops->recv_any(comm, &byte, 1, 0, 2, &(int){0}, NULL) == STATUS_INVALID);
    GANG_CHECK(comm->ops->broadcast(comm, &byte, 1, -1, NULL) == STATUS_INVALID);
    GANG_CHECK(comm->ops->barrier(comm, NULL) == STATUS_OK); /* it still works */
    return 0;
}

static void a_call_that_makes_no_sense_is_refused_and_harmless(void **state)
{
    (void)state;
    struct gang gang = {.world_size = 2, .ranks_per_node = 2, .shares_memory = true};
    gang_run(&gang, calls_that_make_no_sense, NULL);
}

/* ---- ranks that are threads, so that what they leave behind is this process's to find */

struct thread_rank {
    struct comm_place place;
    int code;
    pthread_t thread;
};

static void *thread_main(void *argument)
{
    struct thread_rank *rank = argument;
    CLEANUP(comm_cleanup) struct comm *comm = NULL;
    rank->code = 2;
    if (comm_host_open(&rank->place, &comm, NULL) == STATUS_OK)
        rank->code = every_operation(comm, NULL);
    return NULL;
}

static void ranks_may_be_threads_of_one_process(void **state)
{
    (void)state;
    struct gang gang = {.world_size = 3, .ranks_per_node = 2, .memory_fds = {-1, -1}};
    CLEANUP(fd_cleanup) int fd = memfd_create("threads", MFD_CLOEXEC);
    struct thread_rank ranks[3];
    gang.port = gang_free_port();
    gang.memory_fds[0] = fd;
    for (int i = 0; i < gang.world_size; i++) {
        ranks[i].place = gang_place(&gang, i);
        assert_int_equal(pthread_create(&ranks[i].thread, NULL, thread_main, &ranks[i]), 0);
    }
    for (int i = 0; i < gang.world_size; i++) {
        assert_int_equal(pthread_join(ranks[i].thread, NULL), 0);
        assert_int_equal(ranks[i].code, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_operation_is_right_between_ranks_of_one_node),
        cmocka_unit_test(every_operation_is_right_between_nodes),
        cmocka_unit_test(every_operation_is_right_on_nodes_of_several_ranks),
        cmocka_unit_test(a_node_without_shared_memory_uses_connections),
        cmocka_unit_test(sums_on_memory_that_all_see_have_the_promised_bits),
        cmocka_unit_test(vectors_larger_than_any_ring_are_summed_right),
        cmocka_unit_test(ranks_may_be_threads_of_one_process),
        cmocka_unit_test(ranks_that_disagree_are_told_so),
        cmocka_unit_test(a_call_that_makes_no_sense_is_refused_and_harmless),
    };
    return cmocka_run_group_tests_name("comm_host", tests, NULL, NULL);
}
