#ifndef AGENT_OUTPUT_H
#define AGENT_OUTPUT_H

/*
 * output.h - what a rank writes to stdout or stderr, on its way to the controller. It keeps the first
 * 64 KiB and the last 1 MiB of a rank, so a longer backlog is skipped to its tail.
 */

#include <stdbool.h>
#include <stdint.h>

#include "agent/local.h"
#include "base/error.h"
#include "base/http_client.h"

#define OUTPUT_CHUNK_BYTES (64 * KIB)
#define OUTPUT_HEAD_BYTES  (64 * KIB)
#define OUTPUT_TAIL_BYTES  (1 * MIB)

struct output {
    char job[ID_BYTES_MAX];
    int64_t attempt;
    int64_t rank;
    const char *stream; /* "stdout" or "stderr" */
    char offset_path[LOCAL_FOLDER_BYTES + 64];
    int fd;
    int64_t sent;
    bool refused; /* the controller does not want it: nothing more is sent */
};

MUST_CHECK enum status output_open(struct output *output, const char *job, int64_t attempt,
                                   int64_t rank, const char *folder, const char *stream,
                                   struct error *err);
void output_close(struct output *output);
bool output_pending(const struct output *output);
/* Sends one chunk. STATUS_UNAVAILABLE: try again later. */
MUST_CHECK enum status output_send(struct output *output, struct http_client *client,
                                   struct error *err);

#endif
