#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "trainer/comm/comm.h"

static int open_self(void **state)
{
    struct comm *comm = NULL;
    struct error err = {0};
    assert_int_equal(comm_self_open(&comm, &err), STATUS_OK);
    *state = comm;
    return 0;
}

static int close_self(void **state)
{
    comm_close(*state);
    return 0;
}

static void sums_and_copies_of_one_rank_are_the_identity(void **state)
{
    struct comm *comm = *state;
    float data[] = {1, 2, 3};
    float out[3] = {0};
    const size_t offset[] = {4}, bytes[] = {8};

    assert_int_equal(comm->world_size, 1);
    assert_int_equal(comm->ops->all_reduce_sum(comm, data, 3, NULL), STATUS_OK);
    assert_memory_equal(data, ((float[]){1, 2, 3}), sizeof(data));
    assert_int_equal(comm->ops->reduce_scatter_sum(comm, out, data, 3, NULL), STATUS_OK);
    assert_memory_equal(out, data, sizeof(data));
    memset(out, 0, sizeof(out));
    assert_int_equal(comm->ops->all_gather(comm, out, data, sizeof(data), NULL), STATUS_OK);
    assert_memory_equal(out, data, sizeof(data));
    memset(out, 0, sizeof(out));
    assert_int_equal(comm->ops->all_to_all(comm, out, offset, bytes, data, offset, bytes, NULL),
                     STATUS_OK);
    assert_memory_equal(out, ((float[]){0, 2, 3}), sizeof(out));
    assert_int_equal(comm->ops->broadcast(comm, data, sizeof(data), 0, NULL), STATUS_OK);
    assert_int_equal(comm->ops->barrier(comm, NULL), STATUS_OK);
}

static void a_rank_alone_has_nobody_to_send_to(void **state)
{
    struct comm *comm = *state;
    struct error err = {0};
    uint8_t byte = 0;

    assert_int_equal(comm->ops->send(comm, &byte, 1, 1, &err), STATUS_INVALID);
    assert_string_equal(err.text, "send of 1 bytes to rank 1 in a world of 1");
    assert_int_equal(comm->ops->recv(comm, &byte, 1, 0, NULL), STATUS_INVALID);
    void *window = &byte;
    assert_int_equal(comm->ops->window(comm, 1, &window, NULL), STATUS_OK);
    assert_null(window);
    assert_int_equal(comm->ops->recv_any(comm, &byte, 1, 0, 1, &(int){0}, NULL), STATUS_INVALID);
    assert_int_equal(comm->ops->broadcast(comm, &byte, 1, 1, NULL), STATUS_INVALID);
}

static void nothing_works_after_an_abort(void **state)
{
    struct comm *comm = *state;
    struct error err = {0};

    comm->ops->abort(comm);
    assert_int_equal(comm->ops->barrier(comm, &err), STATUS_UNAVAILABLE);
    assert_string_equal(err.text, "rank 0: the communicator was aborted");
    assert_int_equal(comm->ops->all_reduce_sum(comm, NULL, 0, NULL), STATUS_UNAVAILABLE);
}

static void a_missing_operation_is_named(void **state)
{
    const struct comm *comm = *state;
    struct comm_ops ops = *comm->ops;
    struct error err = {0};

    assert_int_equal(comm_check(&ops, NULL), STATUS_OK);
    ops.all_to_all = NULL;
    assert_int_equal(comm_check(&ops, &err), STATUS_INTERNAL);
    assert_string_equal(err.text, "communicator self has no operation all_to_all");
}

static void closing_nothing_is_fine(void **state)
{
    (void)state;
    comm_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(sums_and_copies_of_one_rank_are_the_identity, open_self,
                                        close_self),
        cmocka_unit_test_setup_teardown(a_rank_alone_has_nobody_to_send_to, open_self, close_self),
        cmocka_unit_test_setup_teardown(nothing_works_after_an_abort, open_self, close_self),
        cmocka_unit_test_setup_teardown(a_missing_operation_is_named, open_self, close_self),
        cmocka_unit_test(closing_nothing_is_fine),
    };
    return cmocka_run_group_tests_name("comm_self", tests, NULL, NULL);
}
