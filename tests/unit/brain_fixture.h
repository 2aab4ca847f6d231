#ifndef TESTS_UNIT_BRAIN_FIXTURE_H
#define TESTS_UNIT_BRAIN_FIXTURE_H

/*
 * brain_fixture.h - a brain with a clock that the test moves, short ways to say what happens, and a look at
 * what came out. Nodes are named "node_a", "node_b", ...; jobs "job_1", "job_2", ...
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "service/brain/brain.h"
#include "service/store/store.h"

#define FIXTURE_RANKS_MAX 64

struct fixture {
    struct brain *brain;
    struct store *store; /* NULL: effects are only looked at */
    struct brain_config config;
    struct effects effects;
    struct brain_reply reply;
    int64_t boot_ms;
    int64_t wall_ms;
    int64_t sessions;
    int64_t seq;
    int64_t jobs;
};

int fixture_setup(void **state);        /* fast profile, for cmocka */
int fixture_setup_stored(void **state); /* and every effect is applied to a store in memory */
int fixture_teardown(void **state);
/* The controller dies and starts again from its store: the digest must be the same. */
void fixture_restart(struct fixture *f);

void fixture_step(struct fixture *f, struct brain_input *input); /* and checks every invariant */
void fixture_advance(struct fixture *f, int64_t duration_ms);    /* tick by tick */
void fixture_tick(struct fixture *f);

/* ---- nodes */
void fixture_join(struct fixture *f, char node, int64_t slots); /* and a first sync */
void fixture_join_with(struct fixture *f, char node, int64_t slots, const char *numerics);
struct observed_rank fixture_alive(const char *job, int64_t attempt, int64_t rank);
struct observed_rank fixture_exit(const char *job, int64_t attempt, int64_t rank, int64_t code);
struct observed_rank fixture_signal(const char *job, int64_t attempt, int64_t rank, int64_t signal);
void fixture_sync(struct fixture *f, char node, const struct observed_rank *ranks, size_t count);
void fixture_sync_seen(struct fixture *f, char node, const struct observed_rank *ranks,
                       size_t count, int64_t revision_seen);
void fixture_sync_boot(struct fixture *f, char node, const char *boot_id);
void fixture_disconnect(struct fixture *f, char node);
void fixture_operate(struct fixture *f, enum input_kind kind, char node);
const char *fixture_node_id(char node);

/* ---- jobs */
struct job_request fixture_request(int64_t ranks);
const char *fixture_submit(struct fixture *f, const struct job_request *request); /* its id */
const char *fixture_run(struct fixture *f, int64_t ranks); /* submit, and every rank alive */
void fixture_all_alive(struct fixture *f, const char *job);
void fixture_all_exit(struct fixture *f, const char *job, int64_t code);
void fixture_cancel(struct fixture *f, const char *job);
void fixture_shard(struct fixture *f, const char *job, int64_t attempt, int64_t step, int64_t shard,
                   int64_t of);
void fixture_result(struct fixture *f, const char *job, int64_t attempt);

/* ---- what came out of the last step */
size_t fixture_count(const struct fixture *f, enum effect_kind kind);
const struct effect *fixture_effect(const struct fixture *f, enum effect_kind kind, size_t index);
/* The node of a rank of the job's newest attempt: its letter, or 0. */
char fixture_node_of(const struct fixture *f, const char *job, int64_t rank);
/* How the node is told about the attempt: 'r'un, 's'top, 'k'ill, or '-' for not at all. */
char fixture_desired(const struct fixture *f, char node, const char *job, int64_t attempt);

#define assert_job(f, id, wanted)                                                   \
    do {                                                                            \
        const struct job_row *row_ = brain_job((f)->brain, (id));                   \
        assert_non_null(row_);                                                      \
        assert_string_equal(job_state_names[row_->state], job_state_names[wanted]); \
    } while (0)

#endif
