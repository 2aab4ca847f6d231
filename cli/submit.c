/* submit.c - handing in a job, and checking its spec without a controller. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fs.h"
#include "base/hash.h"
#include "base/json.h"
#include "cli/cli.h"
#include "cli/output.h"
#include "cli/verbs.h"
#include "schema/job_spec.h"

#define IDEMPOTENCY_KEY_BYTES 16

/* ---------------------------------------------------------------- the document */

static enum status read_stdin(struct buf *out, struct error *err)
{
    char piece[4096];
    ssize_t got = 0;
    while ((got = read(STDIN_FILENO, piece, sizeof piece)) > 0)
        buf_append(out, piece, (size_t)got);
    if (got < 0)
        return error_set(err, STATUS_INTERNAL, "cannot read standard input");
    return buf_status(out, "standard input", err);
}

static const char *name_of(const char *file)
{
    return strcmp(file, "-") == 0 ? "standard input" : file;
}

static int read_spec(const struct cli *cli, const char *file, json_t **out)
{
    CLEANUP(buf_clear) struct buf text;
    struct error err = {0};
    buf_init(&text, JOB_SPEC_BYTES_MAX);
    const bool from_stdin = strcmp(file, "-") == 0;
    const enum status status =
        from_stdin ? read_stdin(&text, &err) : fs_read_file(file, &text, &err);
    if (status != STATUS_OK) {
        cli_complain(cli, "%s", err.text);
        return EXIT_USAGE;
    }
    if (json_parse(text.data, text.size, out, &err) != STATUS_OK) {
        cli_complain(cli, "%s: %s", name_of(file), err.text);
        return EXIT_REQUEST_FAILED;
    }
    return EXIT_DONE;
}

/* Sets one value at "training.epochs"; objects are made on the way. Takes `value`. */
static bool set_path(json_t *at, const char *path, json_t *value)
{
    char key[JOB_LABEL_KEY_BYTES];
    const size_t length = strcspn(path, ".");
    if (length == 0 || length >= sizeof key) {
        json_decref(value);
        return false;
    }
    snprintf(key, sizeof key, "%.*s", (int)length, path);
    if (json_is_array(at)) {
        char *end = NULL;
        const unsigned long index = strtoul(key, &end, 10);
        if (*end == 0 && path[length] == 0)
            return json_array_set_new(at, index, value) == 0;
        json_t *item = *end ? NULL : json_array_get(at, index);
        return item && path[length] ? set_path(item, path + length + 1, value)
                                    : (json_decref(value), false);
    }
    if (path[length] == 0)
        return json_object_set_new(at, key, value) == 0;
    json_t *next = json_object_get(at, key);
    if (!json_is_object(next) && !json_is_array(next)) {
        next = json_object();
        json_object_set_new(at, key, next);
    }
    return set_path(next, path + length + 1, value);
}

/* "a.b=v": v is JSON if it reads as JSON, else text. */
static int apply_set(const struct cli *cli, json_t *spec, const char *assignment)
{
    const char *equals = strchr(assignment, '=');
    if (!equals || equals == assignment) {
        cli_complain(cli, "--set: expected PATH=VALUE such as training.epochs=3, got \"%s\"",
                     assignment);
        return EXIT_USAGE;
    }
    CLEANUP(free_cleanup) char *path = strndup(assignment, (size_t)(equals - assignment));
    json_t *value = json_loads(equals + 1, JSON_DECODE_ANY, NULL);
    if (!path || !set_path(spec, path, value ? value : json_string(equals + 1))) {
        cli_complain(cli, "--set: there is no place \"%s\" in the job", path ? path : "");
        return EXIT_USAGE;
    }
    return EXIT_DONE;
}

static int load_spec(const struct cli *cli, const char *file, const struct option_list *sets,
                     json_t **out)
{
    CLEANUP(json_cleanup) json_t *spec = NULL;
    CLI_TRY(read_spec(cli, file, &spec));
    for (size_t i = 0; i < sets->count; i++)
        CLI_TRY(apply_set(cli, spec, sets->items[i]));
    *out = TAKE(spec);
    return EXIT_DONE;
}

/* ---------------------------------------------------------------- submit */

struct submit_config {
    struct cli_common common;
    struct option_list sets;
    bool follow;
    bool wait;
    bool dry_run;
    const char *timeout;
    const char *key;
};

/* A key of our own, so that a repeat by the network can never make a second job. */
static void make_key_header(const char *given, char out[128])
{
    uint8_t bytes[IDEMPOTENCY_KEY_BYTES];
    char hex[2 * IDEMPOTENCY_KEY_BYTES + 1];
    random_bytes(bytes, sizeof bytes);
    hex_encode(bytes, sizeof bytes, hex);
    snprintf(out, 128, "Idempotency-Key: %s", given ? given : hex);
}

static int post_job(struct cli *cli, const struct submit_config *submit, const json_t *spec,
                    json_t **out_job, bool *out_replayed)
{
    char key[128];
    make_key_header(submit->key, key);
    const char *const headers[] = {key, NULL};
    CLEANUP(free_cleanup) char *text = json_dumps(spec, JSON_COMPACT);
    CLEANUP(buf_clear) struct buf answer;
    buf_init(&answer, CLI_ANSWER_BYTES_MAX);
    struct http_exchange exchange = {.method = "POST",
                                     .path = submit->dry_run ? "/v1/jobs?dry_run=true" : "/v1/jobs",
                                     .headers = submit->dry_run ? NULL : headers,
                                     .body = text,
                                     .body_bytes = text ? strlen(text) : 0,
                                     .timeout_ms = CLI_REQUEST_TIMEOUT_MS,
                                     .out_body = &answer};
    CLI_TRY(cli_exchange(cli, &exchange));
    struct error err = {0};
    *out_replayed = exchange.out_replayed;
    if (json_parse(answer.data, answer.size, out_job, &err) != STATUS_OK)
        return cli_report(cli, &err);
    return EXIT_DONE;
}

static void print_dry_run(const struct cli *cli, const json_t *answer)
{
    if (cli->output != OUTPUT_TABLE && cli->output != OUTPUT_WIDE) {
        print_document(cli, answer);
        return;
    }
    if (json_is_true(json_object_get(answer, "would_run")))
        puts("the job is valid and would be placed at once:");
    else
        printf("the job is valid and would wait: %s, %s\n", field_text(answer, "code", "?"),
               field_text(answer, "detail", ""));
    size_t i = 0;
    json_t *node = NULL;
    json_array_foreach(json_object_get(answer, "placement"), i, node)
        printf("  %lld on node %s\n", (long long)field_number(node, "ranks", 0),
               field_text(node, "node", "?"));
}

static void print_submitted(const struct cli *cli, const json_t *job, bool replayed)
{
    const char *id = field_text(job, "id", "?");
    if (cli->output != OUTPUT_TABLE && cli->output != OUTPUT_WIDE)
        print_job(cli, job);
    else if (cli->stdout_tty)
        printf("%s %s%s\n", id, field_text(job, "state", ""),
               replayed ? " (already submitted under this key)" : "");
    else
        puts(id); /* for $(reprise submit FILE) */
    fflush(stdout);
}

static int run_submit(struct cli *cli, const void *config, char **words, int count)
{
    (void)count;
    const struct submit_config *submit = config;
    int64_t timeout_ms = 0;
    bool replayed = false;
    CLEANUP(json_cleanup) json_t *spec = NULL;
    CLEANUP(json_cleanup) json_t *job = NULL;
    if (submit->timeout && !duration_parse(submit->timeout, &timeout_ms)) {
        cli_complain(cli, "--timeout: expected a duration such as 90s, got \"%s\"",
                     submit->timeout);
        return EXIT_USAGE;
    }
    CLI_TRY(load_spec(cli, words[0], &submit->sets, &spec));
    CLI_TRY(post_job(cli, submit, spec, &job, &replayed));
    if (submit->dry_run) {
        print_dry_run(cli, job);
        return EXIT_DONE;
    }
    if (!(submit->wait || submit->follow) || cli->output == OUTPUT_TABLE)
        print_submitted(cli, job, replayed);
    if (!submit->wait && !submit->follow)
        return EXIT_DONE;
    return watch_job(cli, field_text(job, "id", ""), !submit->follow, timeout_ms);
}

static const struct option_row submit_rows[] = {
    {.name = "set",
     .environment = "",
     .kind = OPTION_LIST,
     .offset = offsetof(struct submit_config, sets),
     .value = "PATH=VALUE",
     .help = "change the spec, such as training.epochs=3"},
    {.name = "follow",
     .environment = "",
     .kind = OPTION_FLAG,
     .offset = offsetof(struct submit_config, follow),
     .letter = 'f',
     .help = "then watch the job to its end"},
    {.name = "wait",
     .environment = "",
     .kind = OPTION_FLAG,
     .offset = offsetof(struct submit_config, wait),
     .help = "then wait for its end in silence; the exit code is the job's"},
    {.name = "timeout",
     .environment = "",
     .kind = OPTION_TEXT,
     .offset = offsetof(struct submit_config, timeout),
     .value = "DURATION",
     .help = "stop waiting after so long (exit code 6)"},
    {.name = "dry-run",
     .environment = "",
     .kind = OPTION_FLAG,
     .offset = offsetof(struct submit_config, dry_run),
     .help = "say where it would be placed, or why not, and submit nothing"},
    {.name = "idempotency-key",
     .environment = "",
     .kind = OPTION_TEXT,
     .offset = offsetof(struct submit_config, key),
     .value = "KEY",
     .help = "the same key and job twice is one job (default: a new key)"},
    CLI_COMMON_ROWS,
    OPTION_END};

const struct cli_verb verb_submit = {
    .program = {.name = "reprise submit",
                .synopsis = "[OPTION...] FILE|-",
                .about = "Submit a job from a JSON file, or from standard input.",
                .rows = submit_rows},
    .config_bytes = sizeof(struct submit_config),
    .words_min = 1,
    .words_max = 1,
    .run = run_submit};

/* ---------------------------------------------------------------- validate */

struct validate_config {
    struct cli_common common;
    struct option_list sets;
};

static void print_problem_lines(const struct json_problems *problems)
{
    for (size_t i = 0; i < problems->count; i++) {
        const struct json_problem *problem = &problems->items[i];
        cli_print_problem(problem->pointer, problem->expected, problem->got);
    }
    if (problems->dropped > 0)
        fprintf(stderr, "  … and %zu more\n", problems->dropped);
}

static int run_validate(struct cli *cli, const void *config, char **words, int count)
{
    (void)count;
    const struct validate_config *validate = config;
    CLEANUP(json_cleanup) json_t *spec = NULL;
    CLI_TRY(load_spec(cli, words[0], &validate->sets, &spec));
    struct json_problems problems = {0};
    const struct json_at at = json_at_root(spec, &problems);
    CLEANUP(free_cleanup) struct job_spec *decoded = calloc(1, sizeof *decoded);
    if (!decoded)
        return EXIT_REQUEST_FAILED;
    job_spec_decode(&at, decoded);
    if (problems.count > 0) {
        cli_complain(cli, "%s has %zu problem%s", name_of(words[0]),
                     problems.count + problems.dropped, problems.count == 1 ? "" : "s");
        print_problem_lines(&problems);
        return EXIT_REQUEST_FAILED;
    }
    if (cli->output == OUTPUT_TABLE || cli->output == OUTPUT_WIDE) {
        printf("%s is valid\n", name_of(words[0]));
        return EXIT_DONE;
    }
    CLEANUP(json_cleanup) json_t *complete = job_spec_encode(decoded);
    print_document(cli, complete);
    return EXIT_DONE;
}

static const struct option_row validate_rows[] = {{.name = "set",
                                                   .environment = "",
                                                   .kind = OPTION_LIST,
                                                   .offset = offsetof(struct validate_config, sets),
                                                   .value = "PATH=VALUE",
                                                   .help = "change the spec first"},
                                                  CLI_OUTPUT_ROWS,
                                                  OPTION_END};

const struct cli_verb verb_validate = {
    .program = {.name = "reprise validate",
                .synopsis = "[OPTION...] FILE|-",
                .about = "Check a job's spec without a controller; --json prints it complete, with "
                         "all defaults.",
                .rows = validate_rows},
    .config_bytes = sizeof(struct validate_config),
    .words_min = 1,
    .words_max = 1,
    .offline = true,
    .run = run_validate};
