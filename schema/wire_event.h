#ifndef SCHEMA_WIRE_EVENT_H
#define SCHEMA_WIRE_EVENT_H

/*
 * wire_event.h - what a trainer says: the JSON lines of events.jsonl, and the same lines with
 * (job, attempt) in front as the agent posts them to /v1/agent/telemetry.
 *
 * Any program may write them, so the decoder takes what it knows and ignores the rest.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/id.h"
#include "base/json.h"
#include "schema/wire_agent.h"

#define EVENT_VALUES_MAX       64
#define EVENT_VALUE_NAME_BYTES 64
#define EVENT_LINE_BYTES_MAX   (16 * KIB)
#define TELEMETRY_BYTES_MAX    (1 * MIB)

enum event_kind {
    EVENT_STARTED,
    EVENT_METRIC,
    EVENT_PROGRESS,
    EVENT_CHECKPOINT,
    EVENT_WARNING,
    EVENT_FINISHED,
    EVENT_OTHER, /* a word we don't know: kept out of the database, acked */
};
extern const char *const event_kind_names[]; /* ends with NULL, which is EVENT_OTHER's */

struct event_value {
    char name[EVENT_VALUE_NAME_BYTES];
    double value; /* finite; a non-finite one is dropped by the decoder and counted */
};

struct wire_event {
    /* Set in telemetry lines; empty and 0 in the trainer's own file. */
    char job[ID_BYTES_MAX];
    int64_t attempt;

    enum event_kind kind;
    int64_t seq; /* 1, 2, ... per (job, attempt, rank) */
    int64_t rank;
    int64_t wall_ms; /* "time", RFC 3339 or milliseconds; 0: unknown */
    int64_t boot_ms;
    int64_t step;
    int64_t of;
    int64_t epoch;
    int64_t world_size;      /* started */
    int64_t resume_step;     /* started */
    int64_t process_boot_ms; /* started: when the process entered main(); 0: unknown */
    size_t value_count;      /* metric; also finished's metrics */
    struct event_value values[EVENT_VALUES_MAX];
    size_t values_dropped;
    /* checkpoint */
    int64_t shard, shard_of, bytes;
    int64_t
        snapshot_wall_ms; /* checkpoint: "snapshot_time", when its state was copied; 0: unknown */
    char path[PATH_BYTES_MAX]; /* checkpoint and finished: the file on the node */
    char sha256[65];           /* checkpoint: of the file; finished: over the tensors */
    char text[512];            /* warning, or finished's error */
    char status[16];           /* finished: "succeeded", "failed", "stopped" */
};

/* Decodes one line. STATUS_INVALID names what is wrong; an unknown kind is EVENT_OTHER. */
MUST_CHECK enum status wire_event_decode(const char *line, size_t size, struct wire_event *out,
                                         struct error *err);
/* One object; `time` as RFC 3339. Telemetry form when job is set. A new reference. */
json_t *wire_event_encode(const struct wire_event *event);

struct wire_telemetry_ack {
    char job[ID_BYTES_MAX];
    int64_t attempt;
    int64_t rank;
    int64_t seq;
};

/* {"acked": [...], "stale": [...]} */
json_t *wire_telemetry_answer_encode(const struct wire_telemetry_ack *acked, size_t acked_count,
                                     const struct wire_telemetry_ack *stale, size_t stale_count);
/* Decodes up to `max` entries of each list; counts are set. */
void wire_telemetry_answer_decode(const struct json_at *at, size_t max,
                                  struct wire_telemetry_ack *acked, size_t *out_acked_count,
                                  struct wire_telemetry_ack *stale, size_t *out_stale_count);

#endif
