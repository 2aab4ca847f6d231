#include "service/brain/checkpoint.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "service/brain/emit.h"
#include "service/brain/memory.h"

/* The live attempt that the shard is of, or NULL after refusing it: the fence. */
static struct attempt *find_attempt(struct brain *brain, const struct shard_row *shard)
{
    const struct job *job = state_job(brain, shard->job);
    struct attempt *live = job == NULL ? NULL : state_live_attempt(job);
    if (live == NULL || live->row.attempt != shard->attempt) {
        reply_refuse(brain, STATUS_CONFLICT, "stale_attempt",
                     "job %s: attempt %" PRId64 " is over, nothing of it is committed", shard->job,
                     shard->attempt);
        return NULL;
    }
    return live;
}

static bool is_on_node(const struct attempt *attempt, const char *node)
{
    for (int64_t i = 0; i < attempt->row.world_size; i++) {
        if (strcmp(attempt->ranks[i].row.node, node) == 0)
            return true;
    }
    return false;
}

static bool is_well_formed(struct brain *brain, const struct attempt *attempt,
                           const struct shard_row *shard)
{
    if (shard->of < 1 || shard->of > BRAIN_SHARDS_MAX || shard->shard < 0 ||
        shard->shard >= shard->of || shard->step < 1 || shard->bytes < 0) {
        reply_refuse(brain, STATUS_INVALID, "bad_shard",
                     "shard %" PRId64 " of %" PRId64 " at step %" PRId64 " cannot be", shard->shard,
                     shard->of, shard->step);
        return false;
    }
    if (!is_on_node(attempt, shard->node)) {
        reply_refuse(brain, STATUS_FORBIDDEN, "not_assigned",
                     "node %s has no rank of job %s attempt %" PRId64, shard->node, shard->job,
                     shard->attempt);
        return false;
    }
    return true;
}

/* Of the committed steps: a repeat is fine, anything else comes too late. */
static bool answer_committed(struct brain *brain, const struct job *job,
                             const struct shard_row *shard)
{
    if (shard->step > job->row.committed_step)
        return false;
    for (size_t i = 0; i < job->checkpoint_count; i++) {
        const struct checkpoint_row *row = &job->checkpoints[i];
        if (row->step == shard->step && row->attempt == shard->attempt &&
            row->shards == shard->of) {
            brain->reply->duplicate = true;
            brain->reply->committed = true;
            return true;
        }
    }
    reply_refuse(brain, STATUS_CONFLICT, "superseded",
                 "job %s: step %" PRId64 " is not after the committed step %" PRId64, shard->job,
                 shard->step, job->row.committed_step);
    return true;
}

/* Of the pending shards: a repeat is fine, another content is not. */
static bool answer_pending(struct brain *brain, const struct job *job,
                           const struct shard_row *shard)
{
    for (size_t i = 0; i < job->shard_count; i++) {
        const struct shard_row *row = &job->shards[i];
        if (row->step != shard->step)
            continue;
        if (row->of != shard->of) {
            reply_refuse(brain, STATUS_CONFLICT, "shard_differs",
                         "job %s step %" PRId64 " has %" PRId64 " shards, not %" PRId64, shard->job,
                         shard->step, row->of, shard->of);
            return true;
        }
        if (row->shard != shard->shard)
            continue;
        if (strcmp(row->sha256, shard->sha256) == 0 && row->bytes == shard->bytes)
            brain->reply->duplicate = true;
        else
            reply_refuse(brain, STATUS_CONFLICT, "shard_differs",
                         "job %s step %" PRId64 ": shard %" PRId64 " was stored with other bytes",
                         shard->job, shard->step, shard->shard);
        return true;
    }
    return false;
}

static void keep_shard(struct job *job, const struct shard_row *shard)
{
    job->shards =
        memory_grow(job->shards, job->shard_count, &job->shard_capacity, sizeof(*job->shards));
    job->shards[job->shard_count++] = *shard;
}

/* Sums up the step into `out`; true when no shard is missing. */
static bool is_complete(const struct job *job, const struct shard_row *shard,
                        struct checkpoint_row *out)
{
    for (size_t i = 0; i < job->shard_count; i++) {
        if (job->shards[i].step == shard->step) {
            out->shards++;
            out->bytes += job->shards[i].bytes;
        }
    }
    return out->shards == shard->of;
}

/* Steps that are not after the committed one can never be committed. */
static void forget_shards(struct job *job)
{
    size_t kept = 0;
    for (size_t i = 0; i < job->shard_count; i++) {
        if (job->shards[i].step > job->row.committed_step)
            job->shards[kept++] = job->shards[i];
    }
    job->shard_count = kept;
}

static void retain(struct brain *brain, struct job *job)
{
    const int64_t keep = job->row.request.keep_last < 1 ? 1 : job->row.request.keep_last;
    size_t gone = 0;
    while ((int64_t)(job->checkpoint_count - gone) > keep) {
        emit_effect(brain, EFFECT_CHECKPOINT_DELETE)->checkpoint = job->checkpoints[gone];
        gone++;
    }
    if (gone == 0)
        return;
    job->checkpoint_count -= gone;
    memmove(job->checkpoints, job->checkpoints + gone,
            job->checkpoint_count * sizeof(*job->checkpoints));
}

void checkpoint_load(struct brain *brain, const struct checkpoint_row *row)
{
    struct job *job = state_job(brain, row->job);
    if (job == NULL || job_state_is_terminal(job->row.state))
        return;
    job->checkpoints = memory_grow(job->checkpoints, job->checkpoint_count,
                                   &job->checkpoint_capacity, sizeof(*job->checkpoints));
    size_t at = job->checkpoint_count++;
    for (; at > 0 && job->checkpoints[at - 1].step > row->step; at--)
        job->checkpoints[at] = job->checkpoints[at - 1];
    job->checkpoints[at] = *row;
}

static void commit(struct brain *brain, struct attempt *attempt, const struct checkpoint_row *row)
{
    struct job *job = attempt->job;
    assert(row->attempt == job->row.attempt && row->step > job->row.committed_step);
    emit_effect(brain, EFFECT_CHECKPOINT_INSERT)->checkpoint = *row;
    checkpoint_load(brain, row);
    job->row.committed_step = row->step;
    job->row.ends_without_checkpoint = 0;
    emit_job(brain, job);
    char detail[BRAIN_DETAIL_BYTES];
    (void)snprintf(detail, sizeof(detail),
                   "step %" PRId64 ", %" PRId64 " bytes in %" PRId64 " shards", row->step,
                   row->bytes, row->shards);
    emit_event(brain, &(struct emit_event){.kind = "checkpoint",
                                           .job = job->row.id,
                                           .attempt = row->attempt,
                                           .detail = detail});
    forget_shards(job);
    retain(brain, job);
    brain->reply->committed = true;
}

bool checkpoint_doubt(struct brain *brain, struct job *job)
{
    const int64_t step = job->row.resume_step;
    const bool again =
        job->row.crash_reason == REASON_CHECKPOINT_CORRUPT && job->row.crash_step == step;
    job->row.crash_reason = REASON_CHECKPOINT_CORRUPT;
    job->row.crash_step = step;
    if (!again || step != job->row.committed_step || job->checkpoint_count == 0)
        return true;
    const struct checkpoint_row *bad = &job->checkpoints[--job->checkpoint_count];
    emit_effect(brain, EFFECT_CHECKPOINT_DELETE)->checkpoint = *bad;
    job->row.committed_step =
        job->checkpoint_count == 0 ? 0 : job->checkpoints[job->checkpoint_count - 1].step;
    return job->checkpoint_count > 0;
}

struct attempt *checkpoint_record_shard(struct brain *brain, const struct brain_input *input)
{
    const struct shard_row *shard = &input->shard;
    struct attempt *attempt = find_attempt(brain, shard);
    if (attempt == NULL || !is_well_formed(brain, attempt, shard))
        return NULL;
    struct job *job = attempt->job;
    (void)text_copy(brain->reply->id, sizeof(brain->reply->id), job->row.id);
    if (answer_committed(brain, job, shard) || answer_pending(brain, job, shard))
        return NULL;
    if (job->shard_count >= BRAIN_PENDING_MAX) {
        reply_refuse(brain, STATUS_BUSY, "too_many_shards",
                     "job %s has %zu shards that belong to no complete checkpoint", job->row.id,
                     job->shard_count);
        return NULL;
    }
    keep_shard(job, shard);
    attempt->shards_recorded = true;
    emit_effect(brain, EFFECT_SHARD_INSERT)->shard = *shard;
    struct checkpoint_row row = {.attempt = shard->attempt,
                                 .step = shard->step,
                                 .committed_at_ms = brain->wall_ms,
                                 .lag_ms = -1};
    (void)text_copy(row.job, sizeof(row.job), job->row.id);
    if (input->at_wall_ms > 0 && input->at_wall_ms <= brain->wall_ms)
        row.lag_ms = brain->wall_ms - input->at_wall_ms;
    if (is_complete(job, shard, &row))
        commit(brain, attempt, &row);
    return attempt;
}

void checkpoint_load_shard(struct brain *brain, const struct shard_row *row)
{
    struct job *job = state_job(brain, row->job);
    struct attempt *live = job == NULL ? NULL : state_live_attempt(job);
    if (live == NULL || live->row.attempt != row->attempt)
        return;
    live->shards_recorded = true;
    if (row->step > job->row.committed_step)
        keep_shard(job, row);
}
