#include "trainer/comm/rendezvous.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fs.h"
#include "trainer/comm/handshake.h"
#include "trainer/comm/net.h"
#include "trainer/comm/rendezvous_server.h"
#include "trainer/comm/rendezvous_wire.h"

enum { ENTER_TRIES = 5, ENTER_PAUSE_MS = 5 };

struct rendezvous {
    int fd;
    int world_size;
    int64_t deadline_mono_ms;
    char store_name[NET_ADDRESS_BYTES + 48]; /* for errors */
    struct rendezvous_server *server;        /* rank 0's */
};

static enum status check_place(const struct rendezvous_place *place, struct error *err)
{
    if (place->world_size < 1 || place->world_size > RENDEZVOUS_WORLD_MAX)
        return error_set(err, STATUS_INVALID, "world size %d is not 1..%d", place->world_size,
                         RENDEZVOUS_WORLD_MAX);
    if (place->rank < 0 || place->rank >= place->world_size)
        return error_set(err, STATUS_INVALID, "rank %d of %d", place->rank, place->world_size);
    if (place->secret == NULL || place->secret_bytes == 0)
        return error_set(err, STATUS_INVALID, "rank %d has no rendezvous secret", place->rank);
    if (place->address == NULL || place->port < 1 || place->port > 65535)
        return error_set(err, STATUS_INVALID, "rendezvous at %s, port %d",
                         place->address != NULL ? place->address : "no address", place->port);
    if (place->timeout_ms <= 0)
        return error_set(err, STATUS_INVALID, "setup timeout of %lld ms",
                         (long long)place->timeout_ms);
    return STATUS_OK;
}

/*
 * Connects and proves itself. A store that is flooded by strangers may drop us as one of them, which
 * looks like a refusal: so a refusal counts when it has been repeated.
 */
static enum status enter(struct rendezvous *rendezvous, const struct rendezvous_place *place,
                         struct error *err)
{
    const struct handshake self = {.use = HANDSHAKE_RENDEZVOUS,
                                   .secret = place->secret,
                                   .secret_bytes = place->secret_bytes,
                                   .rank = (uint32_t)place->rank,
                                   .world_size = (uint32_t)place->world_size};
    for (int tries = 1;; tries++) {
        struct error failure = {0};
        uint32_t store_rank = 0;
        TRY(net_connect(place->address, place->port, rendezvous->deadline_mono_ms, &rendezvous->fd,
                        err));
        const enum status status =
            handshake_connect(&self, rendezvous->fd, rendezvous->deadline_mono_ms,
                              rendezvous->store_name, &store_rank, &failure);
        if (status == STATUS_OK)
            return STATUS_OK;
        if (status != STATUS_UNAVAILABLE || tries == ENTER_TRIES ||
            net_wait_ms(rendezvous->deadline_mono_ms) == 0)
            return error_set(err, status, "%s", failure.text);
        fd_cleanup(&rendezvous->fd);
        rendezvous->fd = -1;
        clock_sleep_ms(ENTER_PAUSE_MS * tries);
    }
}

enum status rendezvous_open(const struct rendezvous_place *place, struct rendezvous **out,
                            struct error *err)
{
    TRY(check_place(place, err));
    CLEANUP(rendezvous_cleanup) struct rendezvous *rendezvous = calloc(1, sizeof(*rendezvous));
    if (rendezvous == NULL)
        return error_set(err, STATUS_NO_MEMORY, "rendezvous: out of memory");
    rendezvous->fd = -1;
    rendezvous->world_size = place->world_size;
    rendezvous->deadline_mono_ms = clock_mono_ms() + place->timeout_ms;
    snprintf(rendezvous->store_name, sizeof(rendezvous->store_name), "rendezvous at %.*s:%d",
             NET_ADDRESS_BYTES, place->address, place->port);

    if (place->rank == 0)
        TRY(rendezvous_server_start(place, &rendezvous->server, err));
    TRY(enter(rendezvous, place, err));
    *out = TAKE(rendezvous);
    return STATUS_OK;
}

void rendezvous_close(struct rendezvous *rendezvous)
{
    if (rendezvous == NULL)
        return;
    rendezvous_server_stop(rendezvous->server);
    fd_cleanup(&rendezvous->fd);
    free(rendezvous);
}

void rendezvous_cleanup(struct rendezvous **rendezvous)
{
    rendezvous_close(*rendezvous);
}

static enum status read_failure(struct rendezvous *rendezvous,
                                const struct rendezvous_answer *answer, struct error *err)
{
    char text[RENDEZVOUS_TEXT_MAX + 1] = "";
    if (answer->bytes > RENDEZVOUS_TEXT_MAX || answer->status >= STATUS_COUNT)
        return error_set(err, STATUS_CORRUPT, "%s speaks another protocol", rendezvous->store_name);
    TRY(net_recv_all(rendezvous->fd, text, answer->bytes, rendezvous->deadline_mono_ms,
                     rendezvous->store_name, err));
    return error_set(err, (enum status)answer->status, "%s", text);
}

enum status rendezvous_gather(struct rendezvous *rendezvous, const char *key, const void *value,
                              size_t bytes, void *out, struct error *err)
{
    assert(strlen(key) <= RENDEZVOUS_KEY_BYTES_MAX && bytes <= RENDEZVOUS_VALUE_MAX);
    struct {
        struct rendezvous_ask ask;
        uint8_t value[RENDEZVOUS_VALUE_MAX];
    } message = {.ask = {.magic = RENDEZVOUS_ASK_MAGIC, .bytes = (uint32_t)bytes}};
    struct rendezvous_answer answer;
    const size_t expected = (size_t)rendezvous->world_size * bytes;

    memcpy(message.ask.key, key, strlen(key));
    if (bytes > 0)
        memcpy(message.value, value, bytes);
    TRY(net_send_all(rendezvous->fd, &message, sizeof(message.ask) + bytes,
                     rendezvous->deadline_mono_ms, rendezvous->store_name, err));
    TRY(net_recv_all(rendezvous->fd, &answer, sizeof(answer), rendezvous->deadline_mono_ms,
                     rendezvous->store_name, err));
    if (answer.magic != RENDEZVOUS_ANSWER_MAGIC)
        return error_set(err, STATUS_CORRUPT, "%s speaks another protocol: magic %08x",
                         rendezvous->store_name, answer.magic);
    if (answer.status != STATUS_OK)
        return read_failure(rendezvous, &answer, err);
    if (answer.bytes != expected)
        return error_set(err, STATUS_CORRUPT, "%s answers key %s with %u bytes instead of %zu",
                         rendezvous->store_name, key, answer.bytes, expected);
    return net_recv_all(rendezvous->fd, out, expected, rendezvous->deadline_mono_ms,
                        rendezvous->store_name, err);
}

enum status rendezvous_barrier(struct rendezvous *rendezvous, const char *key, struct error *err)
{
    return rendezvous_gather(rendezvous, key, NULL, 0, NULL, err);
}

int rendezvous_fd(const struct rendezvous *rendezvous)
{
    return rendezvous->fd;
}
