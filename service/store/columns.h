#ifndef SERVICE_STORE_COLUMNS_H
#define SERVICE_STORE_COLUMNS_H

/*
 * columns.h - private to service/store: the columns of state.db, once. X(kind, column, field, size)
 * makes from one list the SQL text, the binding of a row and its reading, so that they cannot
 * drift apart. Keys that come first in every statement are left out of the lists.
 *
 * Kinds: INT, FLAG, TEXT, OPTION (NULL in the database is "" here), WORD_<list> (an enum by its name).
 */

#include "schema/names.h"
#include "service/brain/rows.h"
#include "service/store/sql.h"

/* The states that are not terminal, for statements: job_state_is_terminal() says the same. */
#define JOB_LIVE_STATES "('queued', 'starting', 'running', 'recovering', 'cancelling')"

/* What a submit fixes. */
#define JOB_FIXED_COLUMNS(X)                                          \
    X(TEXT, name, name)                                               \
    X(TEXT, project, project)                                         \
    X(TEXT, dataset, dataset)                                         \
    X(INT, ranks, request.ranks)                                      \
    X(WORD_DEVICE, wanted_device, request.device)                     \
    X(INT, priority, request.priority)                                \
    X(INT, time_limit_ms, request.time_limit_ms)                      \
    X(INT, max_restarts, request.max_restarts)                        \
    X(INT, max_infra_restarts, request.max_infra_restarts)            \
    X(INT, hang_timeout_ms, request.hang_timeout_ms)                  \
    X(INT, orphan_timeout_ms, request.orphan_timeout_ms)              \
    X(INT, keep_last, request.keep_last)                              \
    X(INT, total_steps, request.total_steps)                          \
    X(FLAG, fenced, request.fenced)                                   \
    X(FLAG, stop_on_controller_loss, request.stop_on_controller_loss) \
    X(INT, created_at_ms, created_at_ms)                              \
    X(TEXT, body_sha256, body_sha256)                                 \
    X(TEXT, spec_sha256, spec_sha256)                                 \
    X(TEXT, retry_of, retry_of)                                       \
    X(TEXT, submitted_by, submitted_by)                               \
    X(TEXT, idempotency_key, idempotency_key)

/* What its life changes. */
#define JOB_LIFE_COLUMNS(X)                                  \
    X(INT, revision, revision)                               \
    X(WORD_JOB_STATE, state, state)                          \
    X(WORD_REASON, reason, reason)                           \
    X(TEXT, detail, detail)                                  \
    X(INT, attempt, attempt)                                 \
    X(WORD_DEVICE, device, device)                           \
    X(TEXT, numerics, numerics)                              \
    X(FLAG, bit_exact, bit_exact)                            \
    X(INT, committed_step, committed_step)                   \
    X(INT, resume_step, resume_step)                         \
    X(INT, lost_steps, lost_steps)                           \
    X(INT, restarts, restarts)                               \
    X(INT, infra_restarts, infra_restarts)                   \
    X(INT, ends_without_checkpoint, ends_without_checkpoint) \
    X(INT, crash_step, crash_step)                           \
    X(WORD_REASON, crash_reason, crash_reason)               \
    X(INT, checkpoint_request, checkpoint_request)           \
    X(FLAG, cancel_requested, cancel_requested)              \
    X(INT, started_at_ms, started_at_ms)                     \
    X(INT, ended_at_ms, ended_at_ms)                         \
    X(TEXT, model_sha256, model_sha256)                      \
    X(TEXT, model_file_sha256, model_file_sha256)            \
    X(INT, model_bytes, model_bytes)                         \
    X(INT, result_attempt, result_attempt)

#define ATTEMPT_FIXED_COLUMNS(X)            \
    X(INT, world_size, world_size)          \
    X(TEXT, master_address, master_address) \
    X(INT, master_port, master_port)        \
    X(TEXT, secret, secret)

#define ATTEMPT_LIFE_COLUMNS(X)                \
    X(WORD_ATTEMPT_STATE, state, state)        \
    X(WORD_REASON, reason, reason)             \
    X(TEXT, detail, detail)                    \
    X(INT, resume_step, resume_step)           \
    X(INT, lost_steps, lost_steps)             \
    X(WORD_REASON, cause, cause)               \
    X(INT, fault_at_ms, fault_at_ms)           \
    X(INT, detected_at_ms, detected_at_ms)     \
    X(INT, fenced_at_ms, fenced_at_ms)         \
    X(INT, placed_at_ms, placed_at_ms)         \
    X(INT, started_at_ms, started_at_ms)       \
    X(INT, first_step_at_ms, first_step_at_ms) \
    X(INT, ended_at_ms, ended_at_ms)

#define RANK_COLUMNS(X)                      \
    X(TEXT, node, node)                      \
    X(TEXT, slot, slot)                      \
    X(INT, pid, pid)                         \
    X(FLAG, ended, ended)                    \
    X(INT, exit_code, exit_code)             \
    X(INT, exit_signal, exit_signal)         \
    X(FLAG, exit_oom, exit_oom)              \
    X(WORD_REASON, exit_reason, exit_reason) \
    X(INT, step, step)                       \
    X(WORD_PHASE, phase, phase)

/* Without labels, whose text the row only borrows. */
#define NODE_COLUMNS(X)                \
    X(INT, revision, revision)         \
    X(TEXT, hostname, hostname)        \
    X(TEXT, address, address)          \
    X(TEXT, boot_id, boot_id)          \
    X(TEXT, numerics, numerics)        \
    X(TEXT, version, version)          \
    X(WORD_NODE_STATE, state, state)   \
    X(FLAG, drain, drain)              \
    X(INT, cpu_count, cpu_count)       \
    X(INT, memory_bytes, memory_bytes) \
    X(INT, port_first, port_first)     \
    X(INT, port_last, port_last)       \
    X(INT, joined_at_ms, joined_at_ms) \
    X(INT, lost_at_ms, lost_at_ms)

/* Without the holder (job, attempt, rank), which is NULL when the slot is free. */
#define SLOT_COLUMNS(X)                \
    X(WORD_DEVICE, kind, kind)         \
    X(INT, "index", index)             \
    X(TEXT, uuid, uuid)                \
    X(TEXT, name, name)                \
    X(INT, memory_bytes, memory_bytes) \
    X(FLAG, present, present)

#define SHARD_COLUMNS(X)     \
    X(INT, attempt, attempt) \
    X(INT, step, step)       \
    X(INT, shard, shard)     \
    X(INT, "of", of)         \
    X(INT, bytes, bytes)     \
    X(TEXT, sha256, sha256)  \
    X(TEXT, node, node)

#define CHECKPOINT_COLUMNS(X)                \
    X(INT, attempt, attempt)                 \
    X(INT, step, step)                       \
    X(INT, shards, shards)                   \
    X(INT, bytes, bytes)                     \
    X(INT, committed_at_ms, committed_at_ms) \
    X(INT, lag_ms, lag_ms)

#define EVENT_COLUMNS(X)           \
    X(TEXT, node, node)            \
    X(INT, attempt, attempt)       \
    X(INT, at_ms, at_ms)           \
    X(TEXT, actor, actor)          \
    X(TEXT, kind, kind)            \
    X(TEXT, "from", from)          \
    X(TEXT, "to", to)              \
    X(WORD_REASON, reason, reason) \
    X(TEXT, detail, detail)

#define TOKEN_COLUMNS(X)                 \
    X(WORD_ROLE, role, role)             \
    X(OPTION, project, project)          \
    X(TEXT, name, name)                  \
    X(OPTION, node, node)                \
    X(BLOB, sha256, sha256)              \
    X(INT, created_at_ms, created_at_ms) \
    X(INT, expires_at_ms, expires_at_ms) \
    X(INT, revoked_at_ms, revoked_at_ms)

#define JOIN_TOKEN_COLUMNS(X)            \
    X(BLOB, sha256, sha256)              \
    X(TEXT, created_by, created_by)      \
    X(INT, created_at_ms, created_at_ms) \
    X(INT, expires_at_ms, expires_at_ms) \
    X(OPTION, used_by, used_by)

#define DATASET_COLUMNS(X)               \
    X(TEXT, path, path)                  \
    X(TEXT, created_by, created_by)      \
    X(INT, created_at_ms, created_at_ms) \
    X(INT, updated_at_ms, updated_at_ms)

/* ---- SQL text: each column with a comma before it, so that lists can be appended to a key. */

#define COLUMN_NAME(kind, column, field) ", " #column
#define COLUMN_MARK(kind, column, field) ", ?"
#define COLUMN_SET(kind, column, field)  ", " #column " = ?"
/* The same for upserts, where `excluded` is the row that came. */
#define COLUMN_TAKE(kind, column, field) ", " #column " = excluded." #column

/* ---- binding and reading; `bind`, `in` and `row` are the names in scope. */

#define COLUMN_BIND(kind, column, field) BIND_##kind(in->field);
#define BIND_INT(value)                  sql_bind_int(bind, value)
#define BIND_FLAG(value)                 sql_bind_int(bind, (value) ? 1 : 0)
#define BIND_TEXT(value)                 sql_bind_text(bind, value)
#define BIND_OPTION(value)               sql_bind_option(bind, value)
#define BIND_BLOB(value)                 sql_bind_blob(bind, value, sizeof(value))
#define BIND_WORD_DEVICE(value)          sql_bind_text(bind, device_kind_names[value])
#define BIND_WORD_JOB_STATE(value)       sql_bind_text(bind, job_state_names[value])
#define BIND_WORD_ATTEMPT_STATE(value)   sql_bind_text(bind, attempt_state_names[value])
#define BIND_WORD_NODE_STATE(value)      sql_bind_text(bind, node_state_names[value])
#define BIND_WORD_REASON(value)          sql_bind_text(bind, reason_names[value])
#define BIND_WORD_PHASE(value)           sql_bind_text(bind, phase_names[value])
#define BIND_WORD_ROLE(value)            sql_bind_text(bind, role_names[value])

#define COLUMN_READ(kind, column, field) READ_##kind(out->field);
#define READ_INT(value)                  (value) = sql_row_int(row)
#define READ_FLAG(value)                 (value) = sql_row_int(row) != 0
#define READ_TEXT(value)                 sql_row_text(row, value, sizeof(value))
#define READ_OPTION(value)               sql_row_text(row, value, sizeof(value))
#define READ_BLOB(value)                 sql_row_blob(row, value, sizeof(value))
#define READ_WORD_DEVICE(value)          (value) = (enum device_kind)sql_row_word(row, device_kind_names)
#define READ_WORD_JOB_STATE(value)       (value) = (enum job_state)sql_row_word(row, job_state_names)
#define READ_WORD_ATTEMPT_STATE(value) \
    (value) = (enum attempt_state)sql_row_word(row, attempt_state_names)
#define READ_WORD_NODE_STATE(value) (value) = (enum node_state)sql_row_word(row, node_state_names)
#define READ_WORD_REASON(value)     (value) = (enum reason)sql_row_word(row, reason_names)
#define READ_WORD_PHASE(value)      (value) = (enum progress_phase)sql_row_word(row, phase_names)
#define READ_WORD_ROLE(value)       (value) = (enum role)sql_row_word(row, role_names)

#endif
