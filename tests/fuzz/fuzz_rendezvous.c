/*
 * fuzz_rendezvous.c - arbitrary bytes at the rendezvous store, from strangers and from members.
 *
 * The input is a script for a gang of three: pairs of (visitor, length) and that many bytes. Visitors
 * 0 to 2 have proven themselves honestly before; 3 to 7 are strangers. Beyond "does not crash": a
 * failure says why; a stranger never becomes a member; what a member is sent are whole answers; and
 * once a member has left nobody waits.
 */

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "trainer/comm/rendezvous_store.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { WORLD = 3, VISITORS = 8 };

static const uint8_t secret[] = "known to the gang";

static void drop(struct store *store, struct store_visitor *visitors[], int i)
{
    store_visitor_leave(store, visitors[i]);
    visitors[i] = NULL;
}

static void prove(struct store *store, struct store_visitor *visitor, int rank)
{
    const struct handshake self = {.use = HANDSHAKE_RENDEZVOUS,
                                   .secret = secret,
                                   .secret_bytes = sizeof(secret),
                                   .rank = (uint32_t)rank,
                                   .world_size = WORLD};
    struct handshake_hello hello;
    struct handshake_auth auth;
    struct handshake_welcome welcome;
    struct error err = {0};

    assert(visitor->output.size == sizeof(hello));
    memcpy(&hello, visitor->output.data, sizeof(hello));
    buf_reset(&visitor->output);
    assert(handshake_answer_hello(&self, &hello, &auth, &err) == STATUS_OK);
    assert(store_visitor_input(store, visitor, (const uint8_t *)&auth, sizeof(auth), &err) ==
           STATUS_OK);
    assert(visitor->output.size == sizeof(welcome));
    memcpy(&welcome, visitor->output.data, sizeof(welcome));
    buf_reset(&visitor->output);
    assert(handshake_check_welcome(&self, &hello, &auth, &welcome, &err) == STATUS_OK);
}

/* Reads and forgets what a member is sent. */
static void check_answers(struct store_visitor *visitor)
{
    while (visitor->output.size > 0) {
        struct rendezvous_answer answer;
        assert(visitor->output.size >= sizeof(answer));
        memcpy(&answer, visitor->output.data, sizeof(answer));
        assert(answer.magic == RENDEZVOUS_ANSWER_MAGIC);
        assert(answer.status == STATUS_OK || answer.status == STATUS_UNAVAILABLE);
        assert(answer.bytes <= WORLD * RENDEZVOUS_VALUE_MAX);
        assert(visitor->output.size >= sizeof(answer) + answer.bytes);
        buf_consume(&visitor->output, sizeof(answer) + answer.bytes);
    }
}

static void feed(struct store *store, struct store_visitor *visitors[], int i, const uint8_t *bytes,
                 size_t size)
{
    struct error err = {0};
    const enum status status = store_visitor_input(store, visitors[i], bytes, size, &err);
    assert(status == err.status);
    assert((status == STATUS_OK) == (err.text[0] == '\0'));
    assert(i < WORLD || !visitors[i]->member);
    for (int rank = 0; rank < WORLD; rank++) {
        if (visitors[rank] != NULL && (rank != i || status == STATUS_OK))
            check_answers(visitors[rank]);
    }
    if (status != STATUS_OK)
        drop(store, visitors, i);
    assert(i >= WORLD || visitors[i] != NULL || store->lost_rank >= 0);
    for (size_t row = 0; row < STORE_ROWS_MAX; row++)
        assert(store->lost_rank < 0 || store->rows[row].key[0] == '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct rendezvous_place place = {
        .world_size = WORLD, .secret = secret, .secret_bytes = sizeof(secret)};
    struct store store;
    struct store_visitor *visitors[VISITORS];
    struct error err = {0};

    assert(store_init(&store, &place, &err) == STATUS_OK);
    for (int i = 0; i < VISITORS; i++) {
        visitors[i] = store_visitor_enter(&store, i);
        assert(visitors[i] != NULL);
        if (i < WORLD)
            prove(&store, visitors[i], i);
    }
    while (size >= 2) {
        const int i = data[0] % VISITORS;
        size_t length = data[1];
        data += 2;
        size -= 2;
        if (length > size)
            length = size;
        if (visitors[i] != NULL)
            feed(&store, visitors, i, data, length);
        data += length;
        size -= length;
    }
    store_clear(&store);
    return 0;
}
