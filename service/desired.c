#include "service/desired.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "schema/wire_agent.h"

struct rendering {
    struct reader *reader;
    struct wire_assignment *items;
    size_t count;
    enum status status;
    struct error *err;
};

static void rendering_clear(struct rendering *rendering)
{
    for (size_t i = 0; i < rendering->count; i++)
        wire_assignment_clear(&rendering->items[i]);
    free(rendering->items);
}

static void copy(char *out, size_t out_bytes, const char *text)
{
    snprintf(out, out_bytes, "%s", text);
}

static enum status fill_ranks(const struct desired_attempt *from, struct wire_assignment *out,
                              struct error *err)
{
    out->ranks = calloc(from->rank_count + 1, sizeof(*out->ranks));
    if (out->ranks == NULL)
        return error_set(err, STATUS_NO_MEMORY, "ranks of job %s: out of memory", from->job->id);
    out->rank_count = from->rank_count;
    for (size_t i = 0; i < from->rank_count; i++) {
        out->ranks[i].rank = from->ranks[i]->rank;
        copy(out->ranks[i].slot, sizeof(out->ranks[i].slot), from->ranks[i]->slot);
        if (from->slots != NULL && from->slots[i] != NULL)
            copy(out->ranks[i].slot_uuid, sizeof(out->ranks[i].slot_uuid), from->slots[i]->uuid);
    }
    return STATUS_OK;
}

static void add_shards(void *context, const struct checkpoint_row *checkpoint,
                       const struct shard_row *shards, size_t shard_count)
{
    (void)checkpoint;
    struct wire_assignment *out = context;
    out->shards = calloc(shard_count + 1, sizeof(*out->shards));
    if (out->shards == NULL)
        return; /* shard_count stays 0: the caller sees that they are missing */
    out->shard_count = shard_count;
    for (size_t i = 0; i < shard_count; i++) {
        const struct shard_row *shard = &shards[i];
        struct wire_shard_source *to = &out->shards[i];
        to->shard = shard->shard;
        to->of = shard->of;
        to->bytes = shard->bytes;
        copy(to->sha256, sizeof(to->sha256), shard->sha256);
        snprintf(to->href, sizeof(to->href), "/v1/agent/checkpoints/%s/%lld/%lld/%lld?of=%lld",
                 shard->job, (long long)shard->attempt, (long long)shard->step,
                 (long long)shard->shard, (long long)shard->of);
    }
}

static enum status fill_data_dir(struct rendering *rendering, const struct desired_attempt *from,
                                 struct wire_assignment *out)
{
    struct dataset_row dataset;
    if (from->job->dataset[0] == '\0')
        return STATUS_OK;
    TRY(reader_dataset(rendering->reader, from->job->dataset, &dataset, rendering->err));
    copy(out->data_dir, sizeof(out->data_dir), dataset.path);
    return STATUS_OK;
}

static enum status fill_from_database(struct rendering *rendering,
                                      const struct desired_attempt *from,
                                      struct wire_assignment *out)
{
    struct error *err = rendering->err;
    struct job_view view;
    TRY(reader_job(rendering->reader, from->job->id, &view, err));
    out->spec = strdup(view.spec);
    if (out->spec == NULL)
        return error_set(err, STATUS_NO_MEMORY, "spec of job %s: out of memory", from->job->id);
    TRY(fill_data_dir(rendering, from, out));
    if (from->attempt->resume_step == 0)
        return STATUS_OK;
    /*
     * An attempt that has gone on and committed newer checkpoints may have outlived the one that it
     * resumed from. Its ranks have it already; only a start would need the shards.
     */
    struct error gone = {0};
    const enum status status = reader_checkpoint(
        rendering->reader, from->job->id, from->attempt->resume_step, add_shards, out, &gone);
    if (status != STATUS_OK && status != STATUS_NOT_FOUND)
        return error_set(err, status, "%s", gone.text);
    return STATUS_OK;
}

static enum status fill(struct rendering *rendering, const struct desired_attempt *from,
                        struct wire_assignment *out)
{
    const struct job_row *job = from->job;
    const struct attempt_row *attempt = from->attempt;
    copy(out->job, sizeof(out->job), job->id);
    out->attempt = attempt->attempt;
    copy(out->project, sizeof(out->project), job->project);
    out->world_size = attempt->world_size;
    out->group_rank = from->group_rank;
    out->group_world_size = from->group_world_size;
    copy(out->master_address, sizeof(out->master_address), attempt->master_address);
    out->master_port = attempt->master_port;
    copy(out->secret, sizeof(out->secret), attempt->secret);
    out->resume_step = attempt->resume_step;
    out->checkpoint_request = job->checkpoint_request;
    out->phase = !from->stop ? DESIRED_RUN : from->kill ? DESIRED_KILL : DESIRED_STOP;
    out->grace_ms = from->grace_ms;
    out->stop_on_controller_loss = job->request.stop_on_controller_loss;
    out->orphan_timeout_ms = job->request.orphan_timeout_ms;
    out->hang_timeout_ms = job->request.hang_timeout_ms;
    out->restart_count = attempt->attempt - 1;
    out->max_restarts = job->request.max_restarts;
    TRY(fill_ranks(from, out, rendering->err));
    return fill_from_database(rendering, from, out);
}

static void add_attempt(void *context, const struct desired_attempt *attempt)
{
    struct rendering *rendering = context;
    if (rendering->status != STATUS_OK)
        return;
    struct wire_assignment *items =
        realloc(rendering->items, (rendering->count + 1) * sizeof(*items));
    if (items == NULL) {
        rendering->status = error_set(rendering->err, STATUS_NO_MEMORY,
                                      "desired set with job %s: out of memory", attempt->job->id);
        return;
    }
    rendering->items = items;
    struct wire_assignment *out = &items[rendering->count++];
    memset(out, 0, sizeof(*out));
    rendering->status = fill(rendering, attempt, out);
}

enum status desired_render(const struct brain *brain, struct reader *reader, const char *node,
                           char **out_json, int64_t *out_revision, struct error *err)
{
    CLEANUP(rendering_clear) struct rendering rendering = {.reader = reader, .err = err};
    const int64_t revision = brain_desired(brain, node, add_attempt, &rendering);
    TRY(rendering.status);
    CLEANUP(json_cleanup)
    json_t *array = wire_assignments_encode(rendering.items, rendering.count);
    char *text = array != NULL ? json_dumps(array, JSON_COMPACT) : NULL;
    if (text == NULL)
        return error_set(err, STATUS_NO_MEMORY, "desired set of node %s: out of memory", node);
    *out_json = text;
    *out_revision = revision;
    return STATUS_OK;
}
