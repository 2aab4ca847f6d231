/* request.c - requests, and how their failures are told. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/fs.h"
#include "base/json.h"
#include "cli/cli.h"

#define LIST_PAGE 200

void cli_complain(const struct cli *cli, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fflush(stdout);
    fprintf(stderr, "%s: ", cli->program);
    vfprintf(stderr, fmt, args);
    fputc('\n', stderr);
    va_end(args);
}

int cli_exit_of_status(enum status status)
{
    switch (status) {
    case STATUS_OK:
        return EXIT_DONE;
    case STATUS_NOT_FOUND:
        return EXIT_NOT_FOUND;
    case STATUS_DENIED:
    case STATUS_FORBIDDEN:
        return EXIT_NOT_ALLOWED;
    case STATUS_CONFLICT:
        return EXIT_CONFLICT;
    case STATUS_UNAVAILABLE:
        return EXIT_UNREACHABLE;
    case STATUS_INVALID:
    case STATUS_TOO_LARGE:
    case STATUS_BUSY:
    case STATUS_NO_MEMORY:
    case STATUS_NO_SPACE:
    case STATUS_CORRUPT:
    case STATUS_UNSUPPORTED:
    case STATUS_INTERNAL:
    case STATUS_COUNT:
        break;
    }
    return EXIT_REQUEST_FAILED;
}

int cli_report(const struct cli *cli, const struct error *err)
{
    cli_complain(cli, "%s", err->text);
    return cli_exit_of_status(err->status);
}

/* What to do next, by the answer's code: one line, only where it helps. */
static const char *hint_for(const struct cli *cli, long code)
{
    switch (code) {
    case 401:
        return cli->token[0] ? "the controller does not know this token: reprise token ls, or "
                               "<data>/operator.token of the controller"
                             : "no token: set REPRISE_TOKEN, or --token-file; the first one is in "
                               "<data>/operator.token of the controller";
    case 403:
        return "this needs a token with another role: reprise token create --role …";
    case 404:
        return "reprise ps, node ls, data ls and token ls show what there is";
    case 422:
        return "this idempotency key was used with another body: use another key";
    case 429:
    case 503:
        return "the controller is busy: try again";
    default:
        return NULL;
    }
}

static int exit_of_code(long code)
{
    if (code == 401 || code == 403)
        return EXIT_NOT_ALLOWED;
    if (code == 404)
        return EXIT_NOT_FOUND;
    if (code == 409 || code == 412 || code == 422)
        return EXIT_CONFLICT;
    return EXIT_REQUEST_FAILED;
}

void cli_print_problem(const char *pointer, const char *expected, const char *got)
{
    const char *where = pointer && *pointer ? pointer : "(document)";
    if (got && *got)
        fprintf(stderr, "  %s: expected %s, got %s\n", where, expected ? expected : "another", got);
    else
        fprintf(stderr, "  %s: %s\n", where, expected ? expected : "wrong");
}

/* A single one is the problem's detail, which has been told. */
static void print_problems(const json_t *errors)
{
    if (json_array_size(errors) < 2)
        return;
    size_t i = 0;
    json_t *item = NULL;
    json_array_foreach(errors, i, item) {
        const char *pointer = json_string_value(json_object_get(item, "pointer"));
        const char *expected = json_string_value(json_object_get(item, "expected"));
        const char *got = json_string_value(json_object_get(item, "got"));
        cli_print_problem(pointer, expected, got);
    }
}

int cli_report_problem(const struct cli *cli, long code, const char *body, size_t size)
{
    CLEANUP(json_cleanup) json_t *problem = json_loadb(body, size, 0, NULL);
    const char *title = json_string_value(json_object_get(problem, "title"));
    const char *detail = json_string_value(json_object_get(problem, "detail"));
    const char *request = json_string_value(json_object_get(problem, "request_id"));
    const char *hint = hint_for(cli, code);
    cli_complain(cli, "%s (%ld%s%s)",
                 detail  ? detail
                 : title ? title
                         : "the request failed",
                 code, request && code >= 500 ? ", request " : "",
                 request && code >= 500 ? request : "");
    print_problems(json_object_get(problem, "errors"));
    if (hint)
        fprintf(stderr, "hint: %s\n", hint);
    return exit_of_code(code);
}

int cli_exchange(struct cli *cli, struct http_exchange *exchange)
{
    struct error err = {0};
    if (http_client_send(cli->client, exchange, &err) != STATUS_OK) {
        cli_complain(cli, "%s", err.text);
        if (err.status == STATUS_UNAVAILABLE)
            fprintf(stderr, "hint: is the controller at %s? set REPRISE_SERVER or --server\n",
                    cli->server);
        return cli_exit_of_status(err.status);
    }
    if (exchange->out_code < 400)
        return EXIT_DONE;
    const struct buf *body = exchange->out_body;
    return cli_report_problem(cli, exchange->out_code, body ? body->data : "",
                              body ? body->size : 0);
}

int cli_call(struct cli *cli, const char *method, const char *path, const json_t *body,
             json_t **out_json)
{
    CLEANUP(buf_clear) struct buf answer;
    buf_init(&answer, CLI_ANSWER_BYTES_MAX);
    CLEANUP(free_cleanup) char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    struct http_exchange exchange = {.method = method,
                                     .path = path,
                                     .body = text,
                                     .body_bytes = text ? strlen(text) : 0,
                                     .timeout_ms = CLI_REQUEST_TIMEOUT_MS,
                                     .out_body = &answer};
    CLI_TRY(cli_exchange(cli, &exchange));
    if (!out_json)
        return EXIT_DONE;
    struct error err = {0};
    *out_json = NULL;
    if (answer.size > 0 && json_parse(answer.data, answer.size, out_json, &err) != STATUS_OK) {
        cli_complain(cli, "the answer of %s %s is no JSON: %s", method, path, err.text);
        return EXIT_REQUEST_FAILED;
    }
    return EXIT_DONE;
}

int cli_get(struct cli *cli, json_t **out_json, const char *fmt, ...)
{
    char path[CLI_PATH_BYTES];
    va_list args;
    va_start(args, fmt);
    vsnprintf(path, sizeof path, fmt, args);
    va_end(args);
    return cli_call(cli, "GET", path, NULL, out_json);
}

int cli_list(struct cli *cli, const char *path, size_t max, json_t **out_items, bool *out_more)
{
    CLEANUP(json_cleanup) json_t *items = json_array();
    CLEANUP(buf_clear) struct buf cursor;
    buf_init(&cursor, CLI_PATH_BYTES);
    const char *first = strchr(path, '?') ? "&" : "?";
    for (;;) {
        const size_t left = max - json_array_size(items);
        CLEANUP(json_cleanup) json_t *page = NULL;
        CLI_TRY(cli_get(cli, &page, "%s%slimit=%zu%s", path, first,
                        left < LIST_PAGE ? left : (size_t)LIST_PAGE, cursor.data));
        const json_t *more = json_object_get(page, "next_cursor");
        json_array_extend(items, json_object_get(page, "items"));
        if (!json_is_string(more) || json_array_size(items) >= max) {
            if (out_more)
                *out_more = json_is_string(more);
            *out_items = TAKE(items);
            return EXIT_DONE;
        }
        buf_reset(&cursor);
        buf_append_text(&cursor, "&cursor=");
        url_append_escaped(&cursor, json_string_value(more));
    }
}
