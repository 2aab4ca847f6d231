/*
 * bench_data.c - how fast a CSV file of numbers and categories is read, in MB a second, beside Python's csv
 * module and pandas' C reader on the same file in the same run, in turn.
 *
 *   data_read_*    one pass that finds all fields, makes the numbers floats and hashes the categories, by one
 *                  thread and by one a processor
 *   data_decode_*  everything that a training job waits for once: survey, fit, decoded arrays in the cache
 *   data_number    text to float, against strtof()
 *
 * The probe is pandas' reader (data_number: strtof()); the line of Python's csv module stands by itself.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fs.h"
#include "tests/bench/bench.h"
#include "tests/integration/process.h"
#include "trainer/data/data.h"
#include "trainer/data/fit.h"
#include "trainer/data/number.h"
#include "trainer/data/records.h"

#define PYTHON          "/usr/bin/python3"
#define SCRIPT          "tests/bench/tables.py"
#define NUMERIC         8
#define CATEGORIES      3
#define ROUNDS          5
#define SCRIPT_LIMIT_MS 300000

struct bench_table {
    char folder[64];
    char path[96];
    double megabytes;
    struct data_spec spec;
    struct bench_samples read_one, read_all, decode, csv, pandas;
};

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525U + 1013904223U;
    return *state >> 8;
}

/* Integers, cents, measurements, small and negative numbers; every hundredth one is missing. */
static void write_number(FILE *file, int column, uint32_t bits)
{
    if (bits % 100 == 0)
        return;
    switch (column % 4) {
    case 0:
        (void)fprintf(file, "%u", bits % 100000);
        break;
    case 1:
        (void)fprintf(file, "%u.%02u", bits % 10000, bits % 97);
        break;
    case 2:
        (void)fprintf(file, "%.6f", ((double)bits - 8388608.0) / 1048576.0);
        break;
    default:
        (void)fprintf(file, "%.4e", (double)bits * 1e-9);
        break;
    }
}

static void write_table(struct bench_table *table, int64_t bytes, bool quoted)
{
    FILE *file = fopen(table->path, "we");
    uint32_t state = 7;
    assert_non_null(file);
    (void)fputs("label", file);
    for (int i = 0; i < NUMERIC; i++)
        (void)fprintf(file, ",n%d", i);
    for (int i = 0; i < CATEGORIES; i++)
        (void)fprintf(file, ",c%d", i);
    (void)fputc('\n', file);
    while (ftell(file) < bytes) {
        (void)fprintf(file, "%u", next_random(&state) & 1);
        for (int i = 0; i < NUMERIC; i++) {
            (void)fputc(',', file);
            write_number(file, i, next_random(&state));
        }
        for (int i = 0; i < CATEGORIES; i++)
            (void)fprintf(file, quoted ? ",\"%s, %x\"" : ",%s-%x", i == 1 ? "postcode" : "k",
                          next_random(&state) % 5000);
        (void)fputc('\n', file);
    }
    table->megabytes = (double)ftell(file) / 1e6;
    assert_int_equal(fclose(file), 0);
}

static void make_spec(struct data_spec *spec)
{
    *spec = (struct data_spec){.train = {.format = DATA_CSV, .file = "table.csv"},
                               .separator = ",",
                               .header = true,
                               .column_count = 1 + NUMERIC + CATEGORIES,
                               .columns = {{.name = "label", .kind = COLUMN_LABEL}}};
    for (int i = 0; i < NUMERIC + CATEGORIES; i++) {
        struct data_column *column = &spec->columns[1 + i];
        const bool numeric = i < NUMERIC;
        column->kind = numeric ? COLUMN_NUMERIC : COLUMN_CATEGORY;
        column->buckets = numeric ? 0 : 4096;
        (void)snprintf(column->name, sizeof(column->name), "%c%d", numeric ? 'n' : 'c',
                       numeric ? i : i - NUMERIC);
    }
}

/* ------------------------------------------------------------------ one pass */

struct read_part {
    double sum;
    int64_t rows;
};

static enum status read_record(void *context, void *part_of_chunk, const struct record *record,
                               struct error *err)
{
    const struct data_fit *fit = context;
    struct read_part *part = part_of_chunk;
    float numeric[NUMERIC];
    int32_t category[CATEGORIES];
    struct fit_refusal refusal;
    if (!data_encode_row(fit, record->cells, numeric, category, &refusal))
        return record_refuse(record, refusal.column, refusal.expected, err);
    part->sum += (double)numeric[NUMERIC - 1] + category[0];
    part->rows++;
    return STATUS_OK;
}

static enum status merge_read(void *context, void *part_of_chunk, int64_t chunk, struct error *err)
{
    (void)context;
    (void)part_of_chunk;
    (void)chunk;
    (void)err;
    return STATUS_OK;
}

static double seconds_of_read(const struct bench_table *table, int threads)
{
    static const struct records_pass pass = {sizeof(struct read_part), records_begin_nothing,
                                             read_record, merge_read, records_end_nothing};
    const struct records_policy policy = {.skip = false};
    struct records_skipped skipped;
    struct error err = {.status = STATUS_OK};
    CLEANUP(data_fit_cleanup) struct data_fit *fit = NULL;
    CLEANUP(records_cleanup) struct records *records = NULL;
    const int64_t start = clock_mono_ns();
    if (data_fit_new(&table->spec, &fit, &err) != STATUS_OK)
        fail_msg("%s", err.text);
    const struct records_layout layout = data_fit_layout(fit);
    if (records_open(table->path, &layout, &records, &err) != STATUS_OK ||
        records_run(records, &pass, fit, &policy, threads, &skipped, &err) != STATUS_OK)
        fail_msg("%s", err.text);
    return (double)(clock_mono_ns() - start) / 1e9;
}

static double seconds_of_decode(const struct bench_table *table)
{
    char cache[96];
    struct dataset set = {.mapping = NULL};
    struct error err = {.status = STATUS_OK};
    const struct data_request request = {
        .spec = &table->spec, .role = DATA_TRAIN, .root = table->folder};
    (void)snprintf(cache, sizeof(cache), "%s/cache", table->folder);
    const int64_t start = clock_mono_ns();
    if (dataset_open(&request, cache, &set, &err) != STATUS_OK)
        fail_msg("%s", err.text);
    const double seconds = (double)(clock_mono_ns() - start) / 1e9;
    dataset_close(&set);
    assert_int_equal(fs_remove_tree(cache, NULL), STATUS_OK);
    return seconds;
}

/* False where Debian's python3-pandas is not installed. */
static bool run_python(struct bench_table *table)
{
    struct process_result result;
    double csv = 0.0, pandas = 0.0;
    process_run((const char *const[]){PYTHON, SCRIPT, table->path, NULL}, NULL, NULL,
                SCRIPT_LIMIT_MS, &result);
    const bool fine =
        result.exit_code == 0 && sscanf(result.out.data, "%lf %lf", &csv, &pandas) == 2;
    process_result_clear(&result);
    if (fine) {
        bench_add(&table->csv, table->megabytes / csv);
        bench_add(&table->pandas, table->megabytes / pandas);
    }
    return fine;
}

static void report(struct bench_table *table, const char *kind)
{
    char name[64];
    const double pandas = bench_quantile(&table->pandas, 0.5);
    const struct {
        const char *what;
        struct bench_samples *samples;
        double probe;
    } rows[] = {{"data_read_1_thread", &table->read_one, pandas},
                {"data_read", &table->read_all, pandas},
                {"data_decode", &table->decode, pandas},
                {"data_python_csv", &table->csv, pandas}};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        (void)snprintf(name, sizeof(name), "%s_%s", rows[i].what, kind);
        if (rows[i].samples->count > 0)
            bench_report(name, "MB/s", rows[i].samples, rows[i].probe);
        bench_clear(rows[i].samples);
    }
    bench_clear(&table->pandas);
}

static void measure(bool quoted)
{
    struct bench_table table = {.megabytes = 0.0};
    (void)snprintf(table.folder, sizeof(table.folder), "/tmp/reprise-bench-data-XXXXXX");
    assert_non_null(mkdtemp(table.folder));
    (void)snprintf(table.path, sizeof(table.path), "%s/table.csv", table.folder);
    make_spec(&table.spec);
    write_table(&table, bench_is_short() ? 20000000 : 300000000, quoted);
    bool python = true;
    bench_load_start();
    for (int round = 0; round < (bench_is_short() ? 2 : ROUNDS); round++) {
        bench_add(&table.read_one, table.megabytes / seconds_of_read(&table, 1));
        bench_add(&table.read_all, table.megabytes / seconds_of_read(&table, 0));
        bench_add(&table.decode, table.megabytes / seconds_of_decode(&table));
        python = python && run_python(&table);
    }
    if (!python)
        print_message("python3-pandas is not installed: no comparison\n");
    report(&table, quoted ? "quoted" : "plain");
    assert_int_equal(fs_remove_tree(table.folder, NULL), STATUS_OK);
}

static void tables(void **state)
{
    (void)state;
    measure(false);
}

static void quoted_tables(void **state)
{
    (void)state;
    measure(true);
}

/* ------------------------------------------------------------------ numbers */

#define NUMBERS      4096
#define NUMBER_BYTES 24

/* Millions of numbers a second. */
static double rate_of(char (*texts)[NUMBER_BYTES], bool ours, double *sum)
{
    const int times = bench_is_short() ? 50 : 400;
    const int64_t start = clock_mono_ns();
    for (int time = 0; time < times; time++) {
        for (int i = 0; i < NUMBERS; i++) {
            float value = 0.0F;
            if (!ours)
                value = strtof(texts[i], NULL);
            else if (!number_parse_float(texts[i], strlen(texts[i]), &value))
                fail_msg("%s", texts[i]);
            *sum += (double)value;
        }
    }
    return (double)times * NUMBERS * 1e3 / (double)(clock_mono_ns() - start);
}

static void numbers(void **state)
{
    static char texts[NUMBERS][NUMBER_BYTES];
    struct bench_samples ours = {0}, library = {0};
    uint32_t random = 1;
    double sum = 0.0;
    (void)state;
    for (int i = 0; i < NUMBERS; i++)
        (void)snprintf(texts[i], NUMBER_BYTES, i % 2 == 0 ? "%.4f" : "%.9g",
                       (double)next_random(&random) / 1000.0);
    bench_load_start();
    for (int round = 0; round < ROUNDS; round++) {
        bench_add(&ours, rate_of(texts, true, &sum));
        bench_add(&library, rate_of(texts, false, &sum));
    }
    assert_true(sum > 0.0);
    bench_report("data_number", "million/s", &ours, bench_quantile(&library, 0.5));
    bench_clear(&ours);
    bench_clear(&library);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables),
        cmocka_unit_test(quoted_tables),
        cmocka_unit_test(numbers),
    };
    process_setup();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
