/* A hash of every durable fact that the brain holds: a reloaded brain must have the same. */

#include <string.h>

#include "service/brain/state.h"

struct digest {
    uint64_t value;
};

static void add_number(struct digest *digest, int64_t number)
{
    for (int shift = 0; shift < 64; shift += 8) {
        digest->value ^= ((uint64_t)number >> shift) & 0xff;
        digest->value *= UINT64_C(0x100000001b3);
    }
}

static void add_text(struct digest *digest, const char *text)
{
    for (; *text != '\0'; text++) {
        digest->value ^= (uint8_t)*text;
        digest->value *= UINT64_C(0x100000001b3);
    }
    add_number(digest, 0);
}

/* Rows are hashed one by one and added up, so that the order in which they are held does not matter. */
static struct digest begin(char tag)
{
    struct digest digest = {.value = UINT64_C(0xcbf29ce484222325)};
    add_number(&digest, tag);
    return digest;
}

static uint64_t finish(const struct digest *digest)
{
    uint64_t mixed = digest->value;
    return splitmix64_next(&mixed);
}

static uint64_t digest_request(const struct job_request *request)
{
    const int64_t numbers[] = {request->ranks,           request->device,
                               request->priority,        request->time_limit_ms,
                               request->max_restarts,    request->max_infra_restarts,
                               request->hang_timeout_ms, request->orphan_timeout_ms,
                               request->keep_last,       request->total_steps,
                               request->fenced,          request->stop_on_controller_loss};
    struct digest digest = begin('q');
    for (size_t i = 0; i < COUNT_OF(numbers); i++)
        add_number(&digest, numbers[i]);
    return finish(&digest);
}

static uint64_t digest_job(const struct job_row *row)
{
    const char *texts[] = {row->id,
                           row->name,
                           row->project,
                           row->dataset,
                           row->detail,
                           row->numerics,
                           row->idempotency_key,
                           row->body_sha256,
                           row->spec_sha256,
                           row->retry_of,
                           row->submitted_by,
                           row->model_sha256,
                           row->model_file_sha256};
    const int64_t numbers[] = {row->revision,
                               row->state,
                               row->reason,
                               row->attempt,
                               row->device,
                               row->bit_exact,
                               row->committed_step,
                               row->resume_step,
                               row->lost_steps,
                               row->restarts,
                               row->infra_restarts,
                               row->ends_without_checkpoint,
                               row->crash_step,
                               row->crash_reason,
                               row->checkpoint_request,
                               row->cancel_requested,
                               row->created_at_ms,
                               row->started_at_ms,
                               row->ended_at_ms,
                               row->model_bytes,
                               row->result_attempt,
                               (int64_t)digest_request(&row->request)};
    struct digest digest = begin('j');
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        add_text(&digest, texts[i]);
    for (size_t i = 0; i < COUNT_OF(numbers); i++)
        add_number(&digest, numbers[i]);
    return finish(&digest);
}

static uint64_t digest_attempt(const struct attempt_row *row, bool holds_port)
{
    const int64_t numbers[] = {row->attempt,       row->state,
                               row->reason,        row->resume_step,
                               row->lost_steps,    row->world_size,
                               row->master_port,   row->cause,
                               row->fault_at_ms,   row->detected_at_ms,
                               row->fenced_at_ms,  row->placed_at_ms,
                               row->started_at_ms, row->first_step_at_ms,
                               row->ended_at_ms};
    struct digest digest = begin('a');
    add_text(&digest, row->job);
    add_text(&digest, row->detail);
    add_number(&digest, holds_port);
    add_text(&digest, row->master_address);
    add_text(&digest, row->secret);
    for (size_t i = 0; i < COUNT_OF(numbers); i++)
        add_number(&digest, numbers[i]);
    return finish(&digest);
}

static uint64_t digest_rank(const struct rank *rank)
{
    const struct rank_row *row = &rank->row;
    const int64_t numbers[] = {row->attempt,   row->rank,        row->pid,      row->ended,
                               row->exit_code, row->exit_signal, row->exit_oom, row->exit_reason,
                               row->step,      row->phase};
    struct digest digest = begin('r');
    add_text(&digest, row->job);
    add_text(&digest, row->node);
    add_text(&digest, row->slot);
    for (size_t i = 0; i < COUNT_OF(numbers); i++)
        add_number(&digest, numbers[i]);
    add_number(&digest, rank->slot != NULL);
    return finish(&digest);
}

static uint64_t digest_node(const struct node_row *row)
{
    const int64_t numbers[] = {row->revision,  row->state,        row->drain,
                               row->cpu_count, row->memory_bytes, row->port_first,
                               row->port_last, row->joined_at_ms, row->lost_at_ms};
    struct digest digest = begin('n');
    add_text(&digest, row->id);
    add_text(&digest, row->hostname);
    add_text(&digest, row->address);
    add_text(&digest, row->boot_id);
    add_text(&digest, row->numerics);
    add_text(&digest, row->version);
    add_text(&digest, row->labels == NULL ? "" : row->labels);
    for (size_t i = 0; i < COUNT_OF(numbers); i++)
        add_number(&digest, numbers[i]);
    return finish(&digest);
}

static uint64_t digest_slot(const struct slot_row *row)
{
    struct digest digest = begin('s');
    add_text(&digest, row->node);
    add_text(&digest, row->slot);
    add_text(&digest, row->uuid);
    add_text(&digest, row->name);
    add_text(&digest, row->job);
    const int64_t numbers[] = {row->kind,    row->index,   row->memory_bytes,
                               row->present, row->attempt, row->rank};
    for (size_t i = 0; i < COUNT_OF(numbers); i++)
        add_number(&digest, numbers[i]);
    return finish(&digest);
}

static uint64_t digest_shard(const struct shard_row *row)
{
    struct digest digest = begin('h');
    add_text(&digest, row->job);
    add_text(&digest, row->sha256);
    add_text(&digest, row->node);
    const int64_t numbers[] = {row->attempt, row->step, row->shard, row->of, row->bytes};
    for (size_t i = 0; i < COUNT_OF(numbers); i++)
        add_number(&digest, numbers[i]);
    return finish(&digest);
}

static uint64_t digest_checkpoint(const struct checkpoint_row *row)
{
    struct digest digest = begin('c');
    add_text(&digest, row->job);
    const int64_t numbers[] = {row->attempt,         row->step,  row->shards, row->bytes,
                               row->committed_at_ms, row->lag_ms};
    for (size_t i = 0; i < COUNT_OF(numbers); i++)
        add_number(&digest, numbers[i]);
    return finish(&digest);
}

static uint64_t digest_held_job(const struct job *job)
{
    uint64_t sum = digest_job(&job->row);
    for (const struct attempt *attempt = job->newest; attempt != NULL; attempt = attempt->older) {
        sum += digest_attempt(&attempt->row, attempt->holds_port);
        for (int64_t i = 0; i < attempt->row.world_size; i++)
            sum += digest_rank(&attempt->ranks[i]);
    }
    for (size_t i = 0; i < job->shard_count; i++)
        sum += digest_shard(&job->shards[i]);
    for (size_t i = 0; i < job->checkpoint_count; i++)
        sum += digest_checkpoint(&job->checkpoints[i]);
    return sum;
}

uint64_t brain_digest(const struct brain *brain)
{
    uint64_t sum = (uint64_t)brain->revision;
    for (const struct job *job = brain->jobs; job != NULL; job = job->next)
        sum += digest_held_job(job);
    for (size_t i = 0; i < brain->node_count; i++) {
        const struct node *node = brain->nodes[i];
        sum += digest_node(&node->row);
        for (size_t s = 0; s < node->slot_count; s++)
            sum += digest_slot(&node->slots[s]->row);
    }
    return sum;
}
