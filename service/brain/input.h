#ifndef SERVICE_BRAIN_INPUT_H
#define SERVICE_BRAIN_INPUT_H

/*
 * input.h - everything that can happen to the brain. Each input carries its times: the brain has no
 * clock. Pointers are borrowed for the call.
 *
 * What the brain must know of rows that it does not hold (idempotency keys, finished jobs) is looked
 * up before by the loop and stands in the input.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "service/brain/rows.h"

enum input_kind {
    INPUT_TICK, /* time went by: deadlines are judged */
    INPUT_JOB_SUBMIT,
    INPUT_JOB_CANCEL,
    INPUT_JOB_CHECKPOINT, /* a user asks for a checkpoint now */
    INPUT_NODE_JOIN,
    INPUT_NODE_SYNC,
    INPUT_NODE_DISCONNECT, /* its held connection closed */
    INPUT_NODE_DRAIN,
    INPUT_NODE_UNDRAIN,
    INPUT_NODE_FENCE,   /* an operator vouches that it is dead */
    INPUT_SHARD_STORED, /* bytes are durable in the blob store; not yet recorded */
    INPUT_RESULT,       /* the model's bytes are durable and the result was posted */
    INPUT_FIRST_STEP,   /* telemetry showed an attempt's first own step */
    INPUT_KIND_COUNT
};

/* A rank as its node reports it. */
struct observed_rank {
    const char *job;
    int64_t attempt;
    int64_t rank;
    const char *slot;
    int64_t pid;
    enum verdict verdict;
    int phase; /* enum progress_phase */
    int64_t step;
    int64_t collective;
    int64_t waiting_ms;
    bool exited;
    int64_t exit_code;
    int64_t exit_signal;
    bool exit_oom;
    enum reason exit_reason;
    int64_t exit_age_ms;
    const char *detail;
};

struct input_submit {
    struct job_row
        job;          /* id, name, project, request, hashes, key, retry_of, submitted_by are set */
    const char *spec; /* canonical text: goes into the effect */
    const char *labels; /* JSON object text */
    bool inexact;       /* the spec itself gives up the same bits, as bounded staleness does */
    /* Looked up by the loop: the job that holds this (project, key) already, or "". */
    char existing_job[ID_BYTES_MAX];
    char existing_body_sha256[BRAIN_SHA_BYTES];
};

struct input_join {
    struct node_row node; /* id is new, or the known id of a node that joins again */
    const struct slot_row *slots;
    size_t slot_count;
    const char *join_token; /* id of the one-use token, consumed in the same transaction */
    const char *node_token; /* id of the node's credential */
    const uint8_t *node_token_sha256;
};

struct input_sync {
    const char *node;
    int64_t session;
    int64_t seq;           /* rises within a session: an older message is ignored */
    int64_t revision_seen; /* of the desired set that the agent had when it wrote this */
    const char *boot_id;
    int64_t received_boot_ms; /* stamped by the listener, maybe long before now */
    const struct observed_rank *ranks;
    size_t rank_count;
    const struct slot_row *slots;
    size_t slot_count;
};

struct input_result {
    const char *job;
    int64_t attempt;
    const char *node;
    const char *model_sha256;
    const char *model_file_sha256;
    int64_t model_bytes;
    const char *metrics; /* JSON object text, goes into the effect */
};

struct brain_input {
    enum input_kind kind;
    int64_t boot_ms; /* now: CLOCK_BOOTTIME */
    int64_t wall_ms; /* now, for rows that people read */
    int64_t
        stall_ms; /* first input after the loop itself did not run: how long; moves every deadline */
    const char *actor; /* token id of the person or program behind it; NULL: the controller */
    const char *job;   /* cancel, checkpoint, first_step */
    int64_t attempt;   /* first_step */
    int64_t
        at_wall_ms; /* first_step: when it happened; shard_stored: when the snapshot was taken, 0 unknown */
    const char *node; /* disconnect, drain, undrain, fence */
    int64_t session;  /* disconnect: only if the node's session is still this one */
    union {
        struct input_submit submit;
        struct input_join join;
        struct input_sync sync;
        struct shard_row shard;
        struct input_result result;
    };
};

#endif
