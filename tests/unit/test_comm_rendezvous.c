/* How a gang meets: who is let in, who is kept out, and what everyone learns when it can't be. */

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/id.h"
#include "tests/unit/comm_gang.h"
#include "trainer/comm/handshake.h"
#include "trainer/comm/rendezvous.h"

enum { WORLD = 3 };

static const uint8_t secret[] = "what the gang knows";
static const uint8_t other_secret[] = "what others know...";

static struct rendezvous_place place_at(int port, int rank)
{
    return (struct rendezvous_place){.rank = rank,
                                     .world_size = WORLD,
                                     .address = "127.0.0.1",
                                     .port = port,
                                     .secret = secret,
                                     .secret_bytes = sizeof(secret),
                                     .timeout_ms = 10000};
}

/* One rank as a thread of this process. */
struct visit {
    struct rendezvous_place place;
    int64_t delay_ms;
    bool leaves; /* after it was let in */
    enum status status;
    struct error err;
    int32_t values[WORLD];
    int64_t done_ms;
    pthread_t thread;
};

static enum status meet(struct visit *visit)
{
    CLEANUP(rendezvous_cleanup) struct rendezvous *rendezvous = NULL;
    const int32_t value = 100 + visit->place.rank;

    clock_sleep_ms(visit->delay_ms);
    TRY(rendezvous_open(&visit->place, &rendezvous, &visit->err));
    if (visit->leaves)
        return STATUS_OK;
    TRY(rendezvous_gather(rendezvous, "values", &value, sizeof(value), visit->values, &visit->err));
    return rendezvous_barrier(rendezvous, "ready", &visit->err);
}

static void *visit_main(void *argument)
{
    struct visit *visit = argument;
    visit->status = meet(visit);
    visit->done_ms = clock_mono_ms();
    return NULL;
}

static void visit_start(struct visit *visit, int port, int rank)
{
    visit->place = place_at(port, rank);
    assert_int_equal(pthread_create(&visit->thread, NULL, visit_main, visit), 0);
}

static void visits_start(struct visit visits[WORLD])
{
    const int port = gang_free_port();
    for (int rank = 0; rank < WORLD; rank++)
        visit_start(&visits[rank], port, rank);
}

static void visits_join(struct visit visits[WORLD])
{
    for (int rank = 0; rank < WORLD; rank++)
        assert_int_equal(pthread_join(visits[rank].thread, NULL), 0);
}

static void assert_all_met(const struct visit visits[])
{
    for (int i = 0; i < WORLD; i++) {
        assert_string_equal(visits[i].err.text, "");
        assert_int_equal(visits[i].status, STATUS_OK);
        assert_memory_equal(visits[i].values, ((int32_t[]){100, 101, 102}), 12);
    }
}

static void every_rank_learns_every_value_in_whatever_order_they_come(void **state)
{
    (void)state;
    for (int late = 0; late < WORLD; late++) {
        struct visit visits[WORLD] = {0};
        visits[late].delay_ms = 50; /* 0: the others knock before anybody listens */
        visits_start(visits);
        visits_join(visits);
        assert_all_met(visits);
    }
}

static void a_rank_that_leaves_ends_the_wait_of_the_others_at_once(void **state)
{
    (void)state;
    struct visit visits[WORLD] = {0};
    visits[2].leaves = true;
    visits[2].delay_ms = 60; /* the others wait by then */
    const int64_t begin_ms = clock_mono_ms();

    visits_start(visits);
    visits_join(visits);

    for (int rank = 0; rank < 2; rank++) {
        assert_int_equal(visits[rank].status, STATUS_UNAVAILABLE);
        assert_string_equal(visits[rank].err.text, "rank 2 left the rendezvous");
        assert_true(visits[rank].done_ms - begin_ms < 8000); /* of 10 s */
    }
}

static void a_rank_that_never_comes_costs_the_setup_timeout(void **state)
{
    (void)state;
    struct rendezvous_place place = place_at(gang_free_port(), 0);
    struct visit visit = {.place = place};
    visit.place.timeout_ms = 200;
    const int64_t begin_ms = clock_mono_ms();

    assert_int_equal(meet(&visit), STATUS_UNAVAILABLE);

    assert_in_range((uint64_t)(clock_mono_ms() - begin_ms), 190, 8000);
    assert_non_null(strstr(visit.err.text, "did not answer in time"));
}

static void a_rank_without_a_store_gives_up_at_the_setup_timeout(void **state)
{
    (void)state;
    struct visit visit = {.place = place_at(gang_free_port(), 1)};
    visit.place.timeout_ms = 100;

    assert_int_equal(meet(&visit), STATUS_UNAVAILABLE);

    assert_non_null(strstr(visit.err.text, "connect to port"));
}

static void a_port_in_use_is_named(void **state)
{
    (void)state;
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t bytes = sizeof(address);
    char expected[64];
    CLEANUP(fd_cleanup) int fd = socket(AF_INET, SOCK_STREAM, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &bytes), 0);
    const struct rendezvous_place place = place_at(ntohs(address.sin_port), 0);
    struct rendezvous *rendezvous = NULL;
    struct error err = {0};

    assert_int_equal(rendezvous_open(&place, &rendezvous, &err), STATUS_UNAVAILABLE);

    snprintf(expected, sizeof(expected), "port %d of 127.0.0.1 is in use", place.port);
    assert_string_equal(err.text, expected);
}

static void a_place_that_makes_no_sense_is_refused(void **state)
{
    (void)state;
    struct rendezvous *rendezvous = NULL;
    struct rendezvous_place place = place_at(1, 0);
    struct error err = {0};

    place.secret_bytes = 0;
    assert_int_equal(rendezvous_open(&place, &rendezvous, &err), STATUS_INVALID);
    assert_string_equal(err.text, "rank 0 has no rendezvous secret");
    place = place_at(1, WORLD);
    assert_int_equal(rendezvous_open(&place, &rendezvous, NULL), STATUS_INVALID);
    place = place_at(0, 0);
    assert_int_equal(rendezvous_open(&place, &rendezvous, NULL), STATUS_INVALID);
}

/* ---- strangers */

static int knock(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int64_t until_ms = clock_mono_ms() + 5000;
    while (clock_mono_ms() < until_ms) {
        const int fd = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
            return fd;
        (void)close(fd);
        clock_sleep_ms(1);
    }
    return -1;
}

/* Bytes that came before the store hung up; -1: it didn't within 5 s. */
static ssize_t read_until_closed(int fd)
{
    uint8_t bytes[4096];
    ssize_t total = 0;
    for (;;) {
        struct pollfd entry = {.fd = fd, .events = POLLIN};
        if (poll(&entry, 1, 5000) != 1)
            return -1;
        const ssize_t got = recv(fd, bytes, sizeof(bytes), 0);
        if (got <= 0)
            return total;
        total += got;
    }
}

static void a_rank_with_another_secret_is_shut_out_and_the_gang_still_meets(void **state)
{
    (void)state;
    struct visit visits[WORLD] = {0};
    const int port = gang_free_port();
    visit_start(&visits[0], port, 0);
    visit_start(&visits[1], port, 1);
    struct visit stranger = {.place = place_at(port, 2)};
    stranger.place.secret = other_secret;

    assert_int_equal(meet(&stranger), STATUS_UNAVAILABLE);
    visit_start(&visits[2], port, 2);

    assert_non_null(strstr(stranger.err.text, "closed the connection, after it was shown a proof"));
    visits_join(visits);
    assert_all_met(visits);
}

static void a_store_with_another_secret_is_not_believed(void **state)
{
    (void)state;
    const struct handshake connector = {.use = HANDSHAKE_RENDEZVOUS,
                                        .secret = secret,
                                        .secret_bytes = sizeof(secret),
                                        .rank = 1,
                                        .world_size = 2};
    struct handshake impostor = connector;
    impostor.rank = 0;
    struct handshake_hello hello;
    struct handshake_auth auth;
    struct handshake_welcome welcome;
    struct error err = {0};
    handshake_make_hello(&impostor, &hello);
    assert_int_equal(handshake_answer_hello(&connector, &hello, &auth, NULL), STATUS_OK);
    assert_int_equal(handshake_answer_auth(&impostor, &hello, &auth, &welcome, NULL), STATUS_OK);
    assert_int_equal(handshake_check_welcome(&connector, &hello, &auth, &welcome, NULL), STATUS_OK);

    welcome.mac[5] ^= 1;

    assert_int_equal(handshake_check_welcome(&connector, &hello, &auth, &welcome, &err),
                     STATUS_DENIED);
    assert_string_equal(err.text, "the peer does not know the attempt's secret");
}

static void a_proof_for_a_link_is_none_for_the_rendezvous(void **state)
{
    (void)state;
    struct handshake store = {.use = HANDSHAKE_RENDEZVOUS,
                              .secret = secret,
                              .secret_bytes = sizeof(secret),
                              .world_size = 2};
    struct handshake linker = store;
    linker.use = HANDSHAKE_LINK;
    linker.rank = 1;
    struct handshake_hello hello;
    struct handshake_auth auth;
    struct handshake_welcome welcome;
    handshake_make_hello(&store, &hello);
    assert_int_equal(handshake_answer_hello(&linker, &hello, &auth, NULL), STATUS_CORRUPT);
    hello.use = HANDSHAKE_LINK; /* a stranger in between relabels it */
    assert_int_equal(handshake_answer_hello(&linker, &hello, &auth, NULL), STATUS_OK);
    hello.use = HANDSHAKE_RENDEZVOUS;

    assert_int_equal(handshake_answer_auth(&store, &hello, &auth, &welcome, NULL), STATUS_DENIED);
}

static void a_proof_of_one_connection_is_none_for_another(void **state)
{
    (void)state;
    const struct handshake store = {.use = HANDSHAKE_RENDEZVOUS,
                                    .secret = secret,
                                    .secret_bytes = sizeof(secret),
                                    .world_size = 2};
    struct handshake_hello first, second;
    struct handshake_auth auth;
    struct handshake_welcome welcome;
    handshake_make_hello(&store, &first);
    handshake_make_hello(&store, &second);
    assert_int_equal(handshake_answer_hello(&store, &first, &auth, NULL), STATUS_OK);

    assert_int_equal(handshake_answer_auth(&store, &second, &auth, &welcome, NULL), STATUS_DENIED);
}

static void garbage_and_silence_at_the_port_do_not_disturb_the_gang(void **state)
{
    (void)state;
    struct visit visits[WORLD] = {0};
    const int port = gang_free_port();
    visit_start(&visits[0], port, 0);
    visit_start(&visits[1], port, 1);
    int callers[60];
    uint8_t garbage[500];
    random_bytes(garbage, sizeof(garbage));

    for (size_t i = 0; i < COUNT_OF(callers); i++) {
        callers[i] = knock(port);
        assert_true(callers[i] >= 0);
        if (i % 2 == 0) /* the others say nothing */
            (void)send(callers[i], garbage, sizeof(garbage), MSG_NOSIGNAL);
    }

    for (size_t i = 0; i < COUNT_OF(callers); i += 2)
        assert_in_range((uint64_t)read_until_closed(callers[i]), 0, sizeof(struct handshake_hello));
    visit_start(&visits[2], port, 2);
    visits_join(visits);
    assert_all_met(visits);
    for (size_t i = 0; i < COUNT_OF(callers); i++)
        (void)close(callers[i]);
}

static void strangers_do_not_keep_the_gang_out_for_long(void **state)
{
    (void)state;
    struct visit visits[WORLD] = {0};
    const int port = gang_free_port();
    int callers[100];

    visit_start(&visits[0], port, 0);
    for (size_t i = 0; i < COUNT_OF(callers); i++)
        callers[i] = knock(port);
    visit_start(&visits[1], port, 1);
    visit_start(&visits[2], port, 2);
    visits_join(visits);

    assert_all_met(visits);
    for (size_t i = 0; i < COUNT_OF(callers); i++)
        (void)close(callers[i]);
}

/* ---- communicators */

static void shared_memory_that_was_used_before_is_refused(void **state)
{
    (void)state;
    CLEANUP(fd_cleanup) int fd = memfd_create("used", MFD_CLOEXEC);
    assert_int_equal(ftruncate(fd, 4096), 0);
    struct gang gang = {.world_size = 2, .ranks_per_node = 2};
    gang.port = gang_free_port();
    struct comm_place place = gang_place(&gang, 0);
    place.shared_memory_fd = fd;
    struct comm *comm = NULL;
    struct error err = {0};

    assert_int_equal(comm_host_open(&place, &comm, &err), STATUS_INVALID);

    assert_string_equal(err.text, "shared memory is not fresh: it has 4096 bytes");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_rank_learns_every_value_in_whatever_order_they_come),
        cmocka_unit_test(a_rank_that_leaves_ends_the_wait_of_the_others_at_once),
        cmocka_unit_test(a_rank_that_never_comes_costs_the_setup_timeout),
        cmocka_unit_test(a_rank_without_a_store_gives_up_at_the_setup_timeout),
        cmocka_unit_test(a_port_in_use_is_named),
        cmocka_unit_test(a_place_that_makes_no_sense_is_refused),
        cmocka_unit_test(a_rank_with_another_secret_is_shut_out_and_the_gang_still_meets),
        cmocka_unit_test(a_store_with_another_secret_is_not_believed),
        cmocka_unit_test(a_proof_for_a_link_is_none_for_the_rendezvous),
        cmocka_unit_test(a_proof_of_one_connection_is_none_for_another),
        cmocka_unit_test(garbage_and_silence_at_the_port_do_not_disturb_the_gang),
        cmocka_unit_test(strangers_do_not_keep_the_gang_out_for_long),
        cmocka_unit_test(shared_memory_that_was_used_before_is_refused),
    };
    return cmocka_run_group_tests_name("comm_rendezvous", tests, NULL, NULL);
}
