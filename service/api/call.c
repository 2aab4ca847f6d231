#include <assert.h>

#include "service/api/api.h"

static void call_done(struct loop_call *loop_call)
{
    struct api_call *call = (struct api_call *)loop_call; /* its first member */
    http_resume(call->request);
}

void api_run(struct http_request *request, struct api_call *call, http_handler_fn *next)
{
    static_assert(offsetof(struct api_call, loop) == 0, "call_done() relies on it");
    call->request = request;
    call->loop.done = call_done;
    if (call->loop.has_input)
        call->loop.input.actor = http_caller(request)->token;
    http_suspend(request, next);
    if (loop_push(api_of(request)->loop, &call->loop))
        return;
    call->loop.status = error_set(&call->loop.error, STATUS_UNAVAILABLE,
                                  "%d calls wait already: try again", LOOP_QUEUE_MAX);
    http_resume(request);
}

bool api_succeeded(struct http_request *request, const struct api_call *call)
{
    const struct loop_call *loop = &call->loop;
    if (loop->status == STATUS_OK)
        return true;
    if (loop->error.status != STATUS_OK) {
        http_reply_error(request, &loop->error);
        return false;
    }
    const struct brain_reply *reply = &loop->reply;
    http_reply_problem(request, http_code_of_status(reply->status),
                       reply->code[0] != '\0' ? reply->code : status_name(reply->status), "%s",
                       reply->text);
    return false;
}

void api_reply_later(struct http_request *request, const char *what)
{
    http_reply_problem(request, 501, "not_in_this_release", "%s comes with a later release", what);
}
