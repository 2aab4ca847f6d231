/* verbs_model.c - a saved model in use. */
#include <signal.h>
#include <stdio.h>

#include "base/buf.h"
#include "trainer/evaluate.h"
#include "trainer/predict.h"
#include "trainer/verbs.h"

#define LINE_BYTES_MAX (64 * KIB)

static int run_evaluate(const struct verb_config *config, const char *model)
{
    struct error err = {.status = STATUS_OK};
    const struct evaluate_request request = {
        .model = model, .data = config->data, .file = config->file, .labels = config->labels};
    CLEANUP(buf_clear) struct buf line;
    buf_init(&line, LINE_BYTES_MAX);
    const enum trainer_exit code = evaluate_run(&request, &line, &err);
    if (code != TRAINER_EXIT_DONE)
        return verb_fail(&err, (int)code);
    return fputs(line.data, stdout) < 0 ? TRAINER_EXIT_CANNOT_WRITE : TRAINER_EXIT_DONE;
}

static int run_predict(const struct verb_config *config, const char *model)
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
    return code == TRAINER_EXIT_DONE ? (int)code : verb_fail(&err, (int)code);
}

static const struct option_row evaluate_rows[] = {
    {"data", OPTION_TEXT, offsetof(struct verb_config, data), .required = true, .value = "DIR",
     .help = "folder with the data files, or the folder of data sets that has the job's data.root"},
    {"file", OPTION_TEXT, offsetof(struct verb_config, file), .value = "NAME",
     .help = "this file of the folder instead of the job's evaluation part"},
    {"labels", OPTION_TEXT, offsetof(struct verb_config, labels), .value = "NAME",
     .help = "the labels of --file, where they are in a file of their own"},
    OPTION_END};

const struct verb verb_evaluate = {
    .program =
        {.name = VERB_PREFIX "evaluate",
         .synopsis = "MODEL.safetensors --data DIR [options]",
         .about =
             "Prints a saved model's metrics as a line of JSON: on the job's own evaluation "
             "part those that the\n"
             "job reported, to the last digit. The loss is plain: class weights are training's.",
         .rows = evaluate_rows,
         .epilogue = "example:\n"
                     "  reprise-trainer evaluate /tmp/credit/model.safetensors --data deploy/data"
                     "\n\n"
                     "exit codes:\n"
                     "  0 done, 64 usage, 65 a bad model or bad data, 70 internal error, 73 cannot "
                     "write"},
    .word = "MODEL.safetensors",
    .run = run_evaluate,
};

/* REPRISE_DATA names a folder of data sets: not what is to be predicted. */
static const struct option_row predict_rows_of_help[] = {
    {"data", OPTION_TEXT, offsetof(struct verb_config, data), .value = "FILE",
     .help = "table, images or texts (a line each), or - for standard input; recommenders: the "
             "interactions for --exclude-seen. Never from the environment",
     .environment = ""},
    {"json", OPTION_FLAG, offsetof(struct verb_config, json), .help = "print an object a line"},
    {"users", OPTION_TEXT, offsetof(struct verb_config, users), .value = "LIST",
     .help = "recommenders: \"1,2,3\", or all (the default)"},
    {"top-k", OPTION_INT, offsetof(struct verb_config, top_k), .value = "N", .min = 0,
     .max = PREDICT_TOP_K_MAX, .help = "recommenders: items a user (default: the spec's)"},
    {"exclude-seen", OPTION_FLAG, offsetof(struct verb_config, exclude_seen),
     .help = "recommenders: leave out what the user has in --data"},
    OPTION_END};

const struct verb verb_predict = {
    .program =
        {.name = VERB_PREFIX "predict",
         .synopsis = "MODEL.safetensors --data FILE [options]",
         .about = "Prints a line for each row, image or text of a file, in its order, or the best "
                  "items of users.\n"
                  "  tables, images  CSV with a header: class and probabilities, or a value; blank "
                  "lines are no rows\n"
                  "  texts           score, tab, text; an empty line has the score of no words\n"
                  "  recommenders    user, rank, item and score, separated by tabs",
         .rows = predict_rows_of_help,
         .epilogue =
             "examples:\n"
             "  reprise-trainer predict /tmp/credit/model.safetensors --data "
             "deploy/data/credit-small/loans.csv\n"
             "  echo 'the app is not slow' | reprise-trainer predict "
             "/tmp/reviews/model.safetensors --data -\n"
             "  reprise-trainer predict /tmp/shop/model.safetensors --users 0,7 --top-k 5\n\n"
             "exit codes:\n"
             "  0 done, or whoever read the output has seen enough, 64 usage, 65 a bad "
             "model or bad data,\n"
             "  70 internal error, 73 cannot write"},
    .word = "MODEL.safetensors",
    .run = run_predict,
};
