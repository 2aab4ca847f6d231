#ifndef TESTS_UNIT_STORE_FIXTURE_H
#define TESTS_UNIT_STORE_FIXTURE_H

/* store_fixture.h - a data folder of its own, and plain rows, for the tests of the store's room. */

#include <stddef.h>
#include <stdint.h>

#include "service/store/store.h"

#define FIXTURE_PATH_BYTES 128

/* A fresh folder; fixture_drop() removes it. */
void fixture_folder(char out[FIXTURE_PATH_BYTES]);
void fixture_drop(const char *folder);
/* Opens, or fails the test with the error's text. */
struct store *fixture_open(const char *folder);

/* Rows with every field set to something plausible. */
struct job_row fixture_job(const char *id, const char *key);
struct node_row fixture_node(const char *id);
struct slot_row fixture_slot(const char *node, const char *slot);
struct attempt_row fixture_attempt(const char *job, int64_t attempt);
struct rank_row fixture_rank(const char *job, int64_t attempt, int64_t rank, const char *node);
struct shard_row fixture_shard(const char *job, int64_t attempt, int64_t step, int64_t shard,
                               int64_t of, const char *node);
struct checkpoint_row fixture_checkpoint(const char *job, int64_t attempt, int64_t step,
                                         int64_t shards);

/* One effect in a transaction of its own; anything but STATUS_OK fails the test. */
void fixture_apply(struct store *store, const struct effect *effect);
/* The same, but says what happened and rolls back when it failed. */
enum status fixture_try(struct store *store, const struct effect *effect, struct error *err);

void fixture_put_job(struct store *store, const struct job_row *job);
void fixture_put_node(struct store *store, const char *id);
/* Node n1 with slot cpu:0; the job with attempt 1 placed there and its slot held. */
void fixture_put_running(struct store *store, const char *job);

#endif
