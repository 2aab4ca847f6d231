#include "trainer/comm/rendezvous_store.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static_assert(sizeof(struct rendezvous_ask) == 40, "the struct is the message: no padding");
static_assert(sizeof(struct rendezvous_answer) == 12, "the struct is the message: no padding");

enum {
    INPUT_BYTES_MAX = sizeof(struct rendezvous_ask) + RENDEZVOUS_VALUE_MAX,
    /* Answers of two keys: a client has one question open, and is told once that the gang is lost. */
    OUTPUT_ANSWERS_MAX = 2,
};

static_assert(sizeof(struct handshake_auth) <= INPUT_BYTES_MAX, "the handshake fits the input");

static int world_size(const struct store *store)
{
    return (int)store->handshake.world_size;
}

enum status store_init(struct store *store, const struct rendezvous_place *place, struct error *err)
{
    const size_t world = (size_t)place->world_size;
    *store = (struct store){
        .handshake = {.use = HANDSHAKE_RENDEZVOUS,
                      .secret = place->secret,
                      .secret_bytes = place->secret_bytes,
                      .rank = (uint32_t)place->rank,
                      .world_size = (uint32_t)place->world_size},
        .visitor_count = world + STORE_STRANGERS_MAX,
        .lost_rank = -1,
    };
    store->visitors = calloc(store->visitor_count, sizeof(*store->visitors));
    store->here = calloc(world, sizeof(*store->here));
    bool complete = store->visitors != NULL && store->here != NULL;
    for (size_t i = 0; i < STORE_ROWS_MAX; i++) {
        store->rows[i].present = calloc(world, sizeof(bool));
        store->rows[i].values = malloc(world * RENDEZVOUS_VALUE_MAX);
        complete = complete && store->rows[i].present != NULL && store->rows[i].values != NULL;
    }
    if (!complete) {
        store_clear(store);
        return error_set(err, STATUS_NO_MEMORY, "rendezvous of %zu ranks: out of memory", world);
    }
    return STATUS_OK;
}

static void visitor_clear(struct store_visitor *visitor)
{
    buf_clear(&visitor->input);
    buf_clear(&visitor->output);
    *visitor = (struct store_visitor){.open = false};
}

void store_clear(struct store *store)
{
    for (size_t i = 0; store->visitors != NULL && i < store->visitor_count; i++) {
        if (store->visitors[i].open)
            visitor_clear(&store->visitors[i]);
    }
    for (size_t i = 0; i < STORE_ROWS_MAX; i++) {
        free(store->rows[i].present);
        free(store->rows[i].values);
    }
    free(store->visitors);
    free(store->here);
    *store = (struct store){0};
}

struct store_visitor *store_visitor_enter(struct store *store, int64_t now_mono_ms)
{
    struct store_visitor *free_place = NULL;
    size_t strangers = 0;

    for (size_t i = 0; i < store->visitor_count; i++) {
        struct store_visitor *visitor = &store->visitors[i];
        if (!visitor->open)
            free_place = visitor;
        else if (!visitor->member)
            strangers++;
    }
    if (free_place == NULL || strangers >= STORE_STRANGERS_MAX)
        return NULL;

    const size_t answer_bytes_max = sizeof(struct rendezvous_answer) +
                                    (size_t)world_size(store) * RENDEZVOUS_VALUE_MAX +
                                    RENDEZVOUS_TEXT_MAX;
    free_place->open = true;
    free_place->since_mono_ms = now_mono_ms;
    buf_init(&free_place->input, INPUT_BYTES_MAX);
    buf_init(&free_place->output, OUTPUT_ANSWERS_MAX * answer_bytes_max);
    handshake_make_hello(&store->handshake, &free_place->hello);
    buf_append(&free_place->output, &free_place->hello, sizeof(free_place->hello));
    return free_place;
}

struct store_visitor *store_oldest_stranger(struct store *store)
{
    struct store_visitor *oldest = NULL;
    for (size_t i = 0; i < store->visitor_count; i++) {
        struct store_visitor *visitor = &store->visitors[i];
        if (visitor->open && !visitor->member &&
            (oldest == NULL || visitor->since_mono_ms < oldest->since_mono_ms))
            oldest = visitor;
    }
    return oldest;
}

static void answer(struct store_visitor *visitor, enum status status, const void *bytes,
                   size_t size)
{
    const struct rendezvous_answer head = {
        .magic = RENDEZVOUS_ANSWER_MAGIC, .status = status, .bytes = (uint32_t)size};
    buf_append(&visitor->output, &head, sizeof(head));
    buf_append(&visitor->output, bytes, size);
}

static void answer_lost(const struct store *store, struct store_visitor *visitor)
{
    char text[RENDEZVOUS_TEXT_MAX];
    snprintf(text, sizeof(text), "rank %d left the rendezvous", store->lost_rank);
    answer(visitor, STATUS_UNAVAILABLE, text, strlen(text));
}

static struct store_visitor *member(struct store *store, int rank)
{
    for (size_t i = 0; i < store->visitor_count; i++) {
        struct store_visitor *visitor = &store->visitors[i];
        if (visitor->open && visitor->member && (int)visitor->rank == rank)
            return visitor;
    }
    return NULL;
}

/* All have come: everyone gets everything, and the row is free again. */
static void complete_row(struct store *store, struct store_row *row)
{
    for (int rank = 0; rank < world_size(store); rank++) {
        struct store_visitor *visitor = member(store, rank);
        assert(visitor != NULL); /* a member that left has failed the row before */
        answer(visitor, STATUS_OK, row->values, (size_t)world_size(store) * row->bytes);
        row->present[rank] = false;
    }
    row->key[0] = '\0';
    row->arrived = 0;
}

static struct store_row *find_row(struct store *store, const char *key)
{
    for (size_t i = 0; i < STORE_ROWS_MAX; i++) {
        if (strcmp(store->rows[i].key, key) == 0)
            return &store->rows[i];
    }
    return NULL;
}

static enum status take_ask(struct store *store, struct store_visitor *visitor,
                            const struct rendezvous_ask *ask, const uint8_t *value,
                            struct error *err)
{
    if (store->lost_rank >= 0) {
        answer_lost(store, visitor);
        return STATUS_OK;
    }
    struct store_row *row = find_row(store, ask->key);
    if (row == NULL) {
        row = find_row(store, "");
        if (row == NULL)
            return error_set(err, STATUS_CORRUPT, "rank %u: more than %d open keys", visitor->rank,
                             STORE_ROWS_MAX);
        memcpy(row->key, ask->key, sizeof(row->key));
        row->bytes = ask->bytes;
    }
    if (row->bytes != ask->bytes || row->present[visitor->rank])
        return error_set(err, STATUS_CORRUPT, "rank %u: key %s with %u bytes, others have %u",
                         visitor->rank, ask->key, ask->bytes, row->bytes);
    memcpy(row->values + (size_t)visitor->rank * row->bytes, value, row->bytes);
    row->present[visitor->rank] = true;
    row->arrived++;
    if (row->arrived == world_size(store))
        complete_row(store, row);
    return buf_status(&visitor->output, "rendezvous answer", err);
}

/* *out_used stays 0 while the message is incomplete. */
static enum status read_ask(struct store *store, struct store_visitor *visitor, size_t *out_used,
                            struct error *err)
{
    struct rendezvous_ask ask;
    if (visitor->input.size < sizeof(ask))
        return STATUS_OK;
    memcpy(&ask, visitor->input.data, sizeof(ask));
    if (ask.magic != RENDEZVOUS_ASK_MAGIC || ask.bytes > RENDEZVOUS_VALUE_MAX ||
        ask.key[0] == '\0' || ask.key[RENDEZVOUS_KEY_BYTES_MAX] != '\0')
        return error_set(err, STATUS_CORRUPT, "rank %u speaks another protocol: magic %08x",
                         visitor->rank, ask.magic);
    if (visitor->input.size < sizeof(ask) + ask.bytes)
        return STATUS_OK;
    TRY(take_ask(store, visitor, &ask, (const uint8_t *)visitor->input.data + sizeof(ask), err));
    *out_used = sizeof(ask) + ask.bytes;
    return STATUS_OK;
}

static enum status read_auth(struct store *store, struct store_visitor *visitor, size_t *out_used,
                             struct error *err)
{
    struct handshake_auth auth;
    struct handshake_welcome welcome;
    if (visitor->input.size < sizeof(auth))
        return STATUS_OK;
    memcpy(&auth, visitor->input.data, sizeof(auth));
    TRY(handshake_answer_auth(&store->handshake, &visitor->hello, &auth, &welcome, err));
    if (store->here[auth.rank])
        return error_set(err, STATUS_CONFLICT, "rank %u has come twice", auth.rank);
    visitor->member = true;
    visitor->rank = auth.rank;
    store->here[auth.rank] = true;
    buf_append(&visitor->output, &welcome, sizeof(welcome));
    *out_used = sizeof(auth);
    return STATUS_OK;
}

enum status store_visitor_input(struct store *store, struct store_visitor *visitor,
                                const uint8_t *bytes, size_t size, struct error *err)
{
    assert(visitor->open);
    for (;;) {
        const size_t room = INPUT_BYTES_MAX - visitor->input.size;
        const size_t taken = size < room ? size : room;
        buf_append(&visitor->input, bytes, taken);
        TRY(buf_status(&visitor->input, "rendezvous message", err));
        bytes += taken;
        size -= taken;

        size_t used = 0;
        TRY(visitor->member ? read_ask(store, visitor, &used, err)
                            : read_auth(store, visitor, &used, err));
        buf_consume(&visitor->input, used);
        if (used == 0 || (size == 0 && visitor->input.size == 0)) {
            assert(size == 0); /* the input holds the longest message */
            return STATUS_OK;
        }
    }
}

void store_visitor_leave(struct store *store, struct store_visitor *visitor)
{
    assert(visitor->open);
    const bool was_member = visitor->member;
    const int rank = (int)visitor->rank;
    visitor_clear(visitor);
    if (!was_member)
        return;
    store->here[rank] = false;
    if (store->lost_rank >= 0)
        return;
    store->lost_rank = rank;
    /* Whoever waits now waits for nothing: a row can't be completed any more. */
    for (size_t i = 0; i < STORE_ROWS_MAX; i++) {
        struct store_row *row = &store->rows[i];
        for (int r = 0; row->key[0] != '\0' && r < world_size(store); r++) {
            struct store_visitor *waiting = row->present[r] ? member(store, r) : NULL;
            if (waiting != NULL)
                answer_lost(store, waiting);
        }
        row->key[0] = '\0';
    }
}
