/* What ranks notice when one of them dies, stops, leaves or gives up, and how soon. */

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/id.h"
#include "schema/progress_page.h"
#include "tests/unit/comm_gang.h"

enum {
    LOST = 10,         /* exit code: STATUS_UNAVAILABLE */
    GRADIENT = 101770, /* floats of the MNIST model */
    KILLS = 60,
    NOTICE_MS_MAX = 12000, /* below the 20 s deadline; bench_comm measures how soon it is */
    STOP_MS = 1000,        /* the deadline where a rank is stopped */
};

/* What ranks and test see of each other, in memory shared by fork. */
struct board {
    atomic_int working;
    _Atomic int64_t noticed_ns[GANG_RANKS_MAX];
    char texts[GANG_RANKS_MAX][ERROR_TEXT_BYTES_MAX];
    struct progress_page page;
};

static struct board *board_new(void)
{
    void *memory =
        mmap(NULL, sizeof(struct board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(memory != MAP_FAILED);
    return memory;
}

static void board_cleanup(struct board **board)
{
    (void)munmap(*board, sizeof(**board));
}

static int lost(struct comm *comm, struct board *board, enum status status, const struct error *err)
{
    atomic_store(&board->noticed_ns[comm->rank], clock_mono_ns());
    memcpy(board->texts[comm->rank], err->text, sizeof(err->text));
    return status == STATUS_UNAVAILABLE ? LOST : 1;
}

static int sum_until_loss(struct comm *comm, void *context)
{
    struct board *board = context;
    CLEANUP(free_cleanup) float *data = calloc(GRADIENT, sizeof(float));
    GANG_CHECK(data != NULL);
    for (int turn = 0;; turn++) {
        struct error err = {0};
        const enum status status = comm->ops->all_reduce_sum(comm, data, GRADIENT, &err);
        if (status != STATUS_OK)
            return lost(comm, board, status, &err);
        if (turn == 0)
            atomic_fetch_add(&board->working, 1);
    }
}

static void wait_until_working(const struct board *board, int ranks)
{
    const int64_t deadline_ms = clock_mono_ms() + 20000;
    while (atomic_load(&board->working) < ranks && clock_mono_ms() < deadline_ms)
        clock_sleep_ms(1);
    assert_int_equal(atomic_load(&board->working), ranks);
}

static int compare_times(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a;
    const int64_t y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Kills a random rank in the middle of sums, KILLS times; prints how long survivors took to notice. */
static void kill_often(const struct gang *shape, const char *name)
{
    uint64_t random = 20261124;
    int64_t noticed_us[KILLS * GANG_RANKS_MAX];
    size_t count = 0;

    for (int turn = 0; turn < KILLS; turn++) {
        CLEANUP(board_cleanup) struct board *board = board_new();
        struct gang gang = *shape;
        gang_start(&gang, sum_until_loss, board);
        wait_until_working(board, gang.world_size);
        const int victim = (int)(splitmix64_next(&random) % (uint64_t)gang.world_size);
        const struct timespec pause = {.tv_nsec = (long)(splitmix64_next(&random) % 3000000)};
        (void)nanosleep(&pause, NULL);

        const int64_t killed_ns = clock_mono_ns();
        assert_int_equal(kill(gang.pids[victim], SIGKILL), 0);

        for (int rank = 0; rank < gang.world_size; rank++) {
            const int code = gang_wait(&gang, rank, 10000);
            assert_int_equal(code, rank == victim ? 128 + SIGKILL : LOST);
            if (rank != victim)
                noticed_us[count++] = (atomic_load(&board->noticed_ns[rank]) - killed_ns) / 1000;
        }
    }
    qsort(noticed_us, count, sizeof(noticed_us[0]), compare_times);
    printf(
        "%s: %zu survivors noticed after %lld / %lld / %lld / %lld us (min, median, 99 %%, max)\n",
        name, count, (long long)noticed_us[0], (long long)noticed_us[count / 2],
        (long long)noticed_us[count * 99 / 100], (long long)noticed_us[count - 1]);
    assert_true(noticed_us[count - 1] < NOTICE_MS_MAX * 1000);
}

static void a_killed_rank_of_two_on_one_node_is_noticed_at_once(void **state)
{
    (void)state;
    kill_often(&(struct gang){.world_size = 2, .ranks_per_node = 2, .shares_memory = true},
               "2 ranks, shared memory");
}

static void a_killed_rank_of_four_on_one_node_is_noticed_at_once(void **state)
{
    (void)state;
    kill_often(&(struct gang){.world_size = 4, .ranks_per_node = 4, .shares_memory = true},
               "4 ranks, shared memory");
}

static void a_killed_rank_of_two_nodes_is_noticed_at_once(void **state)
{
    (void)state;
    kill_often(&(struct gang){.world_size = 2, .ranks_per_node = 1}, "2 ranks, TCP");
}

static void a_killed_rank_of_two_nodes_of_two_is_noticed_at_once(void **state)
{
    (void)state;
    kill_often(&(struct gang){.world_size = 4, .ranks_per_node = 2, .shares_memory = true},
               "2 nodes of 2 ranks");
}

/* ---- shapes that the other tests go through */

static const struct gang shapes[] = {
    {.world_size = 2, .ranks_per_node = 2, .shares_memory = true},
    {.world_size = 2, .ranks_per_node = 1},
    {.world_size = 4, .ranks_per_node = 2, .shares_memory = true},
};

static int sum_when_told(struct comm *comm, void *context)
{
    struct board *board = context;
    atomic_fetch_add(&board->working, 1);
    while (atomic_load(&board->working) < 100)
        clock_sleep_ms(1);
    float one = 1;
    struct error err = {0};
    const enum status status = comm->ops->all_reduce_sum(comm, &one, 1, &err);
    return status == STATUS_OK ? 0 : lost(comm, board, status, &err);
}

static void a_rank_killed_while_others_compute_is_noticed_at_their_next_sum(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(shapes); i++) {
        CLEANUP(board_cleanup) struct board *board = board_new();
        struct gang gang = shapes[i];
        gang_start(&gang, sum_when_told, board);
        wait_until_working(board, gang.world_size);
        assert_int_equal(kill(gang.pids[1], SIGKILL), 0);
        assert_int_equal(gang_wait(&gang, 1, 5000), 128 + SIGKILL);
        const int64_t told_ms = clock_mono_ms();
        atomic_store(&board->working, 100);
        for (int rank = 0; rank < gang.world_size; rank++) {
            if (rank != 1)
                assert_int_equal(gang_wait(&gang, rank, 10000), LOST);
        }
        assert_true(clock_mono_ms() - told_ms < NOTICE_MS_MAX);
    }
}

static void a_stopped_rank_is_noticed_at_the_deadline(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(shapes); i++) {
        CLEANUP(board_cleanup) struct board *board = board_new();
        struct gang gang = shapes[i];
        gang.timeout_ms = STOP_MS;
        gang_start(&gang, sum_until_loss, board);
        wait_until_working(board, gang.world_size);
        const int64_t stopped_ms = clock_mono_ms();
        assert_int_equal(kill(gang.pids[1], SIGSTOP), 0);
        for (int rank = 0; rank < gang.world_size; rank++) {
            if (rank != 1)
                assert_int_equal(gang_wait(&gang, rank, 10000), LOST);
        }
        const int64_t noticed_ms = clock_mono_ms() - stopped_ms;
        assert_in_range((uint64_t)noticed_ms, STOP_MS * 9 / 10, STOP_MS + NOTICE_MS_MAX);
        if (gang.world_size == 2)
            assert_string_equal(board->texts[0],
                                "rank 1 is silent: rank 0 waited 1000 ms in all_reduce");
        assert_int_equal(kill(gang.pids[1], SIGKILL), 0);
        (void)gang_wait(&gang, 1, 5000);
    }
}

/* ---- leaving */

static int leave_without_summing(struct comm *comm, void *context)
{
    struct error err = {0};
    if (comm->rank == 1)
        return 0;
    const enum status status = comm->ops->barrier(comm, &err);
    return status == STATUS_OK ? 1 : lost(comm, context, status, &err);
}

static void a_rank_that_leaves_early_is_lost_to_those_who_wait_for_it(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(shapes); i++) {
        CLEANUP(board_cleanup) struct board *board = board_new();
        struct gang gang = shapes[i];
        gang_start(&gang, leave_without_summing, board);
        for (int rank = 0; rank < gang.world_size; rank++)
            assert_int_equal(gang_wait(&gang, rank, 10000), rank == 1 ? 0 : LOST);
    }
}

static int receive_late(struct comm *comm, void *context)
{
    (void)context;
    int words[64] = {0};
    if (comm->rank == 0)
        words[63] = 7;
    else
        clock_sleep_ms(60);
    for (int turn = 0; turn < 3; turn++)
        GANG_TRY(comm->ops->broadcast(comm, words, sizeof(words), 0, err));
    GANG_CHECK(words[63] == 7);
    return 0;
}

static void what_a_rank_sent_before_it_left_in_order_still_arrives(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(shapes); i++) {
        struct gang gang = shapes[i];
        gang_run(&gang, receive_late, NULL);
    }
}

/* ---- giving up */

static void *abort_soon(void *argument)
{
    struct comm *comm = argument;
    clock_sleep_ms(30);
    comm->ops->abort(comm);
    return NULL;
}

static int wait_in_vain(struct comm *comm, void *context)
{
    pthread_t thread;
    struct error err = {0};
    float one = 1;
    if (comm->rank == 0) {
        GANG_CHECK(pthread_create(&thread, NULL, abort_soon, comm) == 0);
        const enum status status = comm->ops->recv(comm, &one, sizeof(one), 1, &err);
        (void)pthread_join(thread, NULL);
        GANG_CHECK(comm->ops->barrier(comm, NULL) == STATUS_UNAVAILABLE);
        return lost(comm, context, status, &err);
    }
    const enum status status = comm->ops->recv(comm, &one, sizeof(one), 0, &err);
    return status == STATUS_OK ? 1 : lost(comm, context, status, &err);
}

static void an_abort_from_another_thread_ends_the_wait_of_all_ranks(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(shapes); i++) {
        CLEANUP(board_cleanup) struct board *board = board_new();
        struct gang gang = shapes[i];
        gang_start(&gang, wait_in_vain, board);
        for (int rank = 0; rank < gang.world_size; rank++)
            assert_int_equal(gang_wait(&gang, rank, 10000), LOST);
        assert_string_equal(board->texts[0], "rank 0: send aborted");
    }
}

/* ---- the witness */

static int wait_for_a_late_rank(struct comm *comm, void *context)
{
    struct board *board = context;
    float one = 1;
    GANG_TRY(comm->ops->barrier(comm, err));
    if (comm->rank == 1) {
        atomic_store(&board->working, 1);
        while (atomic_load(&board->working) != 2)
            clock_sleep_ms(1);
    }
    GANG_TRY(comm->ops->all_reduce_sum(comm, &one, 1, err));
    return 0;
}

static int rank_with_page(struct comm *comm, void *context)
{
    struct board *board = context;
    const int code = wait_for_a_late_rank(comm, context);
    if (comm->rank == 0)
        GANG_CHECK(atomic_load(&board->page.collective_since_boot_ms) == 0);
    return code;
}

static void a_waiting_rank_says_since_when_in_its_progress_page(void **state)
{
    (void)state;
    CLEANUP(board_cleanup) struct board *board = board_new();
    struct gang gang = {.world_size = 2, .ranks_per_node = 2, .shares_memory = true};
    gang.progress_of_rank_0 = &board->page;
    const uint64_t before_ms = (uint64_t)clock_boot_ms();
    gang_start(&gang, rank_with_page, board);
    wait_until_working(board, 1);
    while (atomic_load(&board->page.collective) != 2)
        clock_sleep_ms(1);
    clock_sleep_ms(5);
    const uint64_t since_ms = atomic_load(&board->page.collective_since_boot_ms);
    atomic_store(&board->working, 2);

    assert_true(since_ms >= before_ms && since_ms <= (uint64_t)clock_boot_ms());
    assert_true(atomic_load(&board->page.beat_boot_ms) >= since_ms);
    assert_int_equal(gang_wait(&gang, 0, 5000), 0);
    assert_int_equal(gang_wait(&gang, 1, 5000), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_killed_rank_of_two_on_one_node_is_noticed_at_once),
        cmocka_unit_test(a_killed_rank_of_four_on_one_node_is_noticed_at_once),
        cmocka_unit_test(a_killed_rank_of_two_nodes_is_noticed_at_once),
        cmocka_unit_test(a_killed_rank_of_two_nodes_of_two_is_noticed_at_once),
        cmocka_unit_test(a_rank_killed_while_others_compute_is_noticed_at_their_next_sum),
        cmocka_unit_test(a_stopped_rank_is_noticed_at_the_deadline),
        cmocka_unit_test(a_rank_that_leaves_early_is_lost_to_those_who_wait_for_it),
        cmocka_unit_test(what_a_rank_sent_before_it_left_in_order_still_arrives),
        cmocka_unit_test(an_abort_from_another_thread_ends_the_wait_of_all_ranks),
        cmocka_unit_test(a_waiting_rank_says_since_when_in_its_progress_page),
    };
    return cmocka_run_group_tests_name("comm_loss", tests, NULL, NULL);
}
