#include "agent/local.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent/runner/runner_protocol.h"
#include "base/fs.h"
#include "base/text.h"

#define EXIT_RECORD_BYTES_MAX (256 * KIB)
#define EXIT_RECORD_MODE      0644

enum status local_take_ranks(struct local *local, const struct wire_assignment *assignment,
                             struct error *err)
{
    assert(local->rank_count == 0);
    struct local_rank *ranks = calloc(assignment->rank_count + 1, sizeof(*ranks));
    if (!ranks)
        return error_set(err, STATUS_NO_MEMORY, "no memory for job %s attempt %lld",
                         assignment->job, (long long)assignment->attempt);
    for (size_t i = 0; i < assignment->rank_count; i++) {
        ranks[i].rank = assignment->ranks[i].rank;
        memcpy(ranks[i].slot, assignment->ranks[i].slot, sizeof(ranks[i].slot));
    }
    free(local->ranks);
    local->ranks = ranks;
    local->rank_count = assignment->rank_count;
    return STATUS_OK;
}

static enum status fill(struct local *local, const struct wire_assignment *assignment,
                        const char *data_dir, struct error *err)
{
    memcpy(local->job, assignment->job, sizeof(local->job));
    local->attempt = assignment->attempt;
    local->state = LOCAL_PREPARING;
    local->link_fd = -1;
    local->runner_pid_fd = -1;
    local->checkpoint_request = assignment->checkpoint_request;
    TRY(local_take_ranks(local, assignment, err));
    if (!data_dir)
        return STATUS_OK;
    return fs_path(local->folder, sizeof(local->folder), err, "%s/attempts/%s/%lld", data_dir,
                   local->job, (long long)local->attempt);
}

enum status local_new(const struct wire_assignment *assignment, const char *data_dir,
                      struct local **out, struct error *err)
{
    struct local *local = calloc(1, sizeof(*local));
    if (!local)
        return error_set(err, STATUS_NO_MEMORY, "no memory for job %s attempt %lld",
                         assignment->job, (long long)assignment->attempt);
    const enum status status = fill(local, assignment, data_dir, err);
    if (status != STATUS_OK) {
        local_free(local);
        return status;
    }
    *out = local;
    return STATUS_OK;
}

void local_free(struct local *local)
{
    if (!local)
        return;
    for (size_t i = 0; i < local->rank_count; i++) {
        if (local->ranks[i].page)
            (void)munmap((void *)(uintptr_t)local->ranks[i].page, PROGRESS_PAGE_BYTES);
    }
    fd_cleanup(&local->link_fd);
    fd_cleanup(&local->runner_pid_fd);
    free(local->ranks);
    free(local);
}

struct local_rank *local_find_rank(struct local *local, int64_t rank)
{
    for (size_t i = 0; i < local->rank_count; i++) {
        if (local->ranks[i].rank == rank)
            return &local->ranks[i];
    }
    return NULL;
}

bool local_all_ended(const struct local *local)
{
    for (size_t i = 0; i < local->rank_count; i++) {
        if (!local->ranks[i].ended)
            return false;
    }
    return true;
}

void local_end_rest(struct local *local, enum reason reason, const char *detail,
                    int64_t now_boot_ms)
{
    for (size_t i = 0; i < local->rank_count; i++) {
        struct local_rank *rank = &local->ranks[i];
        if (rank->ended)
            continue;
        rank->ended = true;
        rank->exit_code = -1;
        rank->exit_reason = reason;
        rank->end_boot_ms = now_boot_ms;
        local_set_detail(rank, detail);
    }
}

void local_set_detail(struct local_rank *rank, const char *text)
{
    (void)text_copy(rank->detail, sizeof(rank->detail), text);
    for (char *at = rank->detail; *at;) {
        const size_t bytes = text_utf8_bytes(at, strlen(at));
        if (bytes == 0 || (unsigned char)*at < ' ')
            *at = bytes == 0 ? '?' : ' ';
        at += bytes > 0 ? bytes : 1;
    }
}

static void read_rank(struct local *local, const struct json_at *at)
{
    struct local_rank got = {0};
    int reason = REASON_NONE;
    const struct json_at rank_at = json_at_key(at, "rank");
    const struct json_at pid = json_at_key(at, "pid");
    const struct json_at ended = json_at_key(at, "ended");
    const struct json_at code = json_at_key(at, "code");
    const struct json_at signal = json_at_key(at, "signal");
    const struct json_at oom = json_at_key(at, "oom");
    const struct json_at why = json_at_key(at, "reason");
    const struct json_at end = json_at_key(at, "end_boot_ms");
    const struct json_at step = json_at_key(at, "step");
    const struct json_at phase = json_at_key(at, "phase");
    const struct json_at detail = json_at_key(at, "detail");
    if (!json_get_int(&rank_at, 0, INT32_MAX, &got.rank) ||
        !json_get_int(&pid, 0, INT32_MAX, &got.pid) || !json_get_bool(&ended, &got.ended) ||
        !json_get_int(&code, -1, 255, &got.exit_code) ||
        !json_get_int(&signal, 0, 128, &got.exit_signal) || !json_get_bool(&oom, &got.exit_oom) ||
        !json_get_enum(&why, reason_names, &reason) ||
        !json_get_int(&end, 0, INT64_MAX, &got.end_boot_ms) ||
        !json_opt_int(&step, 0, INT64_MAX, &got.step) ||
        !json_opt_int(&phase, 0, PROGRESS_PHASE_COUNT - 1, &got.phase) ||
        !json_get_string_copy(&detail, got.detail, sizeof(got.detail)))
        return;
    struct local_rank *rank = local_find_rank(local, got.rank);
    if (!rank || !got.ended)
        return;
    memcpy(got.slot, rank->slot, sizeof(got.slot));
    got.exit_reason = (enum reason)reason;
    got.page = rank->page;
    *rank = got;
}

enum status local_read_exits(struct local *local, struct error *err)
{
    char path[LOCAL_FOLDER_BYTES + 32];
    CLEANUP(buf_clear) struct buf text;
    CLEANUP(json_cleanup) json_t *document = NULL;
    buf_init(&text, EXIT_RECORD_BYTES_MAX);
    TRY(fs_path(path, sizeof(path), err, "%s/" RUNNER_EXIT_NAME, local->folder));
    TRY(fs_read_file(path, &text, err));
    TRY(json_parse(text.data, text.size, &document, err));
    struct json_problems problems = {0};
    const struct json_at root = json_at_root(document, &problems);
    const struct json_at ranks = json_at_key(&root, "ranks");
    size_t count = 0;
    if (json_get_array(&ranks, NODE_SLOTS_MAX, &count)) {
        for (size_t i = 0; i < count; i++) {
            const struct json_at at = json_at_index(&ranks, i);
            read_rank(local, &at);
        }
    }
    return json_problems_status(&problems, err);
}

static json_t *encode_rank(const struct local_rank *rank)
{
    return json_pack("{s:I, s:I, s:I, s:b, s:I, s:I, s:b, s:s, s:I, s:I, s:I, s:s}", "rank",
                     (json_int_t)rank->rank, "pid", (json_int_t)rank->pid, "start_time",
                     (json_int_t)0, "ended", rank->ended, "code", (json_int_t)rank->exit_code,
                     "signal", (json_int_t)rank->exit_signal, "oom", rank->exit_oom, "reason",
                     reason_names[rank->exit_reason], "end_boot_ms", (json_int_t)rank->end_boot_ms,
                     "step", (json_int_t)rank->step, "phase", (json_int_t)rank->phase, "detail",
                     rank->detail);
}

enum status local_write_exits(const struct local *local, const char *boot_id, struct error *err)
{
    char path[LOCAL_FOLDER_BYTES + 32];
    CLEANUP(json_cleanup) json_t *ranks = json_array();
    for (size_t i = 0; ranks && i < local->rank_count; i++)
        (void)json_array_append_new(ranks, encode_rank(&local->ranks[i]));
    CLEANUP(json_cleanup)
    json_t *document = json_pack("{s:i, s:s, s:I, s:s, s:b, s:O}", "version", 1, "job", local->job,
                                 "attempt", (json_int_t)local->attempt, "boot_id", boot_id,
                                 "complete", local_all_ended(local), "ranks", ranks);
    CLEANUP(free_cleanup) char *text = document ? json_canonical(document) : NULL;
    if (!text)
        return error_set(err, STATUS_NO_MEMORY, "no memory for the exits of job %s", local->job);
    TRY(fs_path(path, sizeof(path), err, "%s/" RUNNER_EXIT_NAME, local->folder));
    return fs_replace_file(path, text, strlen(text), EXIT_RECORD_MODE, err);
}
