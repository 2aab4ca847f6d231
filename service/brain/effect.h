#ifndef SERVICE_BRAIN_EFFECT_H
#define SERVICE_BRAIN_EFFECT_H

/*
 * effect.h - what the brain wants done after an input: rows to write, in this order, in one
 * transaction. The store applies them; the simulator applies them to the same store. A constraint
 * or trigger that refuses one is our bug and ends the process.
 *
 * `put` is insert-or-update of the whole row by its key. Text pointers are borrowed from the input
 * or the brain until the next call.
 */

#include <stddef.h>

#include "service/brain/rows.h"

enum effect_kind {
    EFFECT_JOB_INSERT, /* job, spec, labels */
    EFFECT_JOB_UPDATE, /* job */
    EFFECT_JOB_RESULT, /* job (model fields), metrics */
    EFFECT_ATTEMPT_INSERT,
    EFFECT_ATTEMPT_UPDATE,
    EFFECT_RANK_PUT,
    EFFECT_NODE_PUT,   /* node; with token fields when the node joined */
    EFFECT_NODE_TOKEN, /* consumes join_token, records the node's credential */
    EFFECT_SLOT_PUT,
    EFFECT_SLOT_DELETE, /* no longer reported and free */
    EFFECT_PORT_INSERT,
    EFFECT_PORT_DELETE,
    EFFECT_SHARD_INSERT,
    EFFECT_CHECKPOINT_INSERT, /* the commit: fenced by a trigger */
    EFFECT_CHECKPOINT_DELETE, /* retention; its blobs go after the commit */
    EFFECT_SHARDS_DROP, /* uncommitted shards of an ended attempt (job, attempt); blobs go after the commit */
    EFFECT_EVENT,
    EFFECT_DESIRED, /* no row: the node's desired set changed (effect.node.id) */
    EFFECT_KIND_COUNT
};

struct effect_token {
    const char *join_token;
    const char *node_token;
    const uint8_t *node_token_sha256;
    const char *node;
};

struct effect {
    enum effect_kind kind;
    union {
        struct {
            struct job_row job;
            const char *spec;
            const char *labels;
            const char *metrics;
        };
        struct attempt_row attempt;
        struct rank_row rank;
        struct node_row node;
        struct slot_row slot;
        struct port_row port;
        struct shard_row shard;
        struct checkpoint_row checkpoint;
        struct event_row event;
        struct effect_token token;
        struct {
            char drop_job[ID_BYTES_MAX];
            int64_t drop_attempt;
        };
    };
};

/* A growing list; cleared and reused for each input. */
struct effects {
    struct effect *items;
    size_t count;
    size_t capacity;
};

#endif
