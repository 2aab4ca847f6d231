/* tokens.c - /v1/tokens: credentials of people and programs. The secret is shown once, at its making. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "schema/job_spec.h"
#include "service/api/api.h"
#include "service/api/object.h"
#include "service/api/page.h"
#include "service/api/readers.h"
#include "service/api/registry.h"

#define LIFE_MS_MIN 1000
#define LIFE_MS_MAX (3650 * (int64_t)86400000)

static void write_token(struct out *out, const struct token_row *token, const char *text)
{
    out_open_object(out, NULL);
    out_text(out, "id", token->id);
    out_text(out, "role", role_names[token->role]);
    out_text_or_null(out, "project", token->project);
    out_text_or_null(out, "name", token->name);
    out_text_or_null(out, "node", token->node);
    out_time(out, "created_at", token->created_at_ms);
    out_time(out, "expires_at", token->expires_at_ms);
    out_time(out, "revoked_at", token->revoked_at_ms);
    if (text != NULL)
        out_text(out, "token", text);
    out_close_object(out);
}

static void list_token(void *context, const struct token_row *token)
{
    struct name_page *page = context;
    if (name_page_takes(page, token->id))
        write_token(&page->out, token, NULL);
}

void tokens_list(struct http_request *request)
{
    struct api *api = api_of(request);
    struct error err = {0};
    struct name_page page;
    CLEANUP(lent_return) struct lent lent = {0};
    CLEANUP(buf_clear) struct buf body;
    buf_init(&body, API_ANSWER_BYTES_MAX);
    if (!name_page_begin(request, &body, &page))
        return;
    enum status status = readers_lend(api->readers, &lent, &err);
    if (status == STATUS_OK)
        status = reader_tokens(lent.state, page.after, page.limit + 1, list_token, &page, &err);
    name_page_end(request, &page, status, &err);
}

static enum status read_token(struct http_request *request, struct buf *body, int64_t *out_revision,
                              struct error *err)
{
    (void)out_revision;
    struct token_row row;
    CLEANUP(lent_return) struct lent lent = {0};
    TRY(readers_lend(api_of(request)->readers, &lent, err));
    TRY(reader_token(lent.state, http_param(request, 0), &row, err));
    struct out out = out_to(body);
    write_token(&out, &row, NULL);
    return STATUS_OK;
}

void tokens_get(struct http_request *request)
{
    object_reply(request, 200, read_token);
}

struct token_change {
    struct api_call call;
    struct token_row row;
    char text[AUTH_TOKEN_BYTES];
};

static struct token_change *change_new(struct http_request *request)
{
    struct token_change *change = calloc(1, sizeof(*change));
    if (change == NULL)
        http_reply_problem(request, 503, "no_memory", "out of memory");
    else
        http_set_context(request, change, free);
    return change;
}

static enum status insert(struct loop_call *call, struct store *store, const struct brain *brain,
                          struct error *err)
{
    (void)brain;
    const struct token_change *change = (struct token_change *)(void *)call;
    bool created = false;
    if (change->row.project[0] != '\0')
        TRY(store_ensure_project(store, change->row.project, change->row.created_at_ms, &created,
                                 err));
    return store_insert_token(store, &change->row, err);
}

static void inserted(struct http_request *request)
{
    struct token_change *change = http_context(request);
    if (!api_succeeded(request, &change->call))
        return;
    const struct token_row *row = &change->row;
    struct auth_token token = {.role = row->role, .expires_at_ms = row->expires_at_ms};
    struct error err = {0};
    memcpy(token.id, row->id, sizeof(token.id));
    memcpy(token.project, row->project, sizeof(token.project));
    memcpy(token.secret_sha256, row->sha256, SHA256_BYTES);
    if (auth_put(api_of(request)->auth, &token, &err) != STATUS_OK) {
        http_reply_error(request, &err);
        return;
    }
    CLEANUP(buf_clear) struct buf body;
    buf_init(&body, API_ANSWER_BYTES_MAX);
    struct out out = out_to(&body);
    write_token(&out, row, change->text);
    char location[64];
    snprintf(location, sizeof(location), "/v1/tokens/%s", row->id);
    http_reply_buf(request, 201, "application/json", &body);
    http_reply_header(request, "Location", location);
}

static void decode_members(const struct json_at *root, struct token_row *row, int64_t *life_ms)
{
    static const char *const roles[] = {"viewer", "submitter", "operator", NULL};
    static const enum role meanings[] = {ROLE_VIEWER, ROLE_SUBMITTER, ROLE_OPERATOR};
    const struct json_at role_at = json_at_key(root, "role");
    const struct json_at project = json_at_key(root, "project");
    const struct json_at name = json_at_key(root, "name");
    const struct json_at life = json_at_key(root, "expires_in");
    int role = 0;
    if (json_get_enum(&role_at, roles, &role))
        row->role = meanings[role];
    if (json_opt_string_copy(&project, row->project, sizeof(row->project)) &&
        row->project[0] != '\0' && !job_name_is_valid(row->project))
        json_problem_add(&project, "a project's name");
    if (row->role == ROLE_OPERATOR && row->project[0] != '\0')
        json_problem_add(&project, "nothing: an operator's token is for all projects");
    (void)json_opt_string_copy(&name, row->name, sizeof(row->name));
    (void)json_opt_duration(&life, LIFE_MS_MIN, LIFE_MS_MAX, life_ms);
}

static bool decode(struct http_request *request, struct token_row *row)
{
    static const char *const known[] = {"role", "project", "name", "expires_in", NULL};
    CLEANUP(json_cleanup) json_t *document = NULL;
    if (!http_body_json(request, &document))
        return false;
    struct json_problems problems;
    problems.count = 0;
    problems.dropped = 0;
    const struct json_at root = json_at_root(document, &problems);
    int64_t life_ms = 0;
    if (json_get_object(&root, known))
        decode_members(&root, row, &life_ms);
    if (problems.count > 0) {
        http_reply_problems(request, &problems);
        return false;
    }
    row->created_at_ms = clock_wall_ms();
    row->expires_at_ms = life_ms > 0 ? row->created_at_ms + life_ms : 0;
    return true;
}

void tokens_create(struct http_request *request)
{
    struct token_change *change = change_new(request);
    if (change == NULL || !decode(request, &change->row))
        return;
    auth_text_new(role_names[change->row.role], change->row.created_at_ms, change->text,
                  change->row.id, change->row.sha256);
    change->call.loop.prepare = insert;
    change->call.loop.grows = true;
    api_run(request, &change->call, inserted);
}

static enum status revoke(struct loop_call *call, struct store *store, const struct brain *brain,
                          struct error *err)
{
    (void)brain;
    const struct token_change *change = (struct token_change *)(void *)call;
    return store_revoke_token(store, change->row.id, clock_wall_ms(), err);
}

static void revoked(struct http_request *request)
{
    const struct token_change *change = http_context(request);
    if (!api_succeeded(request, &change->call))
        return;
    auth_remove(api_of(request)->auth, change->row.id);
    http_reply_empty(request, 204);
}

void tokens_delete(struct http_request *request)
{
    struct token_change *change = change_new(request);
    if (change == NULL)
        return;
    snprintf(change->row.id, sizeof(change->row.id), "%s", http_param(request, 0));
    change->call.loop.prepare = revoke;
    api_run(request, &change->call, revoked);
}
