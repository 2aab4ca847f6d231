#include "tests/unit/unit.h"

#include <pthread.h>

#include "base/clock.h"
#include "base/queue.h"

#define PRODUCERS        4
#define ITEMS_A_PRODUCER 5000

static void items_come_out_in_order_and_at_once(void **state)
{
    (void)state;
    struct error err = {.status = STATUS_OK};
    struct queue *queue = NULL;
    int items[5] = {0};
    void *out[8];
    assert_ok(queue_new(4, &queue, &err), &err);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 4; i++)
            assert_true(queue_push(queue, &items[i]));
        assert_false(queue_push(queue, &items[4])); /* full */
        assert_int_equal(queue_length(queue), 4);
        assert_int_equal(queue_take(queue, out, 3, clock_mono_ms()), 3);
        assert_int_equal(queue_take(queue, out + 3, 5, clock_mono_ms()), 1);
        for (int i = 0; i < 4; i++)
            assert_ptr_equal(out[i], &items[i]);
    }
    queue_free(queue);
    queue_free(NULL);
}

static void an_empty_queue_waits_until_the_deadline(void **state)
{
    (void)state;
    struct error err = {.status = STATUS_OK};
    struct queue *queue = NULL;
    void *out[1];
    assert_ok(queue_new(4, &queue, &err), &err);
    const int64_t start_ms = clock_mono_ms();
    assert_int_equal(queue_take(queue, out, 1, start_ms + 30), 0);
    assert_true(clock_mono_ms() >= start_ms + 29);
    queue_free(queue);
}

static void a_closed_queue_refuses_and_drains(void **state)
{
    (void)state;
    struct error err = {.status = STATUS_OK};
    struct queue *queue = NULL;
    int item = 0;
    void *out[2];
    assert_ok(queue_new(4, &queue, &err), &err);
    assert_false(queue_is_closed(queue));
    assert_true(queue_push(queue, &item));
    queue_close(queue);
    assert_true(queue_is_closed(queue));
    assert_false(queue_push(queue, &item));
    assert_int_equal(queue_take(queue, out, 2, clock_mono_ms() + 60000), 1);
    assert_int_equal(queue_take(queue, out, 2, clock_mono_ms() + 60000), 0); /* does not wait */
    queue_free(queue);
}

struct producer {
    struct queue *queue;
    intptr_t first;
};

static void *produce(void *context)
{
    const struct producer *producer = context;
    for (intptr_t i = 0; i < ITEMS_A_PRODUCER; i++) {
        while (!queue_push(producer->queue, (void *)(producer->first + i)))
            clock_sleep_ms(1); /* full: the consumer is behind */
    }
    return NULL;
}

static void nothing_is_lost_between_threads(void **state)
{
    (void)state;
    struct error err = {.status = STATUS_OK};
    struct queue *queue = NULL;
    assert_ok(queue_new(64, &queue, &err), &err);
    pthread_t threads[PRODUCERS];
    struct producer producers[PRODUCERS];
    for (int p = 0; p < PRODUCERS; p++) {
        producers[p] = (struct producer){.queue = queue, .first = 1 + p * ITEMS_A_PRODUCER};
        assert_int_equal(pthread_create(&threads[p], NULL, produce, &producers[p]), 0);
    }
    intptr_t next[PRODUCERS] = {0};
    size_t total = 0;
    while (total < PRODUCERS * ITEMS_A_PRODUCER) {
        void *out[32];
        const size_t taken = queue_take(queue, out, 32, clock_mono_ms() + 10000);
        assert_true(taken > 0);
        for (size_t i = 0; i < taken; i++) {
            const intptr_t value = (intptr_t)out[i] - 1;
            /* Each producer's items come in its own order. */
            assert_int_equal(value % ITEMS_A_PRODUCER, next[value / ITEMS_A_PRODUCER]);
            next[value / ITEMS_A_PRODUCER]++;
        }
        total += taken;
    }
    for (int p = 0; p < PRODUCERS; p++)
        assert_int_equal(pthread_join(threads[p], NULL), 0);
    queue_free(queue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_come_out_in_order_and_at_once),
        cmocka_unit_test(an_empty_queue_waits_until_the_deadline),
        cmocka_unit_test(a_closed_queue_refuses_and_drains),
        cmocka_unit_test(nothing_is_lost_between_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
