/* verbs_other.c - invented data, and this machine's arithmetic. */
#include <stdio.h>

#include "trainer/makedata.h"
#include "trainer/numerics.h"
#include "trainer/verbs.h"

static int run_make_data(const struct verb_config *config, const char *kind)
{
    struct error err = {.status = STATUS_OK};
    struct makedata_request request = {
        .folder = config->output, .rows = config->rows, .seed = (uint64_t)config->seed};
    if (makedata_kind_of(kind, &request.kind, &err) != STATUS_OK)
        return verb_fail(&err, EXIT_USAGE);
    if (makedata_write(&request, &err) != STATUS_OK)
        return verb_fail(&err, TRAINER_EXIT_CANNOT_WRITE);
    return TRAINER_EXIT_DONE;
}

static const struct option_row make_data_rows[] = {
    {"output", OPTION_TEXT, offsetof(struct verb_config, output), .required = true, .value = "DIR",
     .help = "folder for the files; made if it is missing"},
    {"rows", OPTION_INT, offsetof(struct verb_config, rows), .value = "N", .min = MAKEDATA_ROWS_MIN,
     .max = MAKEDATA_ROWS_MAX, .help = "lines of the training file (default: a few thousand)"},
    {"seed", OPTION_INT, offsetof(struct verb_config, seed), .value = "N", .max = INT64_MAX,
     .initial = "1", .help = "another seed gives other data"},
    OPTION_END};

const struct verb verb_make_data = {
    .program =
        {.name = VERB_PREFIX "make-data",
         .synopsis = "KIND --output DIR [options]",
         .about =
             "Writes an invented data set, the same bytes on every machine. KIND is one of\n"
             "  table         loans.csv: numbers, categories, missing values; "
             "deploy/jobs/credit-small.json\n"
             "  text          train.tsv, test.tsv: sentiments; deploy/jobs/reviews-small.json\n"
             "  interactions  train.tsv, test.tsv: user, item, time; "
             "deploy/jobs/shop-small.json",
         .rows = make_data_rows,
         .epilogue = "example:\n"
                     "  reprise-trainer make-data table --rows 100000 --output /tmp/credit-small\n"
                     "  reprise-trainer train deploy/jobs/credit-small.json --data /tmp --output "
                     "/tmp/credit\n\n"
                     "exit codes:\n"
                     "  0 done, 64 usage, 73 cannot write"},
    .word = "KIND",
    .run = run_make_data,
};

static int run_numerics(const struct verb_config *config, const char *unused)
{
    (void)config;
    (void)unused;
    struct error err = {.status = STATUS_OK};
    char line[NUMERICS_LINE_BYTES];
    if (numerics_describe(line, &err) != STATUS_OK)
        return verb_fail(&err, TRAINER_EXIT_INTERNAL);
    return puts(line) < 0 ? TRAINER_EXIT_CANNOT_WRITE : TRAINER_EXIT_DONE;
}

static const struct option_row numerics_rows[] = {OPTION_END};

const struct verb verb_numerics = {
    .program = {.name = VERB_PREFIX "numerics",
                .synopsis = "[options]",
                .about =
                    "Names this machine's arithmetic in one line, a hash first: where it is the "
                    "same, so are the bits\n"
                    "of what is trained. An agent reports it for its node.",
                .rows = numerics_rows,
                .epilogue = "exit codes:\n"
                            "  0 done, 70 internal error, 73 cannot write"},
    .run = run_numerics,
};
