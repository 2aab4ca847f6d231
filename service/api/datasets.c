/* datasets.c - /v1/datasets: which names stand for which folders of data. */

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

static void write_dataset(struct out *out, const struct dataset_row *dataset)
{
    out_open_object(out, NULL);
    out_text(out, "name", dataset->name);
    out_text(out, "path", dataset->path);
    out_text_or_null(out, "created_by", dataset->created_by);
    out_time(out, "created_at", dataset->created_at_ms);
    out_time(out, "updated_at", dataset->updated_at_ms);
    out_close_object(out);
}

static void list_dataset(void *context, const struct dataset_row *dataset)
{
    struct name_page *page = context;
    if (name_page_takes(page, dataset->name))
        write_dataset(&page->out, dataset);
}

void datasets_list(struct http_request *request)
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
        status = reader_datasets(lent.state, page.after, page.limit + 1, list_dataset, &page, &err);
    name_page_end(request, &page, status, &err);
}

static enum status read_dataset(struct http_request *request, struct buf *body,
                                int64_t *out_revision, struct error *err)
{
    (void)out_revision;
    struct dataset_row row;
    CLEANUP(lent_return) struct lent lent = {0};
    TRY(readers_lend(api_of(request)->readers, &lent, err));
    TRY(reader_dataset(lent.state, http_param(request, 0), &row, err));
    struct out out = out_to(body);
    write_dataset(&out, &row);
    return STATUS_OK;
}

void datasets_get(struct http_request *request)
{
    object_reply(request, 200, read_dataset);
}

struct registering {
    struct api_call call;
    struct dataset_row row;
};

static enum status put_dataset(struct loop_call *call, struct store *store,
                               const struct brain *brain, struct error *err)
{
    (void)brain;
    struct registering *registering = (struct registering *)(void *)call;
    TRY(store_put_dataset(store, &registering->row, err));
    return reader_dataset(store_reader(store), registering->row.name, &registering->row, err);
}

static void registered(struct http_request *request)
{
    const struct registering *registering = http_context(request);
    if (!api_succeeded(request, &registering->call))
        return;
    CLEANUP(buf_clear) struct buf body;
    buf_init(&body, API_ANSWER_BYTES_MAX);
    struct out out = out_to(&body);
    write_dataset(&out, &registering->row);
    char location[16 + BRAIN_NAME_BYTES];
    snprintf(location, sizeof(location), "/v1/datasets/%s", registering->row.name);
    http_reply_buf(request, 201, "application/json", &body);
    http_reply_header(request, "Location", location);
}

/* Absolute, without "." and ".." segments: nothing that depends on where a program stands. */
static bool path_is_plain(const char *path)
{
    if (path[0] != '/')
        return false;
    for (const char *segment = path; segment != NULL; segment = strchr(segment, '/')) {
        segment++;
        const size_t size = strcspn(segment, "/");
        if ((size == 1 && segment[0] == '.') || (size == 2 && strncmp(segment, "..", 2) == 0))
            return false;
    }
    return true;
}

static bool decode(struct http_request *request, struct dataset_row *row)
{
    static const char *const known[] = {"name", "path", NULL};
    CLEANUP(json_cleanup) json_t *document = NULL;
    if (!http_body_json(request, &document))
        return false;
    struct json_problems problems;
    problems.count = 0;
    problems.dropped = 0;
    const struct json_at root = json_at_root(document, &problems);
    if (json_get_object(&root, known)) {
        const struct json_at name = json_at_key(&root, "name");
        const struct json_at path = json_at_key(&root, "path");
        if (json_get_string_copy(&name, row->name, sizeof(row->name)) &&
            !job_name_is_valid(row->name))
            json_problem_add(
                &name, "a name of a-z, 0-9, '.', '_', '-' that begins with a letter or digit");
        if (json_get_string_copy(&path, row->path, sizeof(row->path)) && !path_is_plain(row->path))
            json_problem_add(&path, "an absolute path without \"..\"");
    }
    if (problems.count > 0)
        http_reply_problems(request, &problems);
    return problems.count == 0;
}

void datasets_put(struct http_request *request)
{
    struct registering *registering = calloc(1, sizeof(*registering));
    if (registering == NULL) {
        http_reply_problem(request, 503, "no_memory", "out of memory");
        return;
    }
    http_set_context(request, registering, free);
    struct dataset_row *row = &registering->row;
    if (!decode(request, row))
        return;
    snprintf(row->created_by, sizeof(row->created_by), "%s", http_caller(request)->token);
    row->created_at_ms = row->updated_at_ms = clock_wall_ms();
    registering->call.loop.prepare = put_dataset;
    registering->call.loop.grows = true;
    api_run(request, &registering->call, registered);
}
