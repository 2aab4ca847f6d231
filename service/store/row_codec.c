#include "service/store/row_codec.h"

#include <string.h>

void job_fixed_bind(struct sql_bind *bind, const struct job_row *in)
{
    JOB_FIXED_COLUMNS(COLUMN_BIND)
}

void job_life_bind(struct sql_bind *bind, const struct job_row *in)
{
    JOB_LIFE_COLUMNS(COLUMN_BIND)
}

void attempt_fixed_bind(struct sql_bind *bind, const struct attempt_row *in)
{
    ATTEMPT_FIXED_COLUMNS(COLUMN_BIND)
}

void attempt_life_bind(struct sql_bind *bind, const struct attempt_row *in)
{
    ATTEMPT_LIFE_COLUMNS(COLUMN_BIND)
}

void rank_bind(struct sql_bind *bind, const struct rank_row *in)
{
    RANK_COLUMNS(COLUMN_BIND)
}

void node_bind(struct sql_bind *bind, const struct node_row *in)
{
    NODE_COLUMNS(COLUMN_BIND)
}

void slot_bind(struct sql_bind *bind, const struct slot_row *in)
{
    SLOT_COLUMNS(COLUMN_BIND)
    if (in->job[0] == '\0') {
        sql_bind_null(bind);
        sql_bind_null(bind);
        sql_bind_null(bind);
        return;
    }
    sql_bind_text(bind, in->job);
    sql_bind_int(bind, in->attempt);
    sql_bind_int(bind, in->rank);
}

void shard_bind(struct sql_bind *bind, const struct shard_row *in)
{
    SHARD_COLUMNS(COLUMN_BIND)
}

void checkpoint_bind(struct sql_bind *bind, const struct checkpoint_row *in)
{
    CHECKPOINT_COLUMNS(COLUMN_BIND)
}

void event_bind(struct sql_bind *bind, const struct event_row *in)
{
    EVENT_COLUMNS(COLUMN_BIND)
}

void token_bind(struct sql_bind *bind, const struct token_row *in)
{
    TOKEN_COLUMNS(COLUMN_BIND)
}

void join_token_bind(struct sql_bind *bind, const struct join_token_row *in)
{
    JOIN_TOKEN_COLUMNS(COLUMN_BIND)
}

void dataset_bind(struct sql_bind *bind, const struct dataset_row *in)
{
    DATASET_COLUMNS(COLUMN_BIND)
}

void job_read(struct sql_row *row, struct job_row *out)
{
    READ_TEXT(out->id);
    JOB_FIXED_COLUMNS(COLUMN_READ)
    JOB_LIFE_COLUMNS(COLUMN_READ)
}

void attempt_read(struct sql_row *row, struct attempt_row *out)
{
    READ_TEXT(out->job);
    READ_INT(out->attempt);
    ATTEMPT_FIXED_COLUMNS(COLUMN_READ)
    ATTEMPT_LIFE_COLUMNS(COLUMN_READ)
}

void rank_read(struct sql_row *row, struct rank_row *out)
{
    READ_TEXT(out->job);
    READ_INT(out->attempt);
    READ_INT(out->rank);
    RANK_COLUMNS(COLUMN_READ)
}

void node_read(struct sql_row *row, struct node_row *out)
{
    READ_TEXT(out->id);
    NODE_COLUMNS(COLUMN_READ)
    out->labels = NULL;
}

void slot_read(struct sql_row *row, struct slot_row *out)
{
    READ_TEXT(out->node);
    READ_TEXT(out->slot);
    SLOT_COLUMNS(COLUMN_READ)
    READ_TEXT(out->job);
    READ_INT(out->attempt);
    READ_INT(out->rank);
}

void port_read(struct sql_row *row, struct port_row *out)
{
    READ_TEXT(out->address);
    READ_INT(out->port);
    READ_TEXT(out->job);
    READ_INT(out->attempt);
}

void shard_read(struct sql_row *row, struct shard_row *out)
{
    READ_TEXT(out->job);
    SHARD_COLUMNS(COLUMN_READ)
}

void checkpoint_read(struct sql_row *row, struct checkpoint_row *out)
{
    READ_TEXT(out->job);
    CHECKPOINT_COLUMNS(COLUMN_READ)
}

void event_read(struct sql_row *row, struct event_row *out)
{
    EVENT_COLUMNS(COLUMN_READ)
    out->job[0] = '\0';
}

void token_read(struct sql_row *row, struct token_row *out)
{
    READ_TEXT(out->id);
    TOKEN_COLUMNS(COLUMN_READ)
}

void join_token_read(struct sql_row *row, struct join_token_row *out)
{
    READ_TEXT(out->id);
    JOIN_TOKEN_COLUMNS(COLUMN_READ)
}

void dataset_read(struct sql_row *row, struct dataset_row *out)
{
    READ_TEXT(out->name);
    DATASET_COLUMNS(COLUMN_READ)
}

void project_read(struct sql_row *row, struct project_row *out)
{
    READ_TEXT(out->name);
    READ_INT(out->created_at_ms);
}
