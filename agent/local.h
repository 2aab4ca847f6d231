#ifndef AGENT_LOCAL_H
#define AGENT_LOCAL_H

/*
 * local.h - what this node has of one attempt: the observed side. What the controller wants of it
 * (the desired side) is a wire_assignment; the two never share a field.
 *
 *                 started                every rank ended
 *   LOCAL_PREPARING -------> LOCAL_RUNNING -------> LOCAL_OVER -------> removed
 *          |   could not start, or cancelled   ^                (not desired any more,
 *          +-----------------------------------+                 and all is delivered)
 *
 *   PREPARING  A worker makes the folder, fetches shards, decodes data, spawns the runner.
 *   RUNNING    A runner lives. Its socket is our only way to it.
 *   OVER       No rank of it lives here; exit.json says how each ended.
 *
 * The main thread alone owns these.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/id.h"
#include "schema/names.h"
#include "schema/progress_page.h"
#include "schema/wire_agent.h"

#define LOCAL_FOLDER_BYTES 512

enum local_state { LOCAL_PREPARING, LOCAL_RUNNING, LOCAL_OVER };

struct local_rank {
    int64_t rank;
    char slot[SLOT_NAME_BYTES];
    int64_t pid;
    bool ended;
    int64_t exit_code;
    int64_t exit_signal;
    bool exit_oom;
    enum reason exit_reason;
    int64_t end_boot_ms;
    int64_t step, phase; /* of an end on record, for when the page is gone */
    char detail[192];
    const struct progress_page *page; /* NULL: not mapped */
};

struct local {
    char job[ID_BYTES_MAX];
    int64_t attempt;
    char folder[LOCAL_FOLDER_BYTES]; /* empty: nothing of it is on disk */
    enum local_state state;
    size_t rank_count;
    struct local_rank *ranks;
    int link_fd;              /* to the runner; -1: none */
    int runner_pid_fd;        /* -1: not our child */
    bool answered;            /* the runner said HELLO */
    enum desired_phase asked; /* the strongest thing the runner was told */
    int64_t checkpoint_request;
    bool desired;   /* in the newest desired set */
    bool delivered; /* events, logs, shards and result are with the controller */
};

MUST_CHECK enum status local_new(const struct wire_assignment *assignment, const char *data_dir,
                                 struct local **out, struct error *err);
/* The ranks that the assignment names; before, it has none. */
MUST_CHECK enum status
local_take_ranks(struct local *local, const struct wire_assignment *assignment, struct error *err);
/* Unmaps pages, closes descriptors. Accepts NULL. */
void local_free(struct local *local);
struct local_rank *local_find_rank(struct local *local, int64_t rank);
bool local_all_ended(const struct local *local);
/* Gives every rank without an end this one. */
void local_end_rest(struct local *local, enum reason reason, const char *detail,
                    int64_t now_boot_ms);
/* Text from programs and logs becomes fit for JSON: valid UTF-8, one line, cut to size. */
void local_set_detail(struct local_rank *rank, const char *text);

/* exit.json, in the form that the runner writes (agent/runner/exit_record.h). */
MUST_CHECK enum status local_read_exits(struct local *local, struct error *err);
MUST_CHECK enum status local_write_exits(const struct local *local, const char *boot_id,
                                         struct error *err);

#endif
