#include "service/api/system.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/version.h"
#include "service/api/agent.h"
#include "service/api/api.h"
#include "service/api/feed.h"
#include "service/http/embedded.h"

void system_healthz(struct http_request *request)
{
    static const char body[] = "{\"status\":\"ok\"}";
    http_reply_static(request, 200, "application/json", body, sizeof(body) - 1);
}

void system_readyz(struct http_request *request)
{
    static const char body[] = "{\"status\":\"ready\"}";
    if (atomic_load(&api_of(request)->ready))
        http_reply_static(request, 200, "application/json", body, sizeof(body) - 1);
    else
        http_reply_problem(request, 503, "not_ready", "the service is starting or stopping");
}

void system_version(struct http_request *request)
{
    const struct api *api = api_of(request);
    http_reply_json(
        request, 200,
        json_pack("{s:s, s:s}", "version", REPRISE_VERSION, "profile", api->profile->name));
}

/* ---------------------------------------------------------------- Prometheus */

static void gauge(struct buf *out, const char *name, const char *help, double value)
{
    buf_printf(out, "# HELP reprise_%s %s\n# TYPE reprise_%s gauge\nreprise_%s %.15g\n", name, help,
               name, name, value);
}

static void counter(struct buf *out, const char *name, const char *help, double value)
{
    buf_printf(out, "# HELP reprise_%s %s\n# TYPE reprise_%s counter\nreprise_%s %.15g\n", name,
               help, name, name, value);
}

static void write_loop(struct buf *out, const struct loop_stats *stats)
{
    buf_append_text(out, "# HELP reprise_jobs Live jobs by state.\n# TYPE reprise_jobs gauge\n");
    for (int state = 0; state < JOB_STATE_COUNT; state++) {
        if (!job_state_is_terminal(state))
            buf_printf(out, "reprise_jobs{state=\"%s\"} %lld\n", job_state_names[state],
                       (long long)stats->counts.jobs[state]);
    }
    buf_append_text(out, "# HELP reprise_nodes Nodes by state.\n# TYPE reprise_nodes gauge\n");
    for (int state = 0; state < NODE_STATE_COUNT; state++)
        buf_printf(out, "reprise_nodes{state=\"%s\"} %lld\n", node_state_names[state],
                   (long long)stats->counts.nodes[state]);
    gauge(out, "nodes_suspect", "Nodes that missed heartbeats.",
          (double)stats->counts.nodes_suspect);
    gauge(out, "slots", "Slots of all nodes.", (double)stats->counts.slots);
    gauge(out, "slots_held", "Slots that a rank holds.", (double)stats->counts.slots_held);
    gauge(out, "loop_queue_length", "Calls that wait for the loop.", (double)stats->queue_length);
    gauge(out, "wal_pages", "Pages of state.db that are only in its log.",
          (double)stats->wal_pages);
    counter(out, "loop_batches_total", "Batches of the loop.", (double)stats->batches);
    counter(out, "loop_calls_total", "Calls that the loop took.", (double)stats->calls);
    counter(out, "loop_stalls_total", "Pauses of the loop that were added to deadlines.",
            (double)stats->stalls);
    counter(out, "loop_stall_seconds_total", "Length of these pauses.",
            (double)stats->stall_ms * 1e-3);
    buf_append_text(out, "# HELP reprise_commit_seconds Durable commits of state.db.\n"
                         "# TYPE reprise_commit_seconds histogram\n");
    uint64_t below = 0;
    for (size_t i = 0; i < LOOP_LATENCY_BUCKETS; i++) {
        below += stats->commit_latency[i];
        if (i + 1 < LOOP_LATENCY_BUCKETS)
            buf_printf(out, "reprise_commit_seconds_bucket{le=\"%g\"} %llu\n",
                       loop_latency_bounds_s[i], (unsigned long long)below);
    }
    buf_printf(out, "reprise_commit_seconds_bucket{le=\"+Inf\"} %llu\n", (unsigned long long)below);
    buf_printf(out, "reprise_commit_seconds_sum %.9f\nreprise_commit_seconds_count %llu\n",
               (double)stats->commit_ns * 1e-9, (unsigned long long)stats->commits);
}

static void write_server(struct buf *out, const char *name, const struct http_server *server)
{
    for (unsigned code = 100; code < 600; code++) {
        const uint64_t replies = http_server_replies(server, code);
        if (replies > 0)
            buf_printf(out, "reprise_http_replies_total{listener=\"%s\",code=\"%u\"} %llu\n", name,
                       code, (unsigned long long)replies);
    }
}

static void write_http(struct buf *out, const struct api *api)
{
    buf_append_text(out, "# HELP reprise_http_replies_total Answers by listener and code.\n"
                         "# TYPE reprise_http_replies_total counter\n");
    write_server(out, "api", api->people_server);
    write_server(out, "agents", api->agents_server);
    buf_printf(out,
               "# HELP reprise_http_connections Open connections.\n"
               "# TYPE reprise_http_connections gauge\n"
               "reprise_http_connections{listener=\"api\"} %lld\n"
               "reprise_http_connections{listener=\"agents\"} %lld\n",
               (long long)http_server_connections(api->people_server),
               (long long)http_server_connections(api->agents_server));
    buf_printf(out,
               "# HELP reprise_http_waiting Requests that wait for something to happen.\n"
               "# TYPE reprise_http_waiting gauge\n"
               "reprise_http_waiting{listener=\"api\"} %zu\n"
               "reprise_http_waiting{listener=\"agents\"} %zu\n",
               http_server_suspended(api->people_server),
               http_server_suspended(api->agents_server));
    gauge(out, "streams", "Streams and followed logs.", (double)feed_subscribers(api->feed));
}

void system_metrics(struct http_request *request)
{
    const struct api *api = api_of(request);
    CLEANUP(buf_clear) struct buf body;
    buf_init(&body, API_ANSWER_BYTES_MAX);
    struct loop_stats stats;
    struct telemetry_counts telemetry;
    loop_stats(api->loop, &stats);
    telemetry_desk_count(api->telemetry, &telemetry);
    write_loop(&body, &stats);
    write_http(&body, api);
    counter(&body, "telemetry_lines_total", "Lines of trainers stored.", (double)telemetry.lines);
    counter(&body, "telemetry_points_total", "Metric points stored.", (double)telemetry.points);
    counter(&body, "telemetry_repeats_total", "Lines that had been stored before.",
            (double)telemetry.repeats);
    counter(&body, "telemetry_dropped_total", "Values dropped: not finite, or over a limit.",
            (double)telemetry.dropped);
    gauge(&body, "uptime_seconds", "Since the start.",
          (double)(clock_wall_ms() - api->started_wall_ms) * 1e-3);
    buf_printf(&body,
               "# HELP reprise_build_info Version of this service.\n"
               "# TYPE reprise_build_info gauge\nreprise_build_info{version=\"%s\"} 1\n",
               REPRISE_VERSION);
    http_reply_buf(request, 200, "text/plain; version=0.0.4; charset=utf-8", &body);
}

/* ---------------------------------------------------------------- files inside the binary */

static const char *type_of(const char *name)
{
    static const struct {
        const char *ending, *type;
    } types[] = {{".html", "text/html; charset=utf-8"},
                 {".css", "text/css; charset=utf-8"},
                 {".js", "text/javascript; charset=utf-8"},
                 {".svg", "image/svg+xml"}};
    const char *ending = strrchr(name, '.');
    for (size_t i = 0; i < COUNT_OF(types); i++) {
        if (ending != NULL && strcmp(ending, types[i].ending) == 0)
            return types[i].type;
    }
    return "application/octet-stream";
}

/* From the folder of --web-dir; false: there is no such regular file. */
static bool reply_from_folder(struct http_request *request, const char *folder, const char *name)
{
    char path[1024];
    struct stat about;
    const int size = snprintf(path, sizeof(path), "%s/%s", folder, name);
    if (name[0] == '.' || strchr(name, '/') != NULL || size < 0 || (size_t)size >= sizeof(path))
        return false;
    CLEANUP(fd_cleanup) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &about) != 0 || !S_ISREG(about.st_mode))
        return false;
    http_reply_file(request, 200, type_of(name), fd, (uint64_t)about.st_size);
    fd = -1;
    return true;
}

static bool reply_embedded(struct http_request *request, const char *name)
{
    char path[160];
    snprintf(path, sizeof(path), "web/%s", name);
    const struct embedded_file *file = embedded_find(path);
    if (file == NULL)
        return false;
    http_reply_static(request, 200, type_of(name), file->start, (size_t)(file->end - file->start));
    return true;
}

void system_file(struct http_request *request)
{
    const char *folder = api_of(request)->web_dir;
    const char *name = http_param_count(request) > 0 ? http_param(request, 0) : "index.html";
    if (folder != NULL ? !reply_from_folder(request, folder, name)
                       : !reply_embedded(request, name)) {
        http_reply_problem(request, 404, "not_found", "there is no file %.100s", name);
        return;
    }
    http_reply_header(request, "Cache-Control", "no-cache");
    http_reply_header(request, "Content-Security-Policy",
                      "default-src 'self'; object-src 'none'; base-uri 'none'; "
                      "frame-ancestors 'none'; form-action 'none'");
    http_reply_header(request, "X-Frame-Options", "DENY");
    http_reply_header(request, "Referrer-Policy", "no-referrer");
    http_reply_header(request, "Cross-Origin-Opener-Policy", "same-origin");
}

void system_openapi(struct http_request *request)
{
    /* JSON is YAML: the file is written in the part that both are. */
    const struct embedded_file *file = embedded_find("schema/openapi.yaml");
    if (file == NULL)
        http_reply_problem(request, 404, "not_found", "this build carries no openapi.json");
    else
        http_reply_static(request, 200, "application/json", file->start,
                          (size_t)(file->end - file->start));
}
