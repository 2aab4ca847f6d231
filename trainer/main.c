/*
 * main.c - reprise-trainer: one rank. Without arguments it takes everything from the environment
 * (contract.h); the verbs are for people, benches and agents.
 */
#include <jansson.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/log.h"
#include "base/option.h"
#include "trainer/evaluate.h"
#include "trainer/makedata.h"
#include "trainer/numerics.h"
#include "trainer/places.h"
#include "trainer/predict.h"
#include "trainer/train.h"

#define WORDS_MAX      2 /* verb, spec */
#define LINE_BYTES_MAX (64 * KIB)

struct config {
    const char *data;
    const char *output;
    const char *cache;
    const char *file;
    const char *labels;
    const char *users;
    int64_t top_k;
    bool exclude_seen;
    bool json;
    bool resume;
    int64_t rows;
    int64_t seed;
};

static const struct option_row options[] = {
    {"data", OPTION_TEXT, offsetof(struct config, data), .value = "DIR",
     .help = "folder with the data files, or the folder of data sets that has the spec's root; "
             "predict: a file, or - for standard input"},
    {"output", OPTION_TEXT, offsetof(struct config, output), .value = "DIR",
     .help = "folder for model, events and checkpoints"},
    {"cache", OPTION_TEXT, offsetof(struct config, cache), .value = "DIR",
     .help = "folder for decoded data (default: OUTPUT/cache)"},
    {"file", OPTION_TEXT, offsetof(struct config, file), .value = "NAME",
     .help = "evaluate: this file of the folder instead of the job's evaluation part"},
    {"labels", OPTION_TEXT, offsetof(struct config, labels), .value = "NAME",
     .help = "evaluate: the labels of --file, where they are in a file of their own"},
    {"json", OPTION_FLAG, offsetof(struct config, json), .help = "predict: an object a line"},
    {"users", OPTION_TEXT, offsetof(struct config, users), .value = "LIST",
     .help = "predict, recommenders: \"1,2,3\", or all (the default)"},
    {"top-k", OPTION_INT, offsetof(struct config, top_k), .value = "N", .min = 0,
     .max = PREDICT_TOP_K_MAX, .help = "predict, recommenders: items a user (default: the spec's)"},
    {"exclude-seen", OPTION_FLAG, offsetof(struct config, exclude_seen),
     .help = "predict, recommenders: leave out what the user has in --data, the interactions"},
    {"resume", OPTION_FLAG, offsetof(struct config, resume),
     .help = "go on from the newest checkpoint in OUTPUT"},
    {"rows", OPTION_INT, offsetof(struct config, rows), .value = "N", .min = MAKEDATA_ROWS_MIN,
     .max = MAKEDATA_ROWS_MAX, .help = "make-data: lines of the training file"},
    {"seed", OPTION_INT, offsetof(struct config, seed), .value = "N", .max = INT64_MAX,
     .initial = "1", .help = "make-data: another seed gives other data"},
    OPTION_END};

static const struct option_program program = {
    .name = "reprise-trainer",
    .synopsis = "[train SPEC.json | decode SPEC.json | evaluate MODEL.safetensors |\n"
                "       predict MODEL.safetensors | make-data KIND | numerics] [options]",
    .about =
        "Trains one rank of a job. Without arguments the job comes from the environment that\n"
        "an agent sets up.\n"
        "  train      runs one rank alone and prints the final metrics as a line of JSON\n"
        "  decode     fills the cache of decoded data\n"
        "  evaluate   prints a saved model's metrics as a line of JSON\n"
        "  predict    prints a line for each row or text of a file, or the best items of users\n"
        "  make-data  writes an invented data set (table, text, interactions) into OUTPUT\n"
        "  numerics   names this machine's arithmetic",
    .rows = options,
    .epilogue = "exit codes:\n"
                "  0 done, 64 bad spec or usage, 65 bad data, 69 peer lost, 70 internal error,\n"
                "  71 device fault, 73 cannot write, 75 stopped with a checkpoint\n"};

static int fail(const struct error *err, int code)
{
    log_write(LOG_ERROR, "trainer_failed", err->text, NULL);
    return code;
}

static int run_contract(const struct contract *contract, struct train *train, struct error *err)
{
    train_signal_setup();
    const enum trainer_exit code = train_run(train, contract, err);
    return code == TRAINER_EXIT_DONE || code == TRAINER_EXIT_STOPPED ? (int)code
                                                                     : fail(err, (int)code);
}

/* As one rank of a gang: what an agent starts. */
static int run_rank(char *const environment[], int64_t process_boot_ms)
{
    struct error err = {.status = STATUS_OK};
    struct contract contract;
    if (contract_read(environment, &contract, &err) != STATUS_OK)
        return fail(&err, TRAINER_EXIT_BAD_SPEC);
    contract.process_boot_ms = process_boot_ms;
    static char cache[PATH_MAX];
    if (contract.data_cache == NULL) {
        if (fs_path(cache, sizeof(cache), &err, "%s/cache", contract.output_dir) != STATUS_OK)
            return fail(&err, TRAINER_EXIT_BAD_SPEC);
        if (fs_make_dirs(cache, 0755, &err) != STATUS_OK)
            return fail(&err, TRAINER_EXIT_CANNOT_WRITE);
        contract.data_cache = cache;
    }
    static struct train train; /* large, and there is one */
    const int code = run_contract(&contract, &train, &err);
    train_close(&train);
    return code;
}

/* Where a person's job lives: OUTPUT/events.jsonl, OUTPUT/checkpoints, OUTPUT/cache. */
struct places {
    char data[PATH_MAX];
    char cache[PATH_MAX];
    char events[PATH_MAX];
    char checkpoints[PATH_MAX];
    char board[PATH_MAX];
};

static enum status locate_data(const char *folder, const char *spec_path, char out[PATH_MAX],
                               struct error *err)
{
    struct job_spec spec;
    char sha256[SHA256_HEX_BYTES];
    struct error cause = {.status = STATUS_OK};
    const enum status loaded = train_spec_load(spec_path, &spec, sha256, &cause);
    if (loaded != STATUS_OK) /* what the system refuses names the file itself */
        return error_set(err, loaded, "%s%s%s", loaded == STATUS_INVALID ? spec_path : "",
                         loaded == STATUS_INVALID ? ": " : "", cause.text);
    return places_find_data(folder, spec.data.root, out, err);
}

static enum status prepare_output(const struct config *config, struct places *places,
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

static int run_alone(const struct config *config, const char *spec_path)
{
    struct error err = {.status = STATUS_OK};
    if (config->data == NULL || config->output == NULL) {
        (void)error_set(&err, STATUS_INVALID, "train needs --data DIR and --output DIR");
        return fail(&err, EXIT_USAGE);
    }
    static struct places places;
    if (locate_data(config->data, spec_path, places.data, &err) != STATUS_OK)
        return fail(&err, TRAINER_EXIT_BAD_SPEC);
    if (prepare_output(config, &places, &err) != STATUS_OK)
        return fail(&err, TRAINER_EXIT_CANNOT_WRITE);
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
    const int code = run_contract(&contract, &train, &err);
    if (code == TRAINER_EXIT_DONE)
        print_results(&train);
    train_close(&train);
    return code;
}

static int run_decode(const struct config *config, const char *spec_path)
{
    struct error err = {.status = STATUS_OK};
    if (config->data == NULL || config->cache == NULL) {
        (void)error_set(&err, STATUS_INVALID, "decode needs --data DIR and --cache DIR");
        return fail(&err, EXIT_USAGE);
    }
    static struct job_spec spec;
    static char data[PATH_MAX];
    char sha256[SHA256_HEX_BYTES];
    if (locate_data(config->data, spec_path, data, &err) != STATUS_OK ||
        train_spec_load(spec_path, &spec, sha256, &err) != STATUS_OK)
        return fail(&err, TRAINER_EXIT_BAD_SPEC);
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
        return fail(&err,
                    status == STATUS_NO_SPACE ? TRAINER_EXIT_CANNOT_WRITE : TRAINER_EXIT_BAD_DATA);
    return TRAINER_EXIT_DONE;
}

static int run_make_data(const struct config *config, const char *kind)
{
    struct error err = {.status = STATUS_OK};
    struct makedata_request request = {
        .folder = config->output, .rows = config->rows, .seed = (uint64_t)config->seed};
    if (config->output == NULL) {
        (void)error_set(&err, STATUS_INVALID, "make-data needs --output DIR");
        return fail(&err, EXIT_USAGE);
    }
    if (makedata_kind_of(kind, &request.kind, &err) != STATUS_OK)
        return fail(&err, EXIT_USAGE);
    if (makedata_write(&request, &err) != STATUS_OK)
        return fail(&err, TRAINER_EXIT_CANNOT_WRITE);
    return TRAINER_EXIT_DONE;
}

static int run_evaluate(const struct config *config, const char *model)
{
    struct error err = {.status = STATUS_OK};
    if (config->data == NULL) {
        (void)error_set(&err, STATUS_INVALID, "evaluate needs --data DIR");
        return fail(&err, EXIT_USAGE);
    }
    const struct evaluate_request request = {
        .model = model, .data = config->data, .file = config->file, .labels = config->labels};
    CLEANUP(buf_clear) struct buf line;
    buf_init(&line, LINE_BYTES_MAX);
    const enum trainer_exit code = evaluate_run(&request, &line, &err);
    if (code != TRAINER_EXIT_DONE)
        return fail(&err, (int)code);
    return fputs(line.data, stdout) < 0 ? TRAINER_EXIT_CANNOT_WRITE : TRAINER_EXIT_DONE;
}

static int run_predict(const struct config *config, const char *model)
{
    struct error err = {.status = STATUS_OK};
    (void)signal(SIGPIPE, SIG_IGN); /* then it is an error, and what is temporary is removed */
    const struct predict_request request = {.model = model,
                                            .data = config->data,
                                            .json = config->json,
                                            .top_k = config->top_k,
                                            .users = config->users,
                                            .exclude_seen = config->exclude_seen};
    const enum trainer_exit code = predict_run(&request, stdout, &err);
    return code == TRAINER_EXIT_DONE ? (int)code : fail(&err, (int)code);
}

static int run_numerics(const struct config *config, const char *unused)
{
    (void)config;
    (void)unused;
    struct error err = {.status = STATUS_OK};
    char line[NUMERICS_LINE_BYTES];
    if (numerics_describe(line, &err) != STATUS_OK)
        return fail(&err, TRAINER_EXIT_INTERNAL);
    return puts(line) < 0 ? TRAINER_EXIT_CANNOT_WRITE : TRAINER_EXIT_DONE;
}

struct verb {
    const char *name;
    int words; /* itself and what follows */
    int (*run)(const struct config *config, const char *word);
};

static const struct verb verbs[] = {
    {"train", WORDS_MAX, run_alone},         /* SPEC.json */
    {"decode", WORDS_MAX, run_decode},       /* SPEC.json */
    {"evaluate", WORDS_MAX, run_evaluate},   /* MODEL.safetensors */
    {"predict", WORDS_MAX, run_predict},     /* MODEL.safetensors */
    {"make-data", WORDS_MAX, run_make_data}, /* table, text, interactions */
    {"numerics", 1, run_numerics},
};

static int refuse_words(char *const *words, int count)
{
    struct error err = {.status = STATUS_OK};
    for (size_t i = 0; i < COUNT_OF(verbs) && count > 0; i++) {
        if (strcmp(words[0], verbs[i].name) == 0)
            (void)error_set(&err, STATUS_INVALID, "%s takes %d words, got %d: see --help", words[0],
                            verbs[i].words - 1, count - 1);
    }
    if (err.status == STATUS_OK)
        (void)error_set(&err, STATUS_INVALID, "expected a verb, got \"%.64s\": see --help",
                        count > 0 ? words[0] : "");
    return fail(&err, EXIT_USAGE);
}

int main(int argc, char **argv, char **environment)
{
    const int64_t process_boot_ms = clock_boot_ms();
    log_setup("reprise-trainer", LOG_INFO, false);
    if (argc == 1)
        return run_rank(environment, process_boot_ms);
    struct config config = {.data = NULL};
    int words = 0;
    switch (option_parse(&program, argc, argv, &config, &words)) {
    case OPTION_EXIT_OK:
        return 0;
    case OPTION_EXIT_USAGE:
        return EXIT_USAGE;
    case OPTION_RUN:
        break;
    }
    for (size_t i = 0; i < COUNT_OF(verbs); i++) {
        if (words == verbs[i].words && strcmp(argv[1], verbs[i].name) == 0)
            return verbs[i].run(&config, words == WORDS_MAX ? argv[2] : NULL);
    }
    return refuse_words(argv + 1, words);
}
