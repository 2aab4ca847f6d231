#ifndef SERVICE_STORE_READER_H
#define SERVICE_STORE_READER_H

/*
 * reader.h - questions to state.db. Nothing here can write: the connection is query_only.
 *
 * Every list is a page: at most `limit` (clamped to 1..READER_PAGE_MAX) rows after a key, walked along an
 * index, never by OFFSET and never counted. A page calls back once a row, in order.
 *
 * Each call sees one committed state of the database, also when it needs several statements.
 *
 * Threads:   a reader belongs to one thread at a time; open one a thread (about 0.5 MB each).
 *            store_reader() of store.h gives the writer's own, which sees uncommitted rows too.
 * Errors:    STATUS_NOT_FOUND for a single row that is not there; STATUS_CORRUPT and STATUS_INTERNAL
 *            for a broken database.
 * Ownership: rows handed out are the reader's; all pointers in them are valid until the callback
 *            returns (lists) or until the next call on the same reader (single rows).
 *            A callback may not call into the same reader.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/hash.h"
#include "service/brain/rows.h"

#define READER_PAGE_MAX      1000
#define READER_SCAN_MAX      20000 /* rows looked at for one page of a filtered list */
#define STORE_PATH_BYTES_MAX 1024

struct reader;

/* Opens `<data_dir>/state.db`, which a store has opened before. */
MUST_CHECK enum status reader_open(const char *data_dir, struct reader **out, struct error *err);
void reader_close(struct reader *reader); /* accepts NULL */
void reader_cleanup(struct reader **reader);

/* ---- jobs */

struct job_view {
    struct job_row row;
    const char *spec; /* canonical JSON text */
    size_t spec_bytes;
    const char *labels;  /* JSON object text */
    const char *metrics; /* of the result; JSON object text, "{}" before it */
};
typedef void job_view_fn(void *context, const struct job_view *job);

/* The newest job first. Zero and NULL mean "any"; all conditions must hold. */
struct job_filter {
    bool has_state;
    enum job_state state;
    bool live_only; /* states that are not terminal */
    const char *project;
    const char *name;
    const char *label_key;   /* the job carries this label ... */
    const char *label_value; /* ... with this value; NULL: any value */
    const char *q;           /* part of name, id or detail, whatever the case */
    const char *cursor;      /* id of the last job of the page before */
    size_t limit;
};

MUST_CHECK enum status reader_job(struct reader *reader, const char *id, struct job_view *out,
                                  struct error *err);
/*
 * Sets `out_cursor` to what gets the next page, "" at the end. A page of a filter that hits seldom may be
 * short, even empty, and still have a cursor: READER_SCAN_MAX bounds the work.
 */
MUST_CHECK enum status reader_jobs(struct reader *reader, const struct job_filter *filter,
                                   job_view_fn *fn, void *context, char out_cursor[ID_BYTES_MAX],
                                   struct error *err);
/*
 * The job that holds an Idempotency-Key of a project and was created at or after `not_before_ms`.
 * STATUS_NOT_FOUND when the key is free. See also store_find_key().
 */
MUST_CHECK enum status reader_key(struct reader *reader, const char *project, const char *key,
                                  int64_t not_before_ms, char out_job[ID_BYTES_MAX],
                                  char out_body_sha256[BRAIN_SHA_BYTES], struct error *err);

/* ---- what belongs to a job; oldest first. STATUS_OK with no rows for an unknown job. */

typedef void attempt_view_fn(void *context, const struct attempt_row *attempt,
                             const struct rank_row *ranks, size_t rank_count);
MUST_CHECK enum status reader_attempts(struct reader *reader, const char *job,
                                       int64_t after_attempt, size_t limit, attempt_view_fn *fn,
                                       void *context, struct error *err);
MUST_CHECK enum status reader_attempt(struct reader *reader, const char *job, int64_t attempt,
                                      struct attempt_row *out, struct error *err);

typedef void checkpoint_view_fn(void *context, const struct checkpoint_row *checkpoint,
                                const struct shard_row *shards, size_t shard_count);
/* Committed ones, by step. */
MUST_CHECK enum status reader_checkpoints(struct reader *reader, const char *job,
                                          int64_t after_step, size_t limit, checkpoint_view_fn *fn,
                                          void *context, struct error *err);
/* The one checkpoint of this step (of a desired set's resume). */
MUST_CHECK enum status reader_checkpoint(struct reader *reader, const char *job, int64_t step,
                                         checkpoint_view_fn *fn, void *context, struct error *err);
/* A recorded shard, committed or not yet. */
MUST_CHECK enum status reader_shard(struct reader *reader, const char *job, int64_t attempt,
                                    int64_t step, int64_t shard, struct shard_row *out,
                                    struct error *err);

/* Steps of which an attempt has recorded shards, but no committed checkpoint. */
typedef void step_fn(void *context, int64_t step);
MUST_CHECK enum status reader_open_steps(struct reader *reader, const char *job, int64_t attempt,
                                         step_fn *fn, void *context, struct error *err);

/* `seq` rises within one job; job "" holds the events of nodes. */
typedef void event_view_fn(void *context, int64_t seq, const struct event_row *event);
MUST_CHECK enum status reader_events(struct reader *reader, const char *job, int64_t after_seq,
                                     size_t limit, event_view_fn *fn, void *context,
                                     struct error *err);

/* ---- nodes, by id */

typedef void node_view_fn(void *context, const struct node_row *node, const struct slot_row *slots,
                          size_t slot_count);
MUST_CHECK enum status reader_nodes(struct reader *reader, const char *after_id, size_t limit,
                                    node_view_fn *fn, void *context, struct error *err);
MUST_CHECK enum status reader_node(struct reader *reader, const char *id, node_view_fn *fn,
                                   void *context, struct error *err);

/* ---- what operators keep, by name or id */

struct project_row {
    char name[BRAIN_NAME_BYTES];
    int64_t created_at_ms;
};
typedef void project_fn(void *context, const struct project_row *project);
MUST_CHECK enum status reader_project(struct reader *reader, const char *name,
                                      struct project_row *out, struct error *err);
MUST_CHECK enum status reader_projects(struct reader *reader, const char *after_name, size_t limit,
                                       project_fn *fn, void *context, struct error *err);

struct dataset_row {
    char name[BRAIN_NAME_BYTES];
    char path[STORE_PATH_BYTES_MAX];
    char created_by[ID_BYTES_MAX]; /* token id */
    int64_t created_at_ms;
    int64_t updated_at_ms;
};
typedef void dataset_fn(void *context, const struct dataset_row *dataset);
MUST_CHECK enum status reader_dataset(struct reader *reader, const char *name,
                                      struct dataset_row *out, struct error *err);
MUST_CHECK enum status reader_datasets(struct reader *reader, const char *after_name, size_t limit,
                                       dataset_fn *fn, void *context, struct error *err);

struct token_row {
    char id[ID_BYTES_MAX];
    enum role role;
    char project[BRAIN_NAME_BYTES]; /* "": all projects */
    char name[BRAIN_NAME_BYTES];    /* for people */
    char node[ID_BYTES_MAX];        /* role node: whose credential it is */
    uint8_t sha256[SHA256_BYTES];   /* of the secret; the secret itself is nowhere */
    int64_t created_at_ms;
    int64_t expires_at_ms; /* 0: never */
    int64_t revoked_at_ms; /* 0: valid */
};
typedef void token_fn(void *context, const struct token_row *token);
/* Also revoked and expired ones: the caller judges. */
MUST_CHECK enum status reader_token(struct reader *reader, const char *id, struct token_row *out,
                                    struct error *err);
MUST_CHECK enum status reader_tokens(struct reader *reader, const char *after_id, size_t limit,
                                     token_fn *fn, void *context, struct error *err);

struct join_token_row {
    char id[ID_BYTES_MAX];
    uint8_t sha256[SHA256_BYTES];
    char created_by[ID_BYTES_MAX];
    int64_t created_at_ms;
    int64_t expires_at_ms;
    char used_by[ID_BYTES_MAX]; /* node; "": not used yet */
};
MUST_CHECK enum status reader_join_token(struct reader *reader, const char *id,
                                         struct join_token_row *out, struct error *err);

#endif
