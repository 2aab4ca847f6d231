#ifndef TESTS_BENCH_LOAD_H
#define TESTS_BENCH_LOAD_H

/*
 * load.h - an HTTP/1.1 load generator: a fixed number of kept-alive connections in one thread, each
 * with one request in flight. Raw sockets and epoll, so that it costs less than what it measures.
 */

#include <stddef.h>
#include <stdint.h>

#include "tests/bench/bench.h"

#define LOAD_CONNECTIONS_MAX 1024

struct load {
    const char *url;     /* "http://127.0.0.1:8484" */
    const char *request; /* whole bytes of one request, sent again and again */
    size_t request_bytes;
    int connections;
    int64_t duration_ms;
    int expected_code;
    /* Filled by load_run(). */
    int64_t answers;
    int64_t unexpected; /* answers of another code, and broken connections */
    double seconds;
    struct bench_samples latency_us;
};

/* Runs the load; aborts the process on what only a broken test can cause. */
void load_run(struct load *load);

#endif
