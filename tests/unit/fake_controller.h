#ifndef TESTS_UNIT_FAKE_CONTROLLER_H
#define TESTS_UNIT_FAKE_CONTROLLER_H

/*
 * fake_controller.h - the agents' listener as a test wants it: one node, a desired set that the test
 * gives, and a memory of all that came in. Speaks real HTTP on a free port of loopback.
 *
 * Threads: the test's, besides its own. fake_wait() holds the lock while it asks the predicate.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "schema/wire_agent.h"

#define FAKE_ITEMS_MAX 4096

struct fake_upload {
    char path[256]; /* with query */
    size_t bytes;
    bool digest_right;
    size_t lines_before; /* telemetry lines that had come by then */
};

/* Guarded by the fake's lock: read it in a predicate. */
struct fake_seen {
    int joins;
    int syncs, news, resets;     /* resets: syncs with session 0 */
    json_t *observed;            /* of the newest sync */
    char *lines[FAKE_ITEMS_MAX]; /* telemetry, each once by (attempt, rank, seq) */
    size_t line_count, repeat_count;
    struct fake_upload uploads[FAKE_ITEMS_MAX];
    size_t upload_count;
    json_t *result;
    size_t gets;
    size_t broken;     /* answers as of fake_break() */
    char output[4096]; /* of all ranks, as it came */
    size_t output_bytes;
};

struct fake;
typedef bool fake_predicate_fn(const struct fake_seen *seen, void *context);

struct fake *fake_start(uint16_t port, int64_t heartbeat_ms); /* port 0: a free one */
void fake_stop(struct fake *fake);
uint16_t fake_port(const struct fake *fake);
/* What it has seen goes on in another, as a controller's database does. */
void fake_inherit(struct fake *fake, struct fake *old);

void fake_desire(struct fake *fake, const struct wire_assignment *assignments, size_t count);
void fake_fence(struct fake *fake);          /* syncs are answered 409 */
void fake_refuse_uploads(struct fake *fake); /* shards and results are answered 409 */
void fake_hold_uploads(struct fake *fake, const char *job); /* keeps them waiting; NULL: none */
/* The next `times` requests whose path starts so are answered this, and nothing of them is taken. */
void fake_break(struct fake *fake, const char *path, unsigned code, const char *answer, int times);
void fake_serve(struct fake *fake, const char *bytes); /* what every GET is answered with */

/* Until the predicate holds; false after ten seconds. */
bool fake_wait(struct fake *fake, fake_predicate_fn *predicate, void *context);

#endif
