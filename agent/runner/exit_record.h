#ifndef RUNNER_EXIT_RECORD_H
#define RUNNER_EXIT_RECORD_H

/*
 * exit_record.h - exit.json: what outlives the runner. Written whole after each end, durably
 * (fsync, rename, fsync of the folder), before anybody is told.
 *
 *   {"version":1,"job":"job_...","attempt":2,"boot_id":"...","runner":{"pid":7,"start_time":9},
 *    "complete":true,"ranks":[{"rank":0,"pid":8,"start_time":10,"ended":true,"code":69,"signal":0,
 *    "oom":false,"reason":"none","end_boot_ms":123,"step":812,"phase":1,"detail":""}]}
 */

#include <stdbool.h>
#include <stddef.h>

#include "agent/runner/orders.h"
#include "agent/runner/rank.h"

/* Writes into the current folder; false with the reason on stderr. */
bool exit_record_write(const struct orders *orders, const struct rank *ranks, size_t count);

#endif
