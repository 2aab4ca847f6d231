#include "agent/orders.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/child.h"
#include "agent/runner/runner_orders.h"
#include "base/fs.h"

#define VALUE_BYTES_MAX 2048

/* What the orders need of a spec beyond the assignment. */
struct wishes {
    int64_t threads_per_rank;
    int64_t memory_bytes;
};

struct writer {
    const struct site *site;
    const char *folder;
    const struct wire_assignment *assignment;
    struct wishes wishes;
    struct buf *out;
};

void orders_append_line(struct buf *out, const char *key, const char *value)
{
    buf_append_text(out, key);
    buf_append_text(out, " ");
    for (const char *at = value; *at; at++) {
        if (*at == '\n')
            buf_append_text(out, "\\n");
        else if (*at == '\\')
            buf_append_text(out, "\\\\");
        else
            buf_append(out, at, 1);
    }
    buf_append_text(out, "\n");
}

static void line(struct buf *out, const char *key, const char *fmt, ...) PRINTF_LIKE(3, 4);

static void line(struct buf *out, const char *key, const char *fmt, ...)
{
    char value[VALUE_BYTES_MAX];
    va_list args;
    va_start(args, fmt);
    const int size = vsnprintf(value, sizeof(value), fmt, args);
    va_end(args);
    if (size < 0 || (size_t)size >= sizeof(value)) {
        out->failed = out->failed == STATUS_OK ? STATUS_TOO_LARGE : out->failed;
        return;
    }
    orders_append_line(out, key, value);
}

static enum status read_wishes(const char *spec, struct wishes *out, struct error *err)
{
    CLEANUP(json_cleanup) json_t *document = NULL;
    TRY(json_parse(spec, strlen(spec), &document, err));
    const json_t *training = json_object_get(document, "training");
    const json_t *resources = json_object_get(document, "resources");
    const json_int_t threads = json_integer_value(json_object_get(training, "threads_per_rank"));
    out->threads_per_rank = threads > 0 ? threads : 1;
    out->memory_bytes = json_integer_value(json_object_get(resources, "memory_bytes"));
    return STATUS_OK;
}

/* torchrun's words. */
static void write_torchrun_env(const struct writer *writer, size_t index)
{
    const struct wire_assignment *a = writer->assignment;
    struct buf *out = writer->out;
    const struct {
        const char *name;
        int64_t value;
    } numbers[] = {
        {"RANK", a->ranks[index].rank},
        {"LOCAL_RANK", (int64_t)index},
        {"WORLD_SIZE", a->world_size},
        {"LOCAL_WORLD_SIZE", (int64_t)a->rank_count},
        {"GROUP_RANK", a->group_rank},
        {"GROUP_WORLD_SIZE", a->group_world_size},
        {"ROLE_RANK", a->ranks[index].rank},
        {"ROLE_WORLD_SIZE", a->world_size},
        {"MASTER_PORT", a->master_port},
        {"TORCHELASTIC_RESTART_COUNT", a->restart_count},
        {"TORCHELASTIC_MAX_RESTARTS", a->max_restarts},
        {"OMP_NUM_THREADS", writer->wishes.threads_per_rank},
    };
    for (size_t i = 0; i < COUNT_OF(numbers); i++)
        line(out, "env", "%s=%lld", numbers[i].name, (long long)numbers[i].value);
    line(out, "env", "ROLE_NAME=trainer");
    line(out, "env", "MASTER_ADDR=%s", a->master_address);
    line(out, "env", "TORCHELASTIC_RUN_ID=%s", a->job);
    line(out, "env", "TORCHELASTIC_USE_AGENT_STORE=False");
    /* Empty on a CPU slot: what such a rank runs sees no device that it was not given. */
    line(out, "env", "CUDA_VISIBLE_DEVICES=%s", a->ranks[index].slot_uuid);
}

static void write_reprise_env(const struct writer *writer, size_t index)
{
    const struct wire_assignment *a = writer->assignment;
    const char *folder = writer->folder;
    struct buf *out = writer->out;
    line(out, "env", "REPRISE_JOB_ID=%s", a->job);
    line(out, "env", "REPRISE_ATTEMPT=%lld", (long long)a->attempt);
    line(out, "env", "REPRISE_SPEC=%s/spec.json", folder);
    line(out, "env", "REPRISE_EVENTS=%s/rank-%lld/events.jsonl", folder,
         (long long)a->ranks[index].rank);
    line(out, "env", "REPRISE_CHECKPOINT_DIR=%s/checkpoints", folder);
    line(out, "env", "REPRISE_RESUME_FROM=%s/resume", folder);
    line(out, "env", "REPRISE_RESUME_STEP=%lld", (long long)a->resume_step);
    line(out, "env", "REPRISE_OUTPUT_DIR=%s/output", folder);
    line(out, "env", "REPRISE_DATA_DIR=%s", a->data_dir);
    line(out, "env", "REPRISE_DATA_CACHE=%s/cache", writer->site->data_dir);
    line(out, "env", "REPRISE_GRACE_MS=%lld", (long long)a->grace_ms);
    line(out, "env", "REPRISE_RENDEZVOUS_SECRET_FILE=%s/secret", folder);
    line(out, "env", "REPRISE_BIND_ADDRESS=%s", writer->site->address);
    line(out, "env", "REPRISE_HANG_TIMEOUT_MS=%lld", (long long)a->hang_timeout_ms);
    line(out, "env", "REPRISE_SETUP_TIMEOUT_MS=%d", ORDERS_SETUP_TIMEOUT_MS);
    line(out, "env", "REPRISE_PROGRESS=" RUNNER_PROGRESS_PATH);
    if (a->rank_count > 1)
        line(out, "env", "REPRISE_SHARED_MEMORY=" RUNNER_SHARED_PATH);
}

static void write_rank(const struct writer *writer, size_t index, const char *const *inherited)
{
    const long long rank = (long long)writer->assignment->ranks[index].rank;
    struct buf *out = writer->out;
    line(out, "rank", "%lld", rank);
    line(out, "memory_bytes", "%lld", (long long)writer->wishes.memory_bytes);
    line(out, "cwd", "%s", writer->folder);
    line(out, "stdout", "%s/rank-%lld/stdout", writer->folder, rank);
    line(out, "stderr", "%s/rank-%lld/stderr", writer->folder, rank);
    orders_append_line(out, "arg", writer->site->trainer);
    /* A later variable of one name would be the second of two: ours come first, so getenv finds it. */
    write_torchrun_env(writer, index);
    write_reprise_env(writer, index);
    for (size_t i = 0; i < RUNNER_ENV_MAX / 2 && inherited[i]; i++)
        orders_append_line(out, "env", inherited[i]);
}

static int64_t hang_grace_ms(int64_t kill_budget_ms)
{
    const int64_t scaled_ms = 2 * kill_budget_ms;
    return scaled_ms < ORDERS_HANG_GRACE_MS ? scaled_ms : ORDERS_HANG_GRACE_MS;
}

enum status orders_render(const struct site *site, const char *folder,
                          const struct wire_assignment *assignment,
                          const struct orders_lease *lease, struct buf *out, struct error *err)
{
    struct writer writer = {.site = site, .folder = folder, .assignment = assignment, .out = out};
    TRY(read_wishes(assignment->spec, &writer.wishes, err));
    CLEANUP(free_cleanup) const char **inherited = NULL;
    TRY(child_environment(&inherited, err));
    line(out, "reprise-orders", "%d", RUNNER_ORDERS_VERSION);
    line(out, "job", "%s", assignment->job);
    line(out, "attempt", "%lld", (long long)assignment->attempt);
    line(out, "boot_id", "%s", site->boot_id);
    line(out, "lease_boot_ms", "%lld", (long long)lease->lease_boot_ms);
    line(out, "stop_on_lease_loss", "%d", assignment->stop_on_controller_loss);
    line(out, "orphan_timeout_ms", "%lld", (long long)assignment->orphan_timeout_ms);
    line(out, "kill_budget_ms", "%lld", (long long)lease->kill_budget_ms);
    line(out, "hang_timeout_ms", "%lld", (long long)assignment->hang_timeout_ms);
    line(out, "hang_grace_ms", "%lld", (long long)hang_grace_ms(lease->kill_budget_ms));
    line(out, "setup_timeout_ms", "%d", ORDERS_SETUP_TIMEOUT_MS);
    line(out, "shared_memory", "%d", assignment->rank_count > 1);
    line(out, "cgroup", "%s %s", site->cgroup_kind, site->cgroup_parent);
    for (size_t i = 0; i < assignment->rank_count; i++)
        write_rank(&writer, i, inherited);
    line(out, "end", "%d", RUNNER_ORDERS_VERSION);
    return buf_status(out, "the runner's orders", err);
}
