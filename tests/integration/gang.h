#ifndef TESTS_INTEGRATION_GANG_H
#define TESTS_INTEGRATION_GANG_H

/*
 * gang.h - trainers without controller or agent: a folder, a spec, and ranks started with the
 * environment that an agent would give them.
 *
 * Attempts share the folder: checkpoints/, out/, cache/, and events-<attempt>-<rank>.jsonl.
 * What cannot be done ends the test with fail_msg().
 */

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "schema/wire_event.h"

#define GANG_RANKS_MAX   4
#define GANG_PATH_BYTES  256
#define GANG_PATIENCE_MS 30000

struct gang {
    char folder[64];
    char data[GANG_PATH_BYTES];
    int world_size;
    int attempt; /* the newest one */
    pid_t pids[GANG_RANKS_MAX];
    int shared;          /* memfd of the newest attempt; -1: none */
    int64_t patience_ms; /* with a rank's end; GANG_PATIENCE_MS unless a bench has longer runs */
};

struct gang_start {
    int world_size;
    bool shared_memory;      /* else TCP */
    int64_t resume_step;     /* 0: fresh */
    const char *threads;     /* OMP_NUM_THREADS; NULL: "1" */
    int setup_timeout_ms;    /* 0: default */
    const char *checkpoints; /* another checkpoint folder; NULL: the gang's */
};

/* A new folder with a spec: MLP 784-32-10 on the small MNIST, 400 steps of 64, a checkpoint every 50. */
void gang_open(struct gang *gang);
/* Takes the job of deploy/jobs/<name>.json and its data in deploy/data/<its root> instead. */
void gang_use(struct gang *gang, const char *name);
void gang_close(struct gang *gang); /* kills what runs, removes the folder */
/* As cluster_spec_set(): gang_set(g, "training.steps", json_integer(5)); NULL deletes. */
void gang_set(struct gang *gang, const char *path, json_t *value);

void gang_start(struct gang *gang, const struct gang_start *start);
/* Exit code of a rank, 128 + signal; waits. */
int gang_wait(struct gang *gang, int rank);
/* Starts and waits for all; every rank must end with `code`. */
void gang_run(struct gang *gang, const struct gang_start *start, int code);
/* Waits until the rank of the newest attempt has written `count` events of this kind. */
void gang_await(struct gang *gang, int rank, enum event_kind kind, int count);

/* Reads the events of an attempt's rank; the number is returned, `out` may be NULL. */
int gang_events(const struct gang *gang, int attempt, int rank, struct wire_event *out, int max);
/* The newest event of this kind; false if there is none. */
bool gang_last_event(const struct gang *gang, int attempt, int rank, enum event_kind kind,
                     struct wire_event *out);
/* Step of the newest checkpoint on disk; 0 if none. */
int64_t gang_newest_step(const struct gang *gang);
/* SHA-256 of out/model.safetensors. */
void gang_model_sha256(const struct gang *gang, char out[65]);

#endif
