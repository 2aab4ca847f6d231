#ifndef TESTS_INTEGRATION_CLUSTER_H
#define TESTS_INTEGRATION_CLUSTER_H

/*
 * cluster.h - a real controller with real agents on loopback, for integration tests and benches.
 *
 *     static void a_job_trains(void **state)
 *     {
 *         struct cluster *cluster = *state;     (from cluster_setup, by cmocka_unit_test_setup_teardown)
 *         char job[ID_BYTES_MAX];
 *         CLEANUP(json_cleanup) json_t *spec = cluster_spec("smoke");
 *         cluster_spec_set(spec, "resources.ranks", json_integer(2));
 *         cluster_submit(cluster, spec, job);
 *         cluster_wait_state(cluster, job, "succeeded", 20000);
 *     }
 *
 * Everything is under one temporary folder: service/ (the controller's data), node-N/ (an agent's),
 * and *.log. It is removed by cluster_stop() unless the environment has KEEP=1; nothing started here
 * outlives the test process (process.h).
 *
 * Waiting is by long poll, never by sleeping. Deadlines are for idle machines; they are stretched
 * under sanitizers. Whatever the harness itself cannot do ends the test with fail_msg().
 *
 * Threads: one, except that cluster_client_new() gives other threads a client of their own.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/http_client.h"
#include "base/id.h"
#include "base/json.h"
#include "tests/integration/process.h"

#define CLUSTER_NODES_MAX 8

struct cluster;

struct cluster_options {
    size_t nodes;                    /* agents to start and wait for */
    int slots_per_node;              /* 0: 1 */
    const char *profile;             /* NULL: "fast" */
    const char *parent;              /* its folder is made in here; NULL: /tmp */
    const char *const *service_args; /* further ones, ends with NULL; may be NULL */
};

struct cluster *cluster_start(const struct cluster_options *options);
/* Kills what still runs and frees. Accepts NULL. */
void cluster_stop(struct cluster *cluster);

/* For cmocka: three nodes of one slot each, profile fast. */
int cluster_setup(void **state);
int cluster_teardown(void **state);

/* Whether build/bin has this program: a suite skips what is not built. */
bool cluster_has_program(const char *name);
/* Absolute path of build/bin/<name>. */
void cluster_program(const char *name, char out[512]);

/* Prints the end of "service"'s or "node-N"'s log, so that a failed test says what the program said. */
void cluster_show_log(const struct cluster *cluster, const char *name);
const char *cluster_dir(const struct cluster *cluster);
const char *cluster_api_url(const struct cluster *cluster);
const char *cluster_agents_url(const struct cluster *cluster);
const char *cluster_token(const struct cluster *cluster); /* the operator's */
/* A client of the API with the operator's token, for the calling thread. */
struct http_client *cluster_client_new(const struct cluster *cluster);
/* Name of the registered dataset: "mnist" when $REPRISE_DATA has it, else "mnist-small". */
const char *cluster_full_dataset(const struct cluster *cluster);
/* Absolute folder of a registered dataset ("mnist-small", "mnist"); NULL if there is none. */
const char *cluster_dataset_dir(const struct cluster *cluster, const char *name);

/* ---- requests --------------------------------------------------------------------------------- */

/*
 * One request with the operator's token. `body` is stolen and may be NULL. Returns the code;
 * *out_json (may be NULL) is the parsed answer, NULL if it is empty or no JSON.
 */
long cluster_request(struct cluster *cluster, const char *method, const char *path, json_t *body,
                     json_t **out_json);
/* With another token (NULL: none), extra headers, raw bytes both ways. Returns the code. */
long cluster_request_raw(struct cluster *cluster, const char *token,
                         struct http_exchange *exchange);
/* GET that must answer 200. A new reference. */
json_t *cluster_get(struct cluster *cluster, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* POST without body that must answer 2xx. */
void cluster_post(struct cluster *cluster, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* ---- jobs ------------------------------------------------------------------------------------- */

/* A small job: MLP 784-128-10 on mnist-small, Adam, one rank, 200 steps of 128, a checkpoint every
 * 50. A new reference. */
json_t *cluster_spec(const char *name);
/* Sets "training.steps" and the like; creates objects on the way; steals `value`, NULL deletes. */
void cluster_spec_set(json_t *spec, const char *path, json_t *value);
/* POST /v1/jobs that must answer 201. */
void cluster_submit(struct cluster *cluster, const json_t *spec, char out_job[ID_BYTES_MAX]);

/* Decides on the job as it is now; it may make requests of its own. */
typedef bool cluster_predicate_fn(struct cluster *cluster, const json_t *job, void *context);
/* Asks after each change of the job, and at least every 200 ms. The job as it is then, a new
 * reference. `what` names what was waited for in the failure. */
json_t *cluster_wait(struct cluster *cluster, const char *job, const char *what,
                     cluster_predicate_fn *predicate, void *context, int64_t timeout_ms);
/* Waits for a state; fails at once when the job has ended in another. */
json_t *cluster_wait_state(struct cluster *cluster, const char *job, const char *state,
                           int64_t timeout_ms);
/* Waits until progress.step >= step in the attempt `attempt` or later. */
json_t *cluster_wait_step(struct cluster *cluster, const char *job, int64_t attempt, int64_t step,
                          int64_t timeout_ms);
/* Waits until GET .../checkpoints shows one at `step` or above, or the job has ended. Its step. */
int64_t cluster_wait_checkpoint(struct cluster *cluster, const char *job, int64_t step,
                                int64_t timeout_ms);
/* The current attempt, from GET .../attempts. A new reference. */
json_t *cluster_attempt(struct cluster *cluster, const char *job);
/* Process of a rank of the current attempt, its node's index; fails if there is none. */
pid_t cluster_rank_pid(struct cluster *cluster, const char *job, int64_t rank, size_t *out_node);
/* Downloads the model: tensors' hash as the job shows it, file's hash as downloaded. */
void cluster_model(struct cluster *cluster, const char *job, char out_sha256[65],
                   char out_file_sha256[65]);

/* ---- faults ----------------------------------------------------------------------------------- */

pid_t cluster_service_pid(const struct cluster *cluster);
/* SIGTERM or SIGKILL, and waits for the end. Returns the status as of waitpid(2). */
int cluster_service_kill(struct cluster *cluster, int signal_number);
/* Starts it again on the same ports and data and waits until /readyz says so. */
void cluster_service_start(struct cluster *cluster);

/* Adds a node and waits until it is ready. Returns its index. */
size_t cluster_node_add(struct cluster *cluster, int slots);
const char *cluster_node_id(const struct cluster *cluster, size_t node);
const char *cluster_node_dir(const struct cluster *cluster, size_t node);
size_t cluster_node_index(const struct cluster *cluster, const char *node_id);
pid_t cluster_agent_pid(const struct cluster *cluster, size_t node);
/* The agent alone; its runners and trainers go on. */
int cluster_agent_kill(struct cluster *cluster, size_t node, int signal_number);
void cluster_agent_start(struct cluster *cluster, size_t node);
/* Signals agent, runners and trainers of a node at one moment; after SIGKILL waits for their end. */
void cluster_node_signal(struct cluster *cluster, size_t node, int signal_number);
/* Live processes of a node with this name ("reprise-runner", "reprise-trainer"; NULL: all). */
size_t cluster_node_pids(const struct cluster *cluster, size_t node, const char *name, pid_t *out,
                         size_t max);
/* Waits until the API shows the node in this state. */
void cluster_wait_node(struct cluster *cluster, size_t node, const char *state, int64_t timeout_ms);

/* ---- the CLI ---------------------------------------------------------------------------------- */

/* Runs `reprise` against this cluster. `args` ends with NULL and does not hold the program. */
void cluster_cli(struct cluster *cluster, const char *const *args, const char *input,
                 struct process_result *result);
/* The same in the background, both outputs appended to `path`; process_wait() tells its end. */
pid_t cluster_cli_start(struct cluster *cluster, const char *const *args, const char *path);

#endif
