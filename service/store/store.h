#ifndef SERVICE_STORE_STORE_H
#define SERVICE_STORE_STORE_H

/*
 * store.h - the controller's durable state: one SQLite file, state.db, and its one writer.
 *
 * Nothing that must survive a crash lives anywhere else, so starting after a crash is the ordinary
 * start. The rules that must never break (the fence) are constraints and triggers of the database itself,
 * schema/migrations/; a write that breaks one is our bug and comes back as STATUS_INTERNAL.
 *
 * How the loop uses it, once a batch:
 *
 *     store_begin
 *       for each input: read rows by store_reader(), brain_step, store_apply(effects)
 *       writes that are not the brain's: store_put_dataset, store_insert_token, ...
 *     store_commit           after it returns, every row is on disk (WAL, synchronous=FULL)
 *     ... answers go out, snapshots are published, blobs deleted ...
 *     store_maintain         when there is nothing to do, or the WAL has grown
 *
 * Threads: one thread owns the store. It is the only connection that writes and the only one that
 *          checkpoints the WAL. HTTP threads read by their own struct reader.
 * Time:    callers pass wall_ms. The store never asks a clock, but for the bound of the start's check.
 * Errors:  STATUS_INVALID and STATUS_NOT_FOUND are answers of single writes that say so below and
 *          change nothing. STATUS_NO_SPACE: the disk is full; roll back. Everything else from
 *          begin, apply, commit (constraint, I/O error, corruption, a failed fsync) is fatal: the caller
 *          ends the process and recovers from disk. After a failed apply or commit the brain is ahead
 *          of the disk: it must be loaded again from the store, or the process ends.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "service/brain/brain.h"
#include "service/brain/effect.h"
#include "service/store/reader.h"

#define STORE_MEMORY             ":memory:"
#define STORE_WAL_PAGES_IDLE     1000  /* checkpoint when idle beyond these */
#define STORE_WAL_PAGES_MAX      20000 /* checkpoint even when busy: 80 MB */
#define STORE_KEYS_RELEASE_BATCH 512
#define STORE_NODE_EVENTS_MAX    10000 /* kept of nodes; older ones go */

struct store;

/*
 * Opens `<data_dir>/state.db`, creating it; the folder must exist. Locks `<data_dir>/lock` so that no second
 * controller can run on it (STATUS_CONFLICT), applies the migrations that are missing, refuses a newer
 * database (STATUS_UNSUPPORTED) and a damaged one (STATUS_CORRUPT), prepares every statement.
 * STORE_MEMORY: a fresh database in memory, without lock or file (simulator, tests); fast.
 */
MUST_CHECK enum status store_open(const char *data_dir, struct store **out, struct error *err);
void store_close(struct store *store); /* rolls back what is open; accepts NULL */
void store_cleanup(struct store **store);

/* ---- the transaction */

MUST_CHECK enum status store_begin(struct store *store, struct error *err);
MUST_CHECK enum status store_commit(struct store *store, struct error *err);
void store_rollback(struct store *store); /* fine without a transaction */
bool store_in_transaction(const struct store *store);

/*
 * Executes effects in order; EFFECT_DESIRED writes nothing. Only inside a transaction.
 * Order that the triggers expect of the brain: the job's row with the raised attempt number before or after
 * the new attempt's row, but an old attempt's end before a new attempt; a slot is freed before it is
 * taken by another; a shard before the checkpoint that it completes; the checkpoint before the job's
 * row with the higher committed_step.
 */
MUST_CHECK enum status store_apply(struct store *store, const struct effects *effects,
                                   struct error *err);

/* ---- reading on the writer's connection (inside a transaction: what it wrote so far, too) */

struct reader *store_reader(struct store *store);

/* Feeds brain_load_*: what brain.h lists. The caller then calls brain_start(.., store_revision()). */
MUST_CHECK enum status store_load(struct store *store, struct brain *brain, struct error *err);

/* The highest revision that was ever committed with an effect (jobs, nodes, EFFECT_DESIRED's node.revision). */
int64_t store_revision(const struct store *store);

/*
 * Like reader_key(), but a key whose job is older than `not_before_ms` is released for good, so
 * that a new job may take it. Inside a transaction.
 */
MUST_CHECK enum status store_find_key(struct store *store, const char *project, const char *key,
                                      int64_t not_before_ms, char out_job[ID_BYTES_MAX],
                                      char out_body_sha256[BRAIN_SHA_BYTES], struct error *err);
/* Releases keys of jobs created before; at most STORE_KEYS_RELEASE_BATCH jobs a call. Inside a transaction. */
MUST_CHECK enum status store_release_keys(struct store *store, int64_t not_before_ms,
                                          struct error *err);

/* ---- writes that are not the brain's; inside a transaction */

MUST_CHECK enum status store_ensure_project(struct store *store, const char *name, int64_t wall_ms,
                                            bool *out_created, struct error *err);
/* Insert, or change the path of a known name. */
MUST_CHECK enum status store_put_dataset(struct store *store, const struct dataset_row *dataset,
                                         struct error *err);
/* STATUS_INVALID when its project does not exist. */
MUST_CHECK enum status store_insert_token(struct store *store, const struct token_row *token,
                                          struct error *err);
/* Idempotent. STATUS_NOT_FOUND for an unknown id. */
MUST_CHECK enum status store_revoke_token(struct store *store, const char *id, int64_t wall_ms,
                                          struct error *err);
MUST_CHECK enum status
store_insert_join_token(struct store *store, const struct join_token_row *token, struct error *err);

/* ---- upkeep */

/* False while the disk is nearly full: what grows the database is to be refused (room.h). */
bool store_has_room(struct store *store);

/*
 * Moves the WAL into the database when that is due: `idle` says that no input waits. Outside a
 * transaction. Checkpoints are the p99 of commits, so they happen here and never inside store_commit().
 */
MUST_CHECK enum status store_maintain(struct store *store, bool idle, struct error *err);
/* Pages in the WAL that are not in the database yet, for /metrics. */
int64_t store_wal_pages(const struct store *store);

#endif
