#ifndef SERVICE_STORE_ROW_CODEC_H
#define SERVICE_STORE_ROW_CODEC_H

/*
 * row_codec.h - private to service/store: rows.h's structs to bound values and from result columns,
 * in the order of columns.h. `read` includes the key columns that the lists leave out, in the order of
 * the *_SELECT texts.
 */

#include "service/store/columns.h"
#include "service/store/reader.h"

#define JOB_SELECT "id" JOB_FIXED_COLUMNS(COLUMN_NAME) JOB_LIFE_COLUMNS(COLUMN_NAME)
#define ATTEMPT_SELECT \
    "job, attempt" ATTEMPT_FIXED_COLUMNS(COLUMN_NAME) ATTEMPT_LIFE_COLUMNS(COLUMN_NAME)
#define RANK_SELECT       "job, attempt, rank" RANK_COLUMNS(COLUMN_NAME)
#define NODE_SELECT       "id" NODE_COLUMNS(COLUMN_NAME)
#define SLOT_SELECT       "node, slot" SLOT_COLUMNS(COLUMN_NAME) ", job, attempt, rank"
#define PORT_SELECT       "address, port, job, attempt"
#define SHARD_SELECT      "job" SHARD_COLUMNS(COLUMN_NAME)
#define CHECKPOINT_SELECT "job" CHECKPOINT_COLUMNS(COLUMN_NAME)
#define TOKEN_SELECT      "id" TOKEN_COLUMNS(COLUMN_NAME)
#define JOIN_TOKEN_SELECT "id" JOIN_TOKEN_COLUMNS(COLUMN_NAME)
#define DATASET_SELECT    "name" DATASET_COLUMNS(COLUMN_NAME)
#define PROJECT_SELECT    "name, created_at_ms"

void job_fixed_bind(struct sql_bind *bind, const struct job_row *in);
void job_life_bind(struct sql_bind *bind, const struct job_row *in);
void attempt_fixed_bind(struct sql_bind *bind, const struct attempt_row *in);
void attempt_life_bind(struct sql_bind *bind, const struct attempt_row *in);
void rank_bind(struct sql_bind *bind, const struct rank_row *in);
void node_bind(struct sql_bind *bind, const struct node_row *in);
void slot_bind(struct sql_bind *bind, const struct slot_row *in);
void shard_bind(struct sql_bind *bind, const struct shard_row *in);
void checkpoint_bind(struct sql_bind *bind, const struct checkpoint_row *in);
void event_bind(struct sql_bind *bind, const struct event_row *in);
void token_bind(struct sql_bind *bind, const struct token_row *in);
void join_token_bind(struct sql_bind *bind, const struct join_token_row *in);
void dataset_bind(struct sql_bind *bind, const struct dataset_row *in);

void job_read(struct sql_row *row, struct job_row *out);
void attempt_read(struct sql_row *row, struct attempt_row *out);
void rank_read(struct sql_row *row, struct rank_row *out);
void node_read(struct sql_row *row, struct node_row *out); /* labels: NULL */
void slot_read(struct sql_row *row, struct slot_row *out);
void port_read(struct sql_row *row, struct port_row *out);
void shard_read(struct sql_row *row, struct shard_row *out);
void checkpoint_read(struct sql_row *row, struct checkpoint_row *out);
void event_read(struct sql_row *row, struct event_row *out); /* without job */
void token_read(struct sql_row *row, struct token_row *out);
void join_token_read(struct sql_row *row, struct join_token_row *out);
void dataset_read(struct sql_row *row, struct dataset_row *out);
void project_read(struct sql_row *row, struct project_row *out);

#endif
