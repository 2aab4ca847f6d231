/* cluster.c - life of the controller and the agents. Requests and waiting: cluster_request.c. */
#include "tests/integration/cluster.h"

#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fs.h"
#include "tests/integration/cluster_private.h"

#define START_TIMEOUT_MS  30000
#define END_TIMEOUT_MS    30000
#define SERVICE_ARGS_MAX  32
#define FILE_BYTES_MAX    (64 * KIB)
#define START_POLL_MS     2
#define CLI_TIMEOUT_MS    60000
#define DATASET_SMALL_DIR "deploy/data/mnist-small"

void cluster_program(const char *name, char out[512])
{
    char self[400];
    const ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    if (length <= 0)
        fail_msg("cannot read /proc/self/exe: %s", strerror(errno));
    self[length] = 0;
    /* BUILD/tests/<suite>/<program>: three up is BUILD. */
    for (int up = 0; up < 3; up++)
        *strrchr(self, '/') = 0;
    snprintf(out, 512, "%s/bin/%s", self, name);
}

bool cluster_has_program(const char *name)
{
    char path[512];
    cluster_program(name, path);
    return access(path, X_OK) == 0;
}

static void PRINTF_LIKE(2, 3) read_text(struct buf *out, const char *fmt, ...)
{
    char path[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(path, sizeof path, fmt, args);
    va_end(args);
    struct error err = {0};
    if (fs_read_file(path, out, &err) != STATUS_OK)
        fail_msg("%s", err.text);
    while (out->size > 0 && out->data[out->size - 1] == '\n')
        out->data[--out->size] = 0;
}

void cluster_show_log(const struct cluster *cluster, const char *name)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s.log", cluster->dir, name);
    CLEANUP(buf_clear) struct buf text;
    buf_init(&text, 4 * MIB);
    if (fs_read_file(path, &text, NULL) == STATUS_OK)
        print_error("--- end of %s.log\n%s\n", name,
                    text.size > 3000 ? text.data + text.size - 3000 : text.data);
}

/* ---------------------------------------------------------------- controller */

static void read_endpoints(struct cluster *cluster)
{
    CLEANUP(buf_clear) struct buf text;
    buf_init(&text, FILE_BYTES_MAX);
    read_text(&text, "%s/service/endpoints.json", cluster->dir);
    CLEANUP(json_cleanup) json_t *root = json_loads(text.data, 0, NULL);
    const char *api = json_string_value(json_object_get(root, "api"));
    const char *agents = json_string_value(json_object_get(root, "agents"));
    if (!api || !agents)
        fail_msg("endpoints.json without api and agents: %s", text.data);
    snprintf(cluster->api_url, sizeof cluster->api_url, "%s", api);
    snprintf(cluster->agents_url, sizeof cluster->agents_url, "%s", agents);

    CLEANUP(buf_clear) struct buf token;
    buf_init(&token, FILE_BYTES_MAX);
    read_text(&token, "%s/service/operator.token", cluster->dir);
    snprintf(cluster->token, sizeof cluster->token, "%s", token.data);
}

/* endpoints.json names the process that serves, so an older one's file does not count. */
static bool endpoints_are_of(const struct cluster *cluster, pid_t pid)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/service/endpoints.json", cluster->dir);
    CLEANUP(buf_clear) struct buf text;
    buf_init(&text, FILE_BYTES_MAX);
    if (!fs_exists(path) || fs_read_file(path, &text, NULL) != STATUS_OK)
        return false;
    CLEANUP(json_cleanup) json_t *root = json_loads(text.data, 0, NULL);
    return json_integer_value(json_object_get(root, "pid")) == pid;
}

/* The one place that polls: before the service serves there is nothing to be told by. */
static void wait_until_served(struct cluster *cluster)
{
    const int64_t deadline = clock_mono_ms() + process_patience(START_TIMEOUT_MS);
    while (!endpoints_are_of(cluster, cluster->service)) {
        if (clock_mono_ms() > deadline || !process_is_alive(cluster->service)) {
            cluster_show_log(cluster, "service");
            fail_msg("the service does not serve");
        }
        clock_sleep_ms(START_POLL_MS);
    }
}

static const char *after_scheme(const char *url)
{
    const char *at = strstr(url, "://");
    return at ? at + 3 : url;
}

void cluster_service_start(struct cluster *cluster)
{
    char program[512], data[PATH_MAX], log[PATH_MAX];
    cluster_program("reprise-service", program);
    snprintf(data, sizeof data, "%s/service", cluster->dir);
    snprintf(log, sizeof log, "%s/service.log", cluster->dir);
    const bool first = cluster->api_url[0] == 0;
    const char *argv[SERVICE_ARGS_MAX] = {program,
                                          "--data",
                                          data,
                                          "--listen",
                                          first ? "127.0.0.1:0" : after_scheme(cluster->api_url),
                                          "--agents-listen",
                                          first ? "127.0.0.1:0" : after_scheme(cluster->agents_url),
                                          "--profile",
                                          cluster->profile};
    size_t count = 9;
    for (size_t i = 0; cluster->service_args && cluster->service_args[i]; i++) {
        assert_true(count < SERVICE_ARGS_MAX - 1);
        argv[count++] = cluster->service_args[i];
    }
    cluster->service = process_start(&(struct process_options){.argv = argv, .stdout_path = log});
    wait_until_served(cluster);
    read_endpoints(cluster);
    if (!cluster->client)
        cluster->client = cluster_client_new(cluster);
}

int cluster_service_kill(struct cluster *cluster, int signal_number)
{
    int status = 0;
    kill(cluster->service, signal_number);
    if (!process_wait(cluster->service, process_patience(END_TIMEOUT_MS), &status)) {
        cluster_show_log(cluster, "service");
        fail_msg("the service did not end by signal %d", signal_number);
    }
    cluster->service = 0;
    return status;
}

pid_t cluster_service_pid(const struct cluster *cluster)
{
    return cluster->service;
}

/* ---------------------------------------------------------------- nodes */

void cluster_agent_start(struct cluster *cluster, size_t node)
{
    struct cluster_node *it = &cluster->nodes[node];
    char program[512], log[PATH_MAX], slots[32], hostname[64];
    cluster_program("reprise-agent", program);
    snprintf(log, sizeof log, "%s/node-%zu.log", cluster->dir, node);
    snprintf(slots, sizeof slots, "cpu:%d", it->slots);
    /* Its name among the nodes: agents of one machine share a host name. */
    snprintf(hostname, sizeof hostname, "test-node=%zu", node);
    const char *const argv[] = {program,
                                "--controller",
                                cluster->agents_url,
                                "--data",
                                it->dir,
                                "--join-token-file",
                                it->token_file,
                                "--slots",
                                slots,
                                "--address",
                                "127.0.0.1",
                                "--label",
                                hostname,
                                NULL};
    it->agent = process_start(&(struct process_options){.argv = argv, .stdout_path = log});
}

static void write_join_token(struct cluster *cluster, const struct cluster_node *node)
{
    CLEANUP(json_cleanup) json_t *answer = NULL;
    const long code = cluster_request(cluster, "POST", "/v1/nodes/tokens", NULL, &answer);
    const char *token = json_string_value(json_object_get(answer, "token"));
    if (code / 100 != 2 || !token)
        fail_msg("no join token: %ld", code);
    struct error err = {0};
    if (fs_replace_file(node->token_file, token, strlen(token), 0600, &err) != STATUS_OK)
        fail_msg("%s", err.text);
}

/* The node with this label, once it is ready; copies its id. */
static bool node_is_ready(struct cluster *cluster, size_t index)
{
    char label[16];
    snprintf(label, sizeof label, "%zu", index);
    CLEANUP(json_cleanup) json_t *list = cluster_get(cluster, "/v1/nodes?limit=100");
    size_t i = 0;
    json_t *item = NULL;
    json_array_foreach(json_object_get(list, "items"), i, item) {
        const json_t *labels = json_object_get(item, "labels");
        const char *mine = json_string_value(json_object_get(labels, "test-node"));
        const char *state = json_string_value(json_object_get(item, "state"));
        if (!mine || strcmp(mine, label) != 0 || !state || strcmp(state, "ready") != 0)
            continue;
        snprintf(cluster->nodes[index].id, ID_BYTES_MAX, "%s",
                 json_string_value(json_object_get(item, "id")));
        return true;
    }
    return false;
}

static void wait_until_joined(struct cluster *cluster, size_t index)
{
    const int64_t deadline = clock_mono_ms() + process_patience(START_TIMEOUT_MS);
    while (!node_is_ready(cluster, index)) {
        if (clock_mono_ms() > deadline || !process_is_alive(cluster->nodes[index].agent)) {
            char name[24];
            snprintf(name, sizeof name, "node-%zu", index);
            cluster_show_log(cluster, name);
            cluster_show_log(cluster, "service");
            fail_msg("node %zu did not join", index);
        }
        clock_sleep_ms(START_POLL_MS);
    }
}

static size_t start_node(struct cluster *cluster, int slots)
{
    assert_true(cluster->node_count < CLUSTER_NODES_MAX);
    const size_t index = cluster->node_count++;
    struct cluster_node *node = &cluster->nodes[index];
    node->slots = slots > 0 ? slots : 1;
    snprintf(node->dir, sizeof node->dir, "%s/node-%zu", cluster->dir, index);
    snprintf(node->token_file, sizeof node->token_file, "%s/join-%zu", cluster->dir, index);
    write_join_token(cluster, node);
    cluster_agent_start(cluster, index);
    return index;
}

size_t cluster_node_add(struct cluster *cluster, int slots)
{
    const size_t index = start_node(cluster, slots);
    wait_until_joined(cluster, index);
    return index;
}

const char *cluster_node_id(const struct cluster *cluster, size_t node)
{
    return cluster->nodes[node].id;
}

const char *cluster_node_dir(const struct cluster *cluster, size_t node)
{
    return cluster->nodes[node].dir;
}

size_t cluster_node_index(const struct cluster *cluster, const char *node_id)
{
    for (size_t i = 0; i < cluster->node_count; i++)
        if (strcmp(cluster->nodes[i].id, node_id) == 0)
            return i;
    fail_msg("no node %s in this cluster", node_id);
    return 0;
}

pid_t cluster_agent_pid(const struct cluster *cluster, size_t node)
{
    return cluster->nodes[node].agent;
}

int cluster_agent_kill(struct cluster *cluster, size_t node, int signal_number)
{
    int status = 0;
    kill(cluster->nodes[node].agent, signal_number);
    if (!process_wait(cluster->nodes[node].agent, process_patience(END_TIMEOUT_MS), &status))
        fail_msg("agent %zu did not end by signal %d", node, signal_number);
    cluster->nodes[node].agent = 0;
    return status;
}

/* What a node runs: the agent, what descends from it, and what names its folder: a runner whose
 * agent died was adopted by us, and its ranks are its children. */
size_t cluster_node_pids(const struct cluster *cluster, size_t node, const char *name, pid_t *out,
                         size_t max)
{
    pid_t pids[PROCESS_LIVE_MAX];
    const size_t count = process_descendants(0, pids, COUNT_OF(pids));
    char folder[PATH_MAX];
    snprintf(folder, sizeof folder, "%s", cluster->nodes[node].dir);
    size_t found = 0;
    for (size_t i = 0; i < count && found < max; i++) {
        char comm[32] = "";
        if (!process_name(pids[i], comm) || (name && strcmp(name, comm) != 0))
            continue;
        if (process_mentions(pids[i], folder))
            out[found++] = pids[i];
    }
    return found;
}

void cluster_node_signal(struct cluster *cluster, size_t node, int signal_number)
{
    pid_t pids[PROCESS_LIVE_MAX];
    const size_t count = cluster_node_pids(cluster, node, NULL, pids, COUNT_OF(pids));
    for (size_t i = 0; i < count; i++)
        kill(pids[i], signal_number);
    if (signal_number != SIGKILL)
        return;
    if (cluster->nodes[node].agent)
        process_wait(cluster->nodes[node].agent, process_patience(END_TIMEOUT_MS), NULL);
    cluster->nodes[node].agent = 0;
}

/* ---------------------------------------------------------------- the whole */

static void register_dataset(struct cluster *cluster, const char *name, const char *path)
{
    char absolute[PATH_MAX];
    if (!realpath(path, absolute))
        return;
    struct cluster_dataset *dataset = &cluster->datasets[cluster->dataset_count++];
    snprintf(dataset->name, sizeof dataset->name, "%s", name);
    snprintf(dataset->dir, sizeof dataset->dir, "%s", absolute);
    CLEANUP(json_cleanup) json_t *answer = NULL;
    const long code =
        cluster_request(cluster, "POST", "/v1/datasets",
                        json_pack("{s:s,s:s}", "name", name, "path", absolute), &answer);
    if (code != 201)
        fail_msg("cannot register dataset %s: %ld", name, code);
}

struct cluster *cluster_start(const struct cluster_options *options)
{
    process_setup();
    struct cluster *cluster = calloc(1, sizeof *cluster);
    assert_non_null(cluster);
    if (asprintf(&cluster->dir, "%s/reprise-cluster-XXXXXX",
                 options->parent ? options->parent : "/tmp") < 0 ||
        !mkdtemp(cluster->dir))
        fail_msg("mkdtemp: %s", strerror(errno));
    cluster->profile = options->profile ? options->profile : "fast";
    cluster->service_args = options->service_args;
    cluster_service_start(cluster);

    register_dataset(cluster, "mnist-small", DATASET_SMALL_DIR);
    const char *data = getenv("REPRISE_DATA");
    if (data && *data) {
        char full[PATH_MAX];
        snprintf(full, sizeof full, "%s/mnist", data);
        register_dataset(cluster, "mnist", full);
    }
    for (size_t i = 0; i < options->nodes; i++)
        start_node(cluster, options->slots_per_node);
    for (size_t i = 0; i < options->nodes; i++)
        wait_until_joined(cluster, i);
    return cluster;
}

/* Sanitizers look for leaks when a program ends by itself. */
static void end_gently(pid_t *pid)
{
    if (*pid == 0 || getenv("SANITIZED") == NULL)
        return;
    kill(*pid, SIGTERM);
    if (process_wait(*pid, END_TIMEOUT_MS, NULL))
        *pid = 0;
}

void cluster_stop(struct cluster *cluster)
{
    if (!cluster)
        return;
    for (size_t i = 0; i < cluster->node_count; i++)
        end_gently(&cluster->nodes[i].agent);
    end_gently(&cluster->service);
    process_kill_all();
    http_client_free(cluster->client);
    for (size_t i = 0; i < cluster->node_count; i++)
        if (cluster->nodes[i].agent)
            process_wait(cluster->nodes[i].agent, END_TIMEOUT_MS, NULL);
    if (cluster->service)
        process_wait(cluster->service, END_TIMEOUT_MS, NULL);
    const char *keep = getenv("KEEP");
    struct error err = {0};
    if (keep && *keep == '1')
        print_message("kept: %s\n", cluster->dir);
    else if (fs_remove_tree(cluster->dir, &err) != STATUS_OK)
        print_error("%s\n", err.text);
    free(cluster->dir);
    free(cluster);
}

int cluster_setup(void **state)
{
    *state = cluster_start(&(struct cluster_options){.nodes = 3});
    return 0;
}

int cluster_teardown(void **state)
{
    cluster_stop(*state);
    return 0;
}

const char *cluster_dir(const struct cluster *cluster)
{
    return cluster->dir;
}

const char *cluster_api_url(const struct cluster *cluster)
{
    return cluster->api_url;
}

const char *cluster_agents_url(const struct cluster *cluster)
{
    return cluster->agents_url;
}

const char *cluster_token(const struct cluster *cluster)
{
    return cluster->token;
}

const char *cluster_dataset_dir(const struct cluster *cluster, const char *name)
{
    for (size_t i = 0; i < cluster->dataset_count; i++)
        if (strcmp(cluster->datasets[i].name, name) == 0)
            return cluster->datasets[i].dir;
    return NULL;
}

const char *cluster_full_dataset(const struct cluster *cluster)
{
    return cluster_dataset_dir(cluster, "mnist") ? "mnist" : "mnist-small";
}

/* The command line of `reprise` against this cluster, in storage of the caller. */
struct cli_command {
    char program[512], server[256], token[256], config[PATH_MAX];
    const char *env[4];
    const char *argv[SERVICE_ARGS_MAX];
};

static void prepare_cli(const struct cluster *cluster, const char *const *args,
                        struct cli_command *command)
{
    *command = (struct cli_command){.env = {command->server, command->token, command->config},
                                    .argv = {command->program}};
    cluster_program("reprise", command->program);
    snprintf(command->server, sizeof command->server, "REPRISE_SERVER=%s", cluster->api_url);
    snprintf(command->token, sizeof command->token, "REPRISE_TOKEN=%s", cluster->token);
    snprintf(command->config, sizeof command->config, "XDG_CONFIG_HOME=%s/config", cluster->dir);
    for (size_t i = 0; args[i]; i++) {
        assert_true(i < SERVICE_ARGS_MAX - 2);
        command->argv[i + 1] = args[i];
    }
}

void cluster_cli(struct cluster *cluster, const char *const *args, const char *input,
                 struct process_result *result)
{
    struct cli_command command;
    prepare_cli(cluster, args, &command);
    process_run(command.argv, command.env, input, CLI_TIMEOUT_MS, result);
}

pid_t cluster_cli_start(struct cluster *cluster, const char *const *args, const char *path)
{
    struct cli_command command;
    prepare_cli(cluster, args, &command);
    return process_start(
        &(struct process_options){.argv = command.argv, .env = command.env, .stdout_path = path});
}
