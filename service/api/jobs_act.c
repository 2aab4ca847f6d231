/* jobs_act.c - what is done to a job: cancel, checkpoint; why it waits: explain. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "service/api/job_view.h"
#include "service/api/jobs.h"

struct job_action {
    struct api_call call;
    char job[ID_BYTES_MAX];
    const char *if_match;     /* NULL: any revision will do */
    int64_t refused_revision; /* which it did not match; 0: none */
    struct explanation explanation;
};

static struct job_action *action_new(struct http_request *request)
{
    struct job_action *action = calloc(1, sizeof(*action));
    if (action == NULL) {
        http_reply_problem(request, 503, "no_memory", "out of memory");
        return NULL;
    }
    http_set_context(request, action, free);
    snprintf(action->job, sizeof(action->job), "%s", http_param(request, 0));
    return action;
}

/* The job's row for a caller who may see it; false: replied. */
static bool read_row(struct http_request *request, struct job_row *row)
{
    struct error err = {0};
    CLEANUP(lent_return) struct lent lent = {0};
    if (readers_lend(api_of(request)->readers, &lent, &err) == STATUS_OK &&
        job_row_read(&lent, http_caller(request), http_param(request, 0), row, &err) == STATUS_OK)
        return true;
    http_reply_error(request, &err);
    return false;
}

/* Inside the transaction: is the job still the one that the caller has seen? */
static enum status check_revision(struct loop_call *call, struct store *store,
                                  const struct brain *brain, struct error *err)
{
    (void)store;
    struct job_action *action = (struct job_action *)(void *)call;
    const struct job_row *row = brain_job(brain, action->job);
    if (row == NULL || object_matches(action->if_match, row->revision))
        return STATUS_OK;
    action->refused_revision = row->revision;
    return error_set(err, STATUS_CONFLICT, "another revision");
}

/* The job as it is, if it is still the one that the caller has seen. */
static void reply_row(struct http_request *request, const struct job_action *action,
                      const struct job_row *row)
{
    if (object_matches(action->if_match, row->revision))
        object_reply(request, 202, jobs_read_one);
    else
        object_refuse_match(request, "job", action->if_match, row->revision);
}

static void acted(struct http_request *request)
{
    const struct job_action *action = http_context(request);
    struct job_row row;
    if (action->refused_revision > 0) {
        object_refuse_match(request, "job", action->if_match, action->refused_revision);
    } else if (action->call.loop.status == STATUS_NOT_FOUND) {
        /* It ended meanwhile: asking again for what cannot come is no error. */
        if (read_row(request, &row))
            reply_row(request, action, &row);
    } else if (api_succeeded(request, &action->call)) {
        object_reply(request, 202, jobs_read_one);
    }
}

static void act(struct http_request *request, enum input_kind kind)
{
    struct job_row row;
    struct job_action *action = action_new(request);
    if (action == NULL || !object_take_if_match(request, &action->if_match) ||
        !read_row(request, &row))
        return;
    if (job_state_is_terminal(row.state)) {
        reply_row(request, action, &row);
        return;
    }
    action->call.loop.has_input = true;
    action->call.loop.prepare = check_revision;
    action->call.loop.input.kind = kind;
    action->call.loop.input.job = action->job;
    api_run(request, &action->call, acted);
}

void jobs_cancel(struct http_request *request)
{
    act(request, INPUT_JOB_CANCEL);
}

void jobs_checkpoint(struct http_request *request)
{
    act(request, INPUT_JOB_CHECKPOINT);
}

void jobs_pause(struct http_request *request)
{
    api_reply_later(request, "pausing a job");
}

void jobs_resume(struct http_request *request)
{
    api_reply_later(request, "resuming a paused job");
}

/* ---------------------------------------------------------------- explain */

static void reply_explanation(struct http_request *request, const struct job_row *row,
                              const char *code, const char *detail, int64_t position)
{
    CLEANUP(buf_clear) struct buf body;
    buf_init(&body, API_SMALL_BYTES_MAX);
    struct out out = out_to(&body);
    out_open_object(&out, NULL);
    out_text(&out, "job", row->id);
    out_text(&out, "state", job_state_names[row->state]);
    out_open_array(&out, "reasons");
    out_open_object(&out, NULL);
    out_text(&out, "code", code);
    out_text_or_null(&out, "detail", detail);
    out_close_object(&out);
    out_close_array(&out);
    if (position > 0)
        out_int(&out, "position", position);
    else
        out_null(&out, "position");
    out_null(&out, "estimated_start"); /* a later release estimates it */
    out_close_object(&out);
    http_reply_buf(request, 200, "application/json", &body);
}

static enum status ask(struct loop_call *call, struct store *store, const struct brain *brain,
                       struct error *err)
{
    (void)store;
    (void)err;
    struct job_action *action = (struct job_action *)(void *)call;
    if (brain_job(brain, action->job) != NULL)
        brain_explain(brain, action->job, clock_boot_ms(), &action->explanation);
    return STATUS_OK;
}

static void explained(struct http_request *request)
{
    const struct job_action *action = http_context(request);
    struct job_row row;
    if (!api_succeeded(request, &action->call) || !read_row(request, &row))
        return;
    const struct explanation *explanation = &action->explanation;
    if (job_state_is_terminal(row.state))
        reply_explanation(request, &row, reason_names[row.reason], row.detail, 0);
    else
        reply_explanation(request, &row, explain_code_names[explanation->code], explanation->detail,
                          explanation->position);
}

void jobs_explain(struct http_request *request)
{
    struct job_row row;
    if (!read_row(request, &row))
        return;
    if (job_state_is_terminal(row.state)) {
        reply_explanation(request, &row, reason_names[row.reason], row.detail, 0);
        return;
    }
    struct job_action *action = action_new(request);
    if (action == NULL)
        return;
    action->call.loop.prepare = ask;
    api_run(request, &action->call, explained);
}
