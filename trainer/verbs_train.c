/* verbs_train.c - a job without controller or agent: one rank alone, in a folder of its own. */
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/json.h"
#include "base/log.h"
#include "trainer/places.h"
#include "trainer/train.h"
#include "trainer/verbs.h"

#define STOPPED_BYTES 128
#define PROBLEM_BYTES (JSON_POINTER_BYTES + JSON_EXPECTED_BYTES + JSON_GOT_BYTES + 24)

#define DATA_ROW                                                                                  \
    {                                                                                             \
        "data", OPTION_TEXT, offsetof(struct verb_config, data),                                  \
            .required = true, .value = "DIR",                                                     \
            .help = "folder with the data files, or the folder of data sets that has the spec's " \
                    "data.root"                                                                   \
    }

/* Where a person's job lives: OUTPUT/events.jsonl, OUTPUT/checkpoints, OUTPUT/cache. */
struct places {
    char data[PATH_MAX];
    char cache[PATH_MAX];
    char events[PATH_MAX];
    char checkpoints[PATH_MAX];
    char board[PATH_MAX];
};

/* Where there are several: the error has the first alone. */
static void tell_problems(const struct json_problems *problems)
{
    for (size_t i = 0; i < problems->count && problems->count > 1; i++) {
        const struct json_problem *problem = &problems->items[i];
        const bool is_whole = problem->got[0] == '\0';
        char text[PROBLEM_BYTES];
        (void)snprintf(text, sizeof(text), "%s: %s%s%s%s",
                       problem->pointer[0] == '\0' ? "document" : problem->pointer,
                       is_whole ? "" : "expected ", problem->expected, is_whole ? "" : ", got ",
                       problem->got);
        log_write(LOG_ERROR, "bad_spec", text, NULL);
    }
}

static enum status load_spec(const char *path, struct job_spec *out, struct error *err)
{
    char sha256[SHA256_HEX_BYTES];
    struct error cause = {.status = STATUS_OK};
    CLEANUP(free_cleanup) struct json_problems *problems = calloc(1, sizeof(*problems));
    if (problems == NULL)
        return error_set(err, STATUS_NO_MEMORY, "read %s", path);
    const enum status loaded = train_spec_check(path, problems, out, sha256, &cause);
    tell_problems(problems);
    if (loaded != STATUS_INVALID) /* what the system refuses names the file itself */
        return loaded == STATUS_OK ? STATUS_OK : error_set(err, loaded, "%s", cause.text);
    return error_set(err, loaded, "%s: %s", path, cause.text);
}

static enum status prepare_output(const struct verb_config *config, struct places *places,
                                  struct error *err)
{
    TRY(fs_path(places->events, sizeof(places->events), err, "%s/events.jsonl", config->output));
    TRY(fs_path(places->checkpoints, sizeof(places->checkpoints), err, "%s/checkpoints",
                config->output));
    TRY(fs_path(places->board, sizeof(places->board), err, "%s/" TRAIN_BOARD_FOLDER,
                config->output));
    TRY(fs_path(places->cache, sizeof(places->cache), err, "%s%s",
                config->cache == NULL ? config->output : config->cache,
                config->cache == NULL ? "/cache" : ""));
    if (!config->resume) { /* another run's curves are not this one's */
        TRY(fs_remove_tree(places->checkpoints, err));
        TRY(fs_remove_tree(places->board, err));
    }
    TRY(fs_make_dirs(places->checkpoints, 0755, err));
    (void)unlink(places->events); /* each run numbers its events from 1 */
    return STATUS_OK;
}

static void print_results(const struct train *train)
{
    CLEANUP(json_cleanup) json_t *line = json_object();
    for (size_t i = 0; i < train->results.count; i++)
        (void)json_object_set_new(line, train->results.names[i],
                                  json_real(train->results.values[i]));
    (void)json_object_set_new(line, "steps", json_integer(train->step));
    (void)json_object_set_new(line, "samples_per_second", json_real(train->samples_per_second));
    (void)json_object_set_new(line, "memory_plan_bytes", json_integer(train->memory.total));
    (void)json_object_set_new(line, "memory_peak_bytes", json_integer(train->memory.peak));
    (void)json_object_set_new(line, "model", json_string(train->model_path));
    (void)json_object_set_new(line, "sha256", json_string(train->model_sha256));
    CLEANUP(free_cleanup) char *text = json_text(line);
    if (text != NULL)
        (void)puts(text);
}

static void tell_stopped(const struct train *train)
{
    char text[STOPPED_BYTES];
    (void)snprintf(text, sizeof(text),
                   "after step %lld of %lld, with a checkpoint: --resume goes on from there",
                   (long long)train->step, (long long)train->total_steps);
    log_write(LOG_INFO, "stopped", text, NULL);
}

static int run_train(const struct verb_config *config, const char *spec_path)
{
    struct error err = {.status = STATUS_OK};
    static struct places places;
    static struct job_spec spec;
    if (load_spec(spec_path, &spec, &err) != STATUS_OK ||
        places_find_data(config->data, spec.data.root, places.data, &err) != STATUS_OK)
        return verb_fail(&err, TRAINER_EXIT_BAD_SPEC);
    if (prepare_output(config, &places, &err) != STATUS_OK)
        return verb_fail(&err, TRAINER_EXIT_CANNOT_WRITE);
    const struct contract contract = {.standalone = true,
                                      .world_size = 1,
                                      .local_world_size = 1,
                                      .group_world_size = 1,
                                      .job_id = "",
                                      .attempt = 1,
                                      .spec_path = spec_path,
                                      .data_dir = places.data,
                                      .data_cache = places.cache,
                                      .output_dir = config->output,
                                      .checkpoint_dir = places.checkpoints,
                                      .resume_from = config->resume ? places.checkpoints : NULL,
                                      .resume_step = -1,
                                      .events_path = places.events,
                                      .hang_timeout_ms = CONTRACT_HANG_DEFAULT_MS,
                                      .setup_timeout_ms = CONTRACT_SETUP_DEFAULT_MS};
    static struct train train; /* large, and there is one */
    train_signal_setup();
    const enum trainer_exit code = train_run(&train, &contract, &err);
    if (code == TRAINER_EXIT_DONE)
        print_results(&train);
    if (code == TRAINER_EXIT_STOPPED)
        tell_stopped(&train);
    train_close(&train);
    return code == TRAINER_EXIT_DONE || code == TRAINER_EXIT_STOPPED ? (int)code
                                                                     : verb_fail(&err, (int)code);
}

static int run_decode(const struct verb_config *config, const char *spec_path)
{
    struct error err = {.status = STATUS_OK};
    static struct job_spec spec;
    static char data[PATH_MAX];
    if (load_spec(spec_path, &spec, &err) != STATUS_OK ||
        places_find_data(config->data, spec.data.root, data, &err) != STATUS_OK)
        return verb_fail(&err, TRAINER_EXIT_BAD_SPEC);
    struct dataset training = {.mapping = NULL}, evaluation = {.mapping = NULL};
    struct data_request request = {.spec = &spec.data, .role = DATA_TRAIN, .root = data};
    enum status status = dataset_open(&request, config->cache, &training, &err);
    if (status == STATUS_OK && data_has_eval(&spec.data)) {
        request.role = DATA_EVAL;
        request.train = &training;
        status = dataset_open(&request, config->cache, &evaluation, &err);
    }
    dataset_close(&evaluation);
    dataset_close(&training);
    if (status != STATUS_OK)
        return verb_fail(&err, status == STATUS_NO_SPACE ? TRAINER_EXIT_CANNOT_WRITE
                                                         : TRAINER_EXIT_BAD_DATA);
    return TRAINER_EXIT_DONE;
}

static const struct option_row train_rows[] = {
    DATA_ROW,
    {"output", OPTION_TEXT, offsetof(struct verb_config, output), .required = true, .value = "DIR",
     .help = "folder for model, events and checkpoints; made if it is missing"},
    {"cache", OPTION_TEXT, offsetof(struct verb_config, cache), .value = "DIR",
     .help = "folder for decoded data (default: OUTPUT/cache)"},
    {"resume", OPTION_FLAG, offsetof(struct verb_config, resume),
     .help = "go on from the newest checkpoint in OUTPUT; without it they are removed"},
    OPTION_END};

const struct verb verb_train = {
    .program = {.name = VERB_PREFIX "train",
                .synopsis = "SPEC.json --data DIR --output DIR [options]",
                .about =
                    "Runs a job as one rank alone and prints its final metrics as a line of JSON.\n"
                    "SIGTERM and Ctrl-C stop it after a checkpoint, SIGUSR1 takes one.",
                .rows = train_rows,
                .epilogue =
                    "example:\n"
                    "  reprise-trainer train deploy/jobs/credit-small.json --data deploy/data "
                    "--output /tmp/credit\n\n"
                    "exit codes:\n"
                    "  0 done, 64 usage or a bad spec, 65 bad data, 70 the training itself (a loss "
                    "that is no\n"
                    "  number), 71 device fault, 73 cannot write, 75 stopped after a checkpoint: "
                    "go on with --resume"},
    .word = "SPEC.json",
    .run = run_train,
};

static const struct option_row decode_rows[] = {
    DATA_ROW,
    {"cache", OPTION_TEXT, offsetof(struct verb_config, cache), .required = true, .value = "DIR",
     .help = "folder for decoded data"},
    OPTION_END};

const struct verb verb_decode = {
    .program = {.name = VERB_PREFIX "decode",
                .synopsis = "SPEC.json --data DIR --cache DIR [options]",
                .about = "Decodes a job's data into the cache that a training maps, and thereby "
                         "checks every record.",
                .rows = decode_rows,
                .epilogue =
                    "example:\n"
                    "  reprise-trainer decode deploy/jobs/credit-small.json --data deploy/data "
                    "--cache /tmp/cache\n\n"
                    "exit codes:\n"
                    "  0 done, 64 usage or a bad spec, 65 bad data, 73 cannot write"},
    .word = "SPEC.json",
    .run = run_decode,
};
