#ifndef AGENT_EVENTS_H
#define AGENT_EVENTS_H

/*
 * events.h - one rank's events.jsonl on its way to the controller: from file to batch, from answer
 * back to offsets, and the uploads that its lines ask for.
 *
 *   settled <= acked <= read <= end of file
 *
 * Lines between acked and read are in the batch. Lines between settled and acked are delivered, but
 * a file that one of them names is not yet: after a crash they are looked at again for that alone.
 *
 * Threads: the spool's.
 */

#include <stdbool.h>
#include <stdint.h>

#include "agent/local.h"
#include "agent/tail.h"
#include "agent/upload.h"
#include "base/buf.h"
#include "base/error.h"
#include "schema/wire_event.h"

#define BATCH_BYTES_MAX (256 * KIB)
#define BATCH_LINES_MAX 2048
#define EVENTS_OPEN_MAX 8 /* uploads of one rank under way; then its file has to wait */

struct events {
    char job[ID_BYTES_MAX];
    int64_t attempt;
    int64_t rank;
    char folder[LOCAL_FOLDER_BYTES]; /* the attempt's */
    char offsets_path[LOCAL_FOLDER_BYTES + 64];
    int fd;
    int64_t read;
    struct tail_offsets offsets;
    bool stepped;        /* a first step has been told */
    bool end_of_file;    /* at the last look */
    bool unsaved;        /* offsets are newer than on disk */
    bool complained;     /* that offsets can't be kept */
    size_t dropped;      /* lines that are no events */
    size_t pending;      /* lines of it in the batch */
    int64_t newest_step; /* atomic: of the checkpoints handed to the uploader */
    size_t open_count;
    struct upload *open[EVENTS_OPEN_MAX]; /* handed to the uploader, not back yet */
};

/* A line in the batch. */
struct batch_line {
    struct events *events;
    int64_t start, end; /* offsets */
    int64_t seq;
    struct upload *upload; /* what it asks for once it is acked; owned */
    bool taken;            /* it is acked */
};

struct batch {
    struct buf body;
    size_t count;
    struct batch_line lines[BATCH_LINES_MAX];
    bool urgent;  /* holds a line that people or placement wait for */
    bool stepped; /* holds a rank's start or first step: the node's sync is worth sending too */
};

MUST_CHECK enum status events_open(struct events *events, const char *job, int64_t attempt,
                                   int64_t rank, const char *folder, struct error *err);
void events_close(struct events *events);
/* Adds what the file has to the batch, as far as there is room. */
MUST_CHECK enum status events_read(struct events *events, struct batch *batch, struct error *err);
/* One line of the batch is the controller's now; events_save() when all are told. */
void events_acked(struct events *events, int64_t end);
/* Keeps the offsets on disk, if they have changed. */
void events_save(struct events *events);
/* The file needs nothing more: it is with the controller, or will never be. */
void events_upload_done(struct events *events, const struct upload *upload);
/* Forgets what is in the batch of it: to be read again. */
void events_rewind(struct events *events);
bool events_drained(const struct events *events);

void batch_init(struct batch *batch);
/* Empties. A line whose upload was not taken is read again for it, acked or not. */
void batch_reset(struct batch *batch);

#endif
