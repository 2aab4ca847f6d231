#ifndef TESTS_BENCH_PROBE_SUBMIT_SQL_H
#define TESTS_BENCH_PROBE_SUBMIT_SQL_H

/*
 * probe_submit_sql.h - the raw probe beside `submit_durable_64`: the SQL of a submit and nothing else. One thread runs
 * the same statements (key looked up, job inserted, first event inserted) with the same bytes in
 * batches, each batch one durable commit, on a database of its own. No HTTP, no JSON, no brain.
 */

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct probe_submit_sql {
    const char *folder; /* empty; on the disk that the service would use */
    const char *spec;   /* canonical text, as the service stores it */
    const char *labels; /* JSON object text */
    size_t batch;       /* jobs a commit */
    int64_t duration_ms;
};

MUST_CHECK enum status probe_submit_sql(const struct probe_submit_sql *probe,
                                        double *out_rows_per_second, struct error *err);

#endif
