/* metrics.c - series of numbers: as sparklines, CSV or JSON. */
#include <float.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "cli/cli.h"
#include "cli/output.h"
#include "cli/verbs.h"

#define SPARK_CELLS  48
#define POINTS_TABLE 480
#define POINTS_MAX   100000

struct metrics_config {
    struct cli_common common;
    int64_t points;
    bool csv;
    bool all;
};

static void append_spark(const json_t *values, double low, double high, struct buf *out)
{
    static const char *const levels[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    const size_t top = COUNT_OF(levels) - 1;
    const size_t count = json_array_size(values);
    const size_t cells = count < SPARK_CELLS ? count : SPARK_CELLS;
    for (size_t cell = 0; cell < cells; cell++) {
        const size_t from = cell * count / cells;
        const size_t to = (cell + 1) * count / cells;
        double sum = 0;
        for (size_t i = from; i < to; i++)
            sum += json_number_value(json_array_get(values, i));
        const double mean = sum / (double)(to - from);
        const double share = high > low ? (mean - low) / (high - low) : 0;
        buf_append_text(out, levels[(size_t)(share * (double)top + 0.5)]);
    }
}

static void print_spark(const char *name, const json_t *series)
{
    const json_t *values = json_object_get(series, "value");
    double low = DBL_MAX;
    double high = -DBL_MAX;
    size_t i = 0;
    json_t *value = NULL;
    json_array_foreach(values, i, value) {
        const double number = json_number_value(value);
        low = number < low ? number : low;
        high = number > high ? number : high;
    }
    if (json_array_size(values) == 0)
        return;
    CLEANUP(buf_clear) struct buf spark;
    buf_init(&spark, CELL_BYTES_MAX);
    append_spark(values, low, high, &spark);
    const json_t *last = json_array_get(values, json_array_size(values) - 1);
    printf("%-20s %s  last %.6g  min %.6g  max %.6g\n", name, spark.data, json_number_value(last),
           low, high);
}

static double number_at(const json_t *series, const char *key, size_t index, double otherwise)
{
    const json_t *value = json_array_get(json_object_get(series, key), index);
    return json_is_number(value) ? json_number_value(value) : otherwise;
}

static void print_csv_series(const char *name, const json_t *series)
{
    const json_t *steps = json_object_get(series, "step");
    for (size_t i = 0; i < json_array_size(steps); i++) {
        const double value = number_at(series, "value", i, 0);
        printf("%s,%.0f,%.0f,%.9g,%.9g,%.9g\r\n", name, number_at(series, "step", i, 0),
               number_at(series, "attempt", i, 0), value, number_at(series, "min", i, value),
               number_at(series, "max", i, value));
    }
}

static void print_series(const struct cli *cli, const json_t *all, bool csv)
{
    const char *name = NULL;
    json_t *series = NULL;
    if (cli->output == OUTPUT_JSON || cli->output == OUTPUT_JSONL) {
        print_document(cli, all);
        return;
    }
    if (csv)
        fputs("name,step,attempt,value,min,max\r\n", stdout);
    json_object_foreach((json_t *)(uintptr_t)all, name, series) {
        if (csv)
            print_csv_series(name, series);
        else if (cli->output == OUTPUT_NAME)
            puts(name);
        else
            print_spark(name, series);
    }
}

static int run_metrics(struct cli *cli, const void *config, char **words, int count)
{
    const struct metrics_config *metrics = config;
    const bool csv = metrics->csv || cli->output == OUTPUT_CSV;
    const bool table = cli->output == OUTPUT_TABLE && !csv;
    char id[ID_BYTES_MAX];
    CLI_TRY(cli_resolve_job(cli, words[0], true, id));
    CLEANUP(buf_clear) struct buf path;
    buf_init(&path, CLI_PATH_BYTES);
    const int64_t points = metrics->points ? metrics->points : table ? POINTS_TABLE : 0;
    buf_printf(&path, "/v1/jobs/%s/metrics?lineage=%s", id, metrics->all ? "all" : "effective");
    if (points > 0)
        buf_printf(&path, "&points=%lld", (long long)points);
    for (int i = 1; i < count; i++) {
        buf_append_text(&path, i == 1 ? "&names=" : ",");
        url_append_escaped(&path, words[i]);
    }
    CLEANUP(json_cleanup) json_t *answer = NULL;
    CLI_TRY(cli_get(cli, &answer, "%s", path.data));
    print_series(cli, answer, csv);
    int rc = EXIT_DONE;
    for (int i = 1; i < count; i++) {
        if (json_object_get(answer, words[i]) || strchr(words[i], ','))
            continue;
        cli_complain(cli, "%s has no values of %s", id, words[i]);
        rc = EXIT_NOT_FOUND;
    }
    return rc;
}

static const struct option_row metrics_rows[] = {
    {.name = "points",
     .environment = "",
     .kind = OPTION_INT,
     .offset = offsetof(struct metrics_config, points),
     .min = 0,
     .max = POINTS_MAX,
     .initial = "0",
     .value = "N",
     .help = "at most so many a series, each with the minimum and maximum of its span (default: as "
             "many as the controller gives)"},
    {.name = "csv",
     .environment = "",
     .kind = OPTION_FLAG,
     .offset = offsetof(struct metrics_config, csv),
     .help = "short for -o csv: name,step,attempt,value,min,max"},
    {.name = "all",
     .environment = "",
     .kind = OPTION_FLAG,
     .offset = offsetof(struct metrics_config, all),
     .help = "also what attempts did beyond the step that the next one resumed from"},
    CLI_COMMON_ROWS,
    OPTION_END};

const struct cli_verb verb_metrics = {.program = {.name = "reprise metrics",
                                                  .synopsis = "[OPTION...] JOB [NAME...]",
                                                  .about = "Show the metrics of a job.",
                                                  .rows = metrics_rows},
                                      .config_bytes = sizeof(struct metrics_config),
                                      .words_min = 1,
                                      .words_max = CLI_WORDS_ANY,
                                      .run = run_metrics};
