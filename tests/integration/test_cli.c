/* test_cli.c - every verb of `reprise` against a real controller. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fs.h"
#include "base/json.h"
#include "cli/cli.h"
#include "tests/integration/cluster.h"

#define WORDS_MAX        16
#define TRAIN_TIMEOUT_MS 60000

/* Runs the CLI and checks its exit code; what it said is shown when the code is another. */
#define RUN(cluster, input, expected, result, ...) \
    run(cluster, input, expected, result, (const char *const[]){__VA_ARGS__, NULL})

static void run(struct cluster *cluster, const char *input, int expected,
                struct process_result *result, const char *const *words)
{
    cluster_cli(cluster, words, input, result);
    if (result->exit_code != expected)
        print_error("reprise %s %s: exit %d\n%s%s", words[0], words[1] ? words[1] : "",
                    result->exit_code, result->out.data, result->err.data);
    assert_int_equal(result->exit_code, expected);
}

/* The same, and the JSON that it printed. */
static json_t *run_json(struct cluster *cluster, const char *input, const char *const *words)
{
    CLEANUP(process_result_clear) struct process_result result;
    run(cluster, input, EXIT_DONE, &result, words);
    json_t *root = json_loadb(result.out.data, result.out.size, JSON_DECODE_ANY, NULL);
    if (!root)
        fail_msg("no JSON: %s", result.out.data);
    return root;
}

#define RUN_JSON(cluster, input, ...) \
    run_json(cluster, input, (const char *const[]){__VA_ARGS__, NULL})

static char *spec_text(const char *name, int ranks)
{
    CLEANUP(json_cleanup) json_t *spec = cluster_spec(name);
    cluster_spec_set(spec, "resources.ranks", json_integer(ranks));
    return json_dumps(spec, JSON_INDENT(2));
}

/* Submits through the CLI; the id as the first line of its output into a pipe. */
static void submit(struct cluster *cluster, const char *name, int ranks, char job[ID_BYTES_MAX])
{
    CLEANUP(free_cleanup) char *spec = spec_text(name, ranks);
    CLEANUP(process_result_clear) struct process_result result;
    RUN(cluster, spec, EXIT_DONE, &result, "submit", "-");
    assert_int_equal(sscanf(result.out.data, "%31s", job), 1);
    assert_true(id_is_valid(job, "job"));
}

static const char *text(const json_t *object, const char *key)
{
    const char *found = json_string_value(json_object_get(object, key));
    return found ? found : "";
}

static bool mentions(const struct buf *buf, const char *word)
{
    return strstr(buf->data, word) != NULL;
}

/* ---------------------------------------------------------------- jobs */

static void a_job_is_submitted_followed_and_fetched(void **state)
{
    struct cluster *cluster = *state;
    char model[256], job[ID_BYTES_MAX];
    CLEANUP(free_cleanup) char *spec = spec_text("followed", 2);
    CLEANUP(process_result_clear) struct process_result followed;
    RUN(cluster, spec, EXIT_DONE, &followed, "submit", "--follow", "-");
    assert_true(mentions(&followed.out, "attempt 1 placed on"));
    assert_true(mentions(&followed.out, "succeeded"));
    assert_false(mentions(&followed.out, "\x1b"));
    assert_int_equal(sscanf(followed.out.data, "%31s", job), 1);

    snprintf(model, sizeof model, "%s/followed.safetensors", cluster_dir(cluster));
    CLEANUP(json_cleanup)
    json_t *told = RUN_JSON(cluster, NULL, "model", job, "-o", model, "--json");
    assert_int_equal(strlen(text(told, "file_sha256")), 64);
    assert_string_equal(text(told, "sha256"), text(json_object_get(told, "model"), "sha256"));
    assert_int_equal(access(model, R_OK), 0);
}

static void a_change_on_the_command_line_reaches_the_job(void **state)
{
    struct cluster *cluster = *state;
    CLEANUP(free_cleanup) char *spec = spec_text("changed", 1);
    CLEANUP(json_cleanup)
    json_t *job = RUN_JSON(cluster, spec, "submit", "-", "--set", "training.steps=7", "--set",
                           "name=renamed", "--set", "model.hidden=[32,16]", "--json");
    const json_t *stored = json_object_get(job, "spec");
    assert_string_equal(text(job, "name"), "renamed");
    assert_int_equal(
        json_integer_value(json_object_get(json_object_get(stored, "training"), "steps")), 7);
    assert_int_equal(json_array_size(json_object_get(json_object_get(stored, "model"), "hidden")),
                     2);
    CLEANUP(process_result_clear) struct process_result waited;
    RUN(cluster, NULL, EXIT_DONE, &waited, "watch", text(job, "id"), "-o", "jsonl");
}

static void a_dry_run_submits_nothing(void **state)
{
    struct cluster *cluster = *state;
    CLEANUP(free_cleanup) char *spec = spec_text("dry", 2);
    CLEANUP(process_result_clear) struct process_result result;
    RUN(cluster, spec, EXIT_DONE, &result, "submit", "--dry-run", "-");
    assert_true(mentions(&result.out, "valid"));
    CLEANUP(json_cleanup) json_t *jobs = RUN_JSON(cluster, NULL, "ps", "--name", "dry", "--json");
    assert_int_equal(json_array_size(jobs), 0);
}

static void the_same_key_twice_is_one_job(void **state)
{
    struct cluster *cluster = *state;
    CLEANUP(free_cleanup) char *spec = spec_text("keyed", 1);
    CLEANUP(json_cleanup)
    json_t *first = RUN_JSON(cluster, spec, "submit", "--idempotency-key", "k1", "-", "--json");
    CLEANUP(json_cleanup)
    json_t *again = RUN_JSON(cluster, spec, "submit", "--idempotency-key", "k1", "-", "--json");
    assert_string_equal(text(first, "id"), text(again, "id"));
    CLEANUP(process_result_clear) struct process_result other;
    RUN(cluster, spec, EXIT_CONFLICT, &other, "submit", "--idempotency-key", "k1", "-", "--set",
        "training.seed=9");
    assert_true(mentions(&other.err, "hint:"));
}

static void every_problem_of_a_bad_job_is_told(void **state)
{
    struct cluster *cluster = *state;
    CLEANUP(process_result_clear) struct process_result result;
    RUN(cluster, "{\"name\": 3, \"modle\": {}}", EXIT_REQUEST_FAILED, &result, "submit", "-");
    assert_true(mentions(&result.err, "/name"));
    assert_true(mentions(&result.err, "/modle"));
    assert_true(mentions(&result.err, "/training"));
    assert_int_equal(result.out.size, 0);
    CLEANUP(process_result_clear) struct process_result local;
    RUN(cluster, "{\"name\": 3, \"modle\": {}}", EXIT_REQUEST_FAILED, &local, "validate", "-");
    assert_true(mentions(&local.err, "/name"));
    assert_true(mentions(&local.err, "/modle"));
}

static void a_valid_job_is_shown_complete_without_a_controller(void **state)
{
    CLEANUP(free_cleanup) char *spec = spec_text("complete", 1);
    CLEANUP(json_cleanup) json_t *complete = RUN_JSON(*state, spec, "validate", "-", "--json");
    assert_non_null(json_object_get(complete, "retry"));
}

static void a_list_is_printed_in_every_format(void **state)
{
    struct cluster *cluster = *state;
    char job[ID_BYTES_MAX];
    submit(cluster, "listed", 1, job);
    CLEANUP(json_cleanup)
    json_t *jobs = RUN_JSON(cluster, NULL, "ps", "--name", "listed", "--json");
    assert_int_equal(json_array_size(jobs), 1);
    CLEANUP(process_result_clear) struct process_result table, csv, name, lines, none;
    RUN(cluster, NULL, EXIT_DONE, &table, "ps", "-o", "wide");
    assert_true(mentions(&table.out, "PRIORITY") && mentions(&table.out, job));
    RUN(cluster, NULL, EXIT_DONE, &csv, "ps", "-o", "csv");
    assert_int_equal(strncmp(csv.out.data, "ID,NAME,", 8), 0);
    RUN(cluster, NULL, EXIT_DONE, &name, "ps", "-o", "name", "--name", "listed");
    assert_int_equal(strlen(job) + 1, name.out.size);
    RUN(cluster, NULL, EXIT_DONE, &lines, "ps", "-o", "jsonl", "--name", "listed");
    assert_true(mentions(&lines.out, job));
    RUN(cluster, NULL, EXIT_DONE, &none, "ps", "--json", "--name", "nobody");
    assert_string_equal(none.out.data, "[]\n");
}

static void a_job_is_found_by_name_and_by_the_start_of_its_id(void **state)
{
    struct cluster *cluster = *state;
    char job[ID_BYTES_MAX];
    submit(cluster, "findable", 1, job);
    CLEANUP(process_result_clear) struct process_result named, prefixed, unknown;
    RUN(cluster, NULL, EXIT_DONE, &named, "show", "findable", "--field", "id");
    assert_int_equal(strncmp(named.out.data, job, strlen(job)), 0);
    char prefix[ID_BYTES_MAX];
    snprintf(prefix, sizeof prefix, "%.*s", (int)strlen(job) - 2, job);
    RUN(cluster, NULL, EXIT_DONE, &prefixed, "show", prefix, "--field", "name");
    assert_string_equal(prefixed.out.data, "findable\n");
    RUN(cluster, NULL, EXIT_NOT_FOUND, &unknown, "show", "nobody");
}

static void namesakes_are_told_apart_before_one_is_cancelled(void **state)
{
    struct cluster *cluster = *state;
    char first[ID_BYTES_MAX], second[ID_BYTES_MAX];
    submit(cluster, "twin", 8, first); /* more ranks than slots: it stays queued */
    submit(cluster, "twin", 8, second);
    CLEANUP(process_result_clear) struct process_result unclear, clear;
    RUN(cluster, NULL, EXIT_USAGE, &unclear, "cancel", "twin");
    assert_true(mentions(&unclear.err, first) && mentions(&unclear.err, second));
    RUN(cluster, NULL, EXIT_DONE, &clear, "cancel", first, second);
    json_decref(cluster_wait_state(cluster, first, "cancelled", 10000));
    json_decref(cluster_wait_state(cluster, second, "cancelled", 10000));
}

static void a_waiting_job_says_why(void **state)
{
    struct cluster *cluster = *state;
    char job[ID_BYTES_MAX];
    submit(cluster, "waiting", 8, job);
    CLEANUP(process_result_clear) struct process_result why, late;
    RUN(cluster, NULL, EXIT_DONE, &why, "why", job);
    assert_true(why.out.size > 0);
    RUN(cluster, NULL, EXIT_TIMED_OUT, &late, "watch", job, "--timeout", "300ms");
    CLEANUP(process_result_clear) struct process_result cancelled, failed;
    RUN(cluster, NULL, EXIT_DONE, &cancelled, "cancel", job);
    RUN(cluster, NULL, EXIT_JOB_FAILED, &failed, "watch", job);
    CLEANUP(process_result_clear) struct process_result retried;
    RUN(cluster, NULL, EXIT_DONE, &retried, "retry", job, "-o", "name");
    retried.out.data[strcspn(retried.out.data, "\n")] = 0;
    assert_string_not_equal(retried.out.data, job);
    CLEANUP(process_result_clear) struct process_result end;
    RUN(cluster, NULL, EXIT_DONE, &end, "cancel", retried.out.data);
}

static void a_finished_job_shows_metrics_logs_and_attempts(void **state)
{
    struct cluster *cluster = *state;
    char job[ID_BYTES_MAX];
    submit(cluster, "finished", 2, job);
    CLEANUP(process_result_clear) struct process_result wait, show, spark, csv, logs;
    RUN(cluster, NULL, EXIT_DONE, &wait, "watch", job);
    RUN(cluster, NULL, EXIT_DONE, &show, "show", job);
    assert_true(mentions(&show.out, "attempt 1") && mentions(&show.out, "rank 1"));
    RUN(cluster, NULL, EXIT_DONE, &spark, "metrics", job, "loss");
    assert_true(mentions(&spark.out, "loss") && mentions(&spark.out, "█"));
    RUN(cluster, NULL, EXIT_DONE, &csv, "metrics", job, "--csv");
    assert_true(mentions(&csv.out, "name,step,attempt,value,min,max\r\n"));
    assert_true(mentions(&csv.out, "loss,200,1,"));
    RUN(cluster, NULL, EXIT_DONE, &logs, "logs", job, "--rank", "1", "--tail", "5");
    CLEANUP(process_result_clear) struct process_result no_rank, no_metric, lines, late, again;
    RUN(cluster, NULL, EXIT_NOT_FOUND, &no_rank, "logs", job, "--rank", "9");
    RUN(cluster, NULL, EXIT_NOT_FOUND, &no_metric, "metrics", job, "loss", "luck");
    assert_true(mentions(&no_metric.out, "loss") && mentions(&no_metric.err, "luck"));
    RUN(cluster, NULL, EXIT_DONE, &lines, "metrics", job, "-o", "jsonl");
    assert_ptr_equal(strchr(lines.out.data, '\n'), lines.out.data + lines.out.size - 1);
    RUN(cluster, NULL, EXIT_CONFLICT, &late, "checkpoint", job);
    assert_true(mentions(&late.err, "has ended: succeeded"));
    RUN(cluster, NULL, EXIT_DONE, &again, "cancel", job);
    assert_true(mentions(&again.out, "has ended: succeeded"));
    CLEANUP(json_cleanup) json_t *metrics = RUN_JSON(cluster, NULL, "metrics", job, "--json");
    assert_non_null(json_object_get(metrics, "loss"));
}

static void a_running_job_writes_a_checkpoint_when_asked(void **state)
{
    struct cluster *cluster = *state;
    char job[ID_BYTES_MAX];
    CLEANUP(json_cleanup) json_t *spec = cluster_spec("asked");
    cluster_spec_set(spec, "training.steps", json_integer(1000000));
    cluster_spec_set(spec, "checkpoint.every_steps", json_integer(900000));
    cluster_submit(cluster, spec, job);
    json_decref(cluster_wait_step(cluster, job, 1, 1, TRAIN_TIMEOUT_MS));
    CLEANUP(process_result_clear) struct process_result asked, cancelled;
    RUN(cluster, NULL, EXIT_DONE, &asked, "checkpoint", job);
    assert_true(cluster_wait_checkpoint(cluster, job, 1, TRAIN_TIMEOUT_MS) > 0);
    RUN(cluster, NULL, EXIT_DONE, &cancelled, "cancel", job);
    json_decref(cluster_wait_state(cluster, job, "cancelled", 20000));
}

/* ---------------------------------------------------------------- nodes, data, tokens */

static void a_node_is_listed_drained_and_taken_back(void **state)
{
    struct cluster *cluster = *state;
    const char *id = cluster_node_id(cluster, 2);
    CLEANUP(json_cleanup) json_t *nodes = RUN_JSON(cluster, NULL, "node", "ls", "--json");
    assert_int_equal(json_array_size(nodes), 3);
    CLEANUP(process_result_clear) struct process_result show, drain, undrain, token;
    RUN(cluster, NULL, EXIT_DONE, &show, "node", "show", id);
    assert_true(mentions(&show.out, "cpu:0") && mentions(&show.out, "test-node=2"));
    RUN(cluster, NULL, EXIT_DONE, &drain, "node", "drain", id);
    cluster_wait_node(cluster, 2, "draining", 5000);
    RUN(cluster, NULL, EXIT_DONE, &undrain, "node", "undrain", id);
    cluster_wait_node(cluster, 2, "ready", 5000);
    RUN(cluster, NULL, EXIT_DONE, &token, "node", "token");
    assert_true(token.out.size > 20);
}

static void a_data_set_is_registered_and_listed(void **state)
{
    struct cluster *cluster = *state;
    CLEANUP(process_result_clear) struct process_result added;
    RUN(cluster, NULL, EXIT_DONE, &added, "data", "add", "again", "deploy/data/mnist-small");
    CLEANUP(json_cleanup) json_t *list = RUN_JSON(cluster, NULL, "data", "ls", "--json");
    bool found = false;
    size_t i = 0;
    json_t *item = NULL;
    json_array_foreach(list, i, item)
        found = found || (strcmp(text(item, "name"), "again") == 0 && text(item, "path")[0] == '/');
    assert_true(found);
}

static void folders_that_are_no_data_set_yet_are_told_beside_the_list(void **state)
{
    struct cluster *cluster = *state;
    struct error err = {0};
    char folder[] = "/tmp/reprise-sets-XXXXXX";
    char path[64];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/loose", folder);
    assert_int_equal(fs_make_dirs(path, 0700, &err), STATUS_OK);
    snprintf(path, sizeof path, "%s/mnist-small", folder); /* a name that is taken */
    assert_int_equal(fs_make_dirs(path, 0700, &err), STATUS_OK);
    const char *before = getenv("REPRISE_DATA");
    CLEANUP(free_cleanup) char *kept = before ? strdup(before) : NULL;
    setenv("REPRISE_DATA", folder, 1);
    CLEANUP(process_result_clear) struct process_result table, names;
    RUN(cluster, NULL, EXIT_DONE, &table, "data", "ls");
    RUN(cluster, NULL, EXIT_DONE, &names, "data", "ls", "-o", "name");
    if (kept)
        setenv("REPRISE_DATA", kept, 1);
    else
        unsetenv("REPRISE_DATA");
    assert_int_equal(fs_remove_tree(folder, &err), STATUS_OK);
    assert_true(mentions(&table.err, "not registered: loose; reprise data add loose /tmp/"));
    assert_false(mentions(&table.err, "mnist-small") || mentions(&table.out, "loose"));
    assert_int_equal(names.err.size, 0);
}

static void a_token_is_good_for_its_role_until_it_is_revoked(void **state)
{
    struct cluster *cluster = *state;
    CLEANUP(json_cleanup)
    json_t *made = RUN_JSON(cluster, NULL, "token", "create", "--role", "viewer", "--name",
                            "a reader", "--json");
    const char *token = text(made, "token");
    CLEANUP(process_result_clear) struct process_result may, may_not, revoked, gone;
    RUN(cluster, NULL, EXIT_DONE, &may, "ps", "--token", token);
    RUN(cluster, NULL, EXIT_NOT_ALLOWED, &may_not, "node", "token", "--token", token);
    assert_true(mentions(&may_not.err, "hint:"));
    CLEANUP(json_cleanup) json_t *list = RUN_JSON(cluster, NULL, "token", "ls", "--json");
    assert_true(json_array_size(list) >= 2);
    RUN(cluster, NULL, EXIT_DONE, &revoked, "token", "rm", text(made, "id"));
    RUN(cluster, NULL, EXIT_NOT_ALLOWED, &gone, "ps", "--token", token);
}

/* ---------------------------------------------------------------- the program itself */

static void usage_and_reachability_have_their_own_exit_codes(void **state)
{
    struct cluster *cluster = *state;
    static const struct {
        int expected;
        const char *words[WORDS_MAX];
    } cases[] = {{EXIT_DONE, {"--help"}},
                 {EXIT_DONE, {"--version"}},
                 {EXIT_DONE, {"version", "--json"}},
                 {EXIT_DONE, {"submit", "--help"}},
                 {EXIT_DONE, {"help", "node", "ls"}},
                 {EXIT_DONE, {"ui"}},
                 {EXIT_USAGE, {"bogus"}},
                 {EXIT_USAGE, {"node"}},
                 {EXIT_USAGE, {"ps", "--bogus"}},
                 {EXIT_USAGE, {"ps", "-o", "yaml"}},
                 {EXIT_USAGE, {"show"}},
                 {EXIT_USAGE, {"submit", "/nonexistent"}},
                 {EXIT_USAGE, {"submit", "-", "--set", "training"}},
                 {EXIT_USAGE, {"watch", "x", "--timeout", "soon"}},
                 {EXIT_USAGE, {"pause", "x"}},
                 {EXIT_USAGE, {"resume", "x"}},
                 {EXIT_USAGE, {"run", "--", "true"}},
                 {EXIT_USAGE, {"--server", "nonsense", "ps"}},
                 {EXIT_USAGE, {"top"}},
                 {EXIT_USAGE, {"completion", "bash"}},
                 {EXIT_USAGE, {"data", "fetch", "mnist"}},
                 {EXIT_NOT_FOUND, {"ps", "--profile", "nowhere"}},
                 {EXIT_NOT_FOUND, {"show", "job_00000000000000000000000000"}},
                 {EXIT_NOT_ALLOWED, {"ps", "--token", "rp_operator_x_y"}},
                 {EXIT_UNREACHABLE, {"--server", "http://127.0.0.1:1", "ps"}}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        CLEANUP(process_result_clear) struct process_result result;
        run(cluster, "{}", cases[i].expected, &result, cases[i].words);
        assert_true(cases[i].expected == EXIT_DONE ? result.out.size > 0 : result.err.size > 0);
    }
}

static void write_config(const struct cluster *cluster, mode_t mode)
{
    char path[256], content[512];
    struct error err = {0};
    snprintf(path, sizeof path, "%s/config/reprise", cluster_dir(cluster));
    assert_int_equal(fs_make_dirs(path, 0700, &err), STATUS_OK);
    snprintf(path, sizeof path, "%s/config/reprise/config.json", cluster_dir(cluster));
    snprintf(content, sizeof content,
             "{\"profiles\": {\"lab\": {\"server\": \"%s\", \"token\": \"%s\"}}}",
             cluster_api_url(cluster), cluster_token(cluster));
    assert_int_equal(fs_replace_file(path, content, strlen(content), mode, &err), STATUS_OK);
    assert_int_equal(chmod(path, mode), 0);
}

static void a_profile_of_a_private_file_connects(void **state)
{
    struct cluster *cluster = *state;
    char program[512], folder[256];
    cluster_program("reprise", program);
    snprintf(folder, sizeof folder, "XDG_CONFIG_HOME=%s/config", cluster_dir(cluster));
    const char *const env[] = {folder, "REPRISE_SERVER=", "REPRISE_TOKEN=", NULL};
    const char *const argv[] = {program, "ps", "--profile", "lab", NULL};
    CLEANUP(process_result_clear) struct process_result private, open;
    write_config(cluster, 0600);
    process_run(argv, env, NULL, 10000, &private);
    write_config(cluster, 0644);
    process_run(argv, env, NULL, 10000, &open);
    assert_string_equal(private.err.data, "");
    assert_int_equal(private.exit_code, EXIT_DONE);
    assert_int_equal(open.exit_code, EXIT_NOT_ALLOWED);
    assert_true(mentions(&open.err, "chmod 600"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(usage_and_reachability_have_their_own_exit_codes),
        cmocka_unit_test(a_job_is_submitted_followed_and_fetched),
        cmocka_unit_test(a_change_on_the_command_line_reaches_the_job),
        cmocka_unit_test(a_dry_run_submits_nothing),
        cmocka_unit_test(the_same_key_twice_is_one_job),
        cmocka_unit_test(every_problem_of_a_bad_job_is_told),
        cmocka_unit_test(a_valid_job_is_shown_complete_without_a_controller),
        cmocka_unit_test(a_list_is_printed_in_every_format),
        cmocka_unit_test(a_job_is_found_by_name_and_by_the_start_of_its_id),
        cmocka_unit_test(namesakes_are_told_apart_before_one_is_cancelled),
        cmocka_unit_test(a_waiting_job_says_why),
        cmocka_unit_test(a_finished_job_shows_metrics_logs_and_attempts),
        cmocka_unit_test(a_running_job_writes_a_checkpoint_when_asked),
        cmocka_unit_test(a_node_is_listed_drained_and_taken_back),
        cmocka_unit_test(a_data_set_is_registered_and_listed),
        cmocka_unit_test(folders_that_are_no_data_set_yet_are_told_beside_the_list),
        cmocka_unit_test(a_token_is_good_for_its_role_until_it_is_revoked),
        cmocka_unit_test(a_profile_of_a_private_file_connects),
    };
    return cmocka_run_group_tests(tests, cluster_setup, cluster_teardown);
}
