#ifndef TESTS_UNIT_STORE_FIXTURE_H
#define TESTS_UNIT_STORE_FIXTURE_H

/* store_fixture.h - a data folder of its own, and plain rows, for the tests of the store's room. */

#include <stddef.h>
#include <stdint.h>

#include "service/store/store.h"

#define STORE_TEST_PATH_BYTES 128

/* A fresh folder; store_test_drop() removes it. */
void store_test_folder(char out[STORE_TEST_PATH_BYTES]);
void store_test_drop(const char *folder);
/* Opens, or fails the test with the error's text. */
struct store *store_test_open(const char *folder);

/* Rows with every field set to something plausible. */
struct job_row store_test_job(const char *id, const char *key);
struct node_row store_test_node(const char *id);
struct slot_row store_test_slot(const char *node, const char *slot);
struct attempt_row store_test_attempt(const char *job, int64_t attempt);
struct rank_row store_test_rank(const char *job, int64_t attempt, int64_t rank, const char *node);
struct shard_row store_test_shard(const char *job, int64_t attempt, int64_t step, int64_t shard,
                                  int64_t of, const char *node);
struct checkpoint_row store_test_checkpoint(const char *job, int64_t attempt, int64_t step,
                                            int64_t shards);

/* One effect in a transaction of its own; anything but STATUS_OK fails the test. */
void store_test_apply(struct store *store, const struct effect *effect);
/* The same, but says what happened and rolls back when it failed. */
enum status store_test_try(struct store *store, const struct effect *effect, struct error *err);

void store_test_put_job(struct store *store, const struct job_row *job);
void store_test_put_node(struct store *store, const char *id);
/* Node n1 with slot cpu:0; the job with attempt 1 placed there and its slot held. */
void store_test_put_running(struct store *store, const char *job);

/* A store of its own for each test: the state of cmocka's set-up and tear-down. */
struct store_room {
    char folder[STORE_TEST_PATH_BYTES];
    struct store *store;
    struct error err;
};
int store_room_set_up(void **state);
int store_room_tear_down(void **state);

#endif
