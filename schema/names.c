#include "schema/names.h"

#include <stddef.h>
#include <string.h>

#include "schema/progress_page.h"

#define X(name, text) text,
const char *const job_state_names[] = {JOB_STATE_MAP(X) NULL};
const char *const attempt_state_names[] = {ATTEMPT_STATE_MAP(X) NULL};
const char *const node_state_names[] = {NODE_STATE_MAP(X) NULL};
const char *const reason_names[] = {REASON_MAP(X) NULL};
const char *const verdict_names[] = {VERDICT_MAP(X) NULL};
const char *const role_names[] = {ROLE_MAP(X) NULL};
#undef X

const char *const phase_names[] = {
    [PROGRESS_SETUP] = "setup",           [PROGRESS_STEP] = "step",     [PROGRESS_EVAL] = "eval",
    [PROGRESS_CHECKPOINT] = "checkpoint", [PROGRESS_EXPORT] = "export", [PROGRESS_DONE] = "done",
    [PROGRESS_PHASE_COUNT] = NULL};

int name_index(const char *const names[], const char *text)
{
    for (int i = 0; names[i] != NULL; i++) {
        if (strcmp(names[i], text) == 0)
            return i;
    }
    return -1;
}

bool job_state_is_terminal(enum job_state state)
{
    return state == JOB_SUCCEEDED || state == JOB_FAILED || state == JOB_CANCELLED;
}
