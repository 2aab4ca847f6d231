/* jobs_metrics.c - GET /v1/jobs/{id}/metrics: columns of real values. */

#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "service/api/job_view.h"
#include "service/api/jobs.h"

#define POINTS_DEFAULT 1000

struct lineage {
    struct telemetry_bound bounds[TELEMETRY_QUERY_ATTEMPTS_MAX];
    size_t count;
};

static void add_bound(void *context, const struct attempt_row *attempt,
                      const struct rank_row *ranks, size_t rank_count)
{
    (void)ranks;
    (void)rank_count;
    struct lineage *lineage = context;
    if (lineage->count < TELEMETRY_QUERY_ATTEMPTS_MAX)
        lineage->bounds[lineage->count++] = (struct telemetry_bound){
            .attempt = attempt->attempt, .resume_step = attempt->resume_step};
}

static enum status read_lineage(struct lent *lent, const char *job, struct lineage *out,
                                struct error *err)
{
    for (;;) {
        const size_t before = out->count;
        const int64_t after = before > 0 ? out->bounds[before - 1].attempt : 0;
        TRY(reader_attempts(lent->state, job, after, READER_PAGE_MAX, add_bound, out, err));
        if (out->count - before < READER_PAGE_MAX)
            return STATUS_OK;
    }
}

static void write_ints(struct out *out, const char *key, const int64_t *values, size_t count)
{
    out_open_array(out, key);
    for (size_t i = 0; i < count; i++)
        out_int(out, NULL, values[i]);
    out_close_array(out);
}

static void write_numbers(struct out *out, const char *key, const double *values, size_t count)
{
    out_open_array(out, key);
    for (size_t i = 0; i < count; i++)
        out_number(out, NULL, values[i]);
    out_close_array(out);
}

static void write_series(void *context, const struct telemetry_series *series)
{
    struct out *out = context;
    out_open_object(out, series->name);
    write_ints(out, "step", series->step, series->count);
    write_numbers(out, "value", series->value, series->count);
    write_numbers(out, "min", series->min, series->count);
    write_numbers(out, "max", series->max, series->count);
    write_ints(out, "attempt", series->attempt, series->count);
    out_close_object(out);
}

/* Splits "loss,accuracy" in place; false: replied. */
static bool take_names(struct http_request *request, char *text, const char **names, size_t *count)
{
    *count = 0;
    for (char *name = text; name != NULL && *name != '\0';) {
        char *comma = strchr(name, ',');
        if (comma != NULL)
            *comma = '\0';
        if (*count == TELEMETRY_QUERY_NAMES_MAX) {
            http_reply_problem(request, 400, "bad_query", "query names: expected at most %d",
                               TELEMETRY_QUERY_NAMES_MAX);
            return false;
        }
        names[(*count)++] = name;
        name = comma != NULL ? comma + 1 : NULL;
    }
    return true;
}

static bool take_query(struct http_request *request, struct telemetry_query *query, bool *all)
{
    int64_t points = POINTS_DEFAULT;
    query->rank = -1;
    if (!http_query_int(request, "points", 1, TELEMETRY_QUERY_POINTS_MAX, &points) ||
        !http_query_int(request, "from_step", 0, INT64_MAX, &query->from_step) ||
        !http_query_int(request, "to_step", 0, INT64_MAX, &query->to_step) ||
        !http_query_int(request, "rank", 0, INT32_MAX, &query->rank))
        return false;
    query->points = (size_t)points;
    query->has_to_step = http_query(request, "to_step") != NULL;
    const char *lineage = http_query(request, "lineage");
    *all = lineage != NULL && strcmp(lineage, "all") == 0;
    if (lineage == NULL || *all || strcmp(lineage, "effective") == 0)
        return true;
    http_reply_problem(request, 400, "bad_query",
                       "query lineage: expected effective or all, got \"%.64s\"", lineage);
    return false;
}

void jobs_metrics(struct http_request *request)
{
    struct api *api = api_of(request);
    struct error err = {0};
    struct telemetry_query query = {.job = http_param(request, 0)};
    bool all = false;
    const char *names[TELEMETRY_QUERY_NAMES_MAX];
    char text[1024] = "";
    if (http_query(request, "names") != NULL)
        memccpy(text, http_query(request, "names"), '\0', sizeof(text) - 1);
    if (!take_query(request, &query, &all) || !take_names(request, text, names, &query.name_count))
        return;
    query.names = query.name_count > 0 ? names : NULL;
    struct job_row row;
    CLEANUP(free_cleanup) struct lineage *lineage = calloc(1, sizeof(*lineage));
    CLEANUP(lent_return) struct lent lent = {0};
    CLEANUP(buf_clear) struct buf body;
    buf_init(&body, API_ANSWER_BYTES_MAX);
    struct out out = out_to(&body);
    if (lineage == NULL) {
        http_reply_problem(request, 503, "no_memory", "out of memory");
        return;
    }
    if (readers_lend(api->readers, &lent, &err) != STATUS_OK ||
        job_row_read(&lent, http_caller(request), query.job, &row, &err) != STATUS_OK ||
        read_lineage(&lent, query.job, lineage, &err) != STATUS_OK) {
        http_reply_error(request, &err);
        return;
    }
    query.lineage = all ? NULL : lineage->bounds;
    query.lineage_count = all ? 0 : lineage->count;
    out_open_object(&out, NULL);
    if (telemetry_query(lent.telemetry, &query, write_series, &out, &err) != STATUS_OK) {
        http_reply_error(request, &err);
        return;
    }
    out_close_object(&out);
    http_reply_buf(request, 200, "application/json", &body);
}
