#ifndef SERVICE_API_FEED_H
#define SERVICE_API_FEED_H

/*
 * feed.h - tells streams what changed. Whoever changes something notes its id; a thread reads the
 * object as it is then and writes it to the streams that asked for it. Notes of the same object fold
 * into one, so a slow reader costs nobody else anything, and a busy job cannot flood a stream.
 *
 *     loop, telemetry, logs ──▶ note ──▶ feed thread ──▶ subscribers' bounded streams
 *
 * Progress and metrics (feed_job_moved) are told at most every FEED_MOVED_MS a job; changes of state
 * at once. A stream that cannot keep up ends: its client comes again and sees the newest state.
 *
 * Threads: any.
 */

#include "base/error.h"
#include "base/id.h"
#include "service/http/stream.h"
#include "service/store/logs.h"

#define FEED_SUBSCRIBERS_MAX 256
#define FEED_FOLLOWERS_MAX   256 /* of logs */
#define FEED_TOPICS_MAX      16
#define FEED_MOVED_MS        100
#define FEED_HEARTBEAT_MS    15000
#define FEED_LOG_STREAMS     2
#define FEED_NOTES_MAX       1024 /* different objects between two rounds; beyond, all are told anew */

struct api;
struct feed;

MUST_CHECK enum status feed_new(struct api *api, struct feed **out, struct error *err);
void feed_stop(struct feed *feed); /* ends every stream and the thread */
void feed_free(struct feed *feed); /* accepts NULL */

void feed_job_changed(struct feed *feed, const char *job);
void feed_job_moved(struct feed *feed, const char *job);
void feed_node_changed(struct feed *feed, const char *node);
void feed_log_grew(struct feed *feed, const char *job);

/* What a stream is about. */
struct feed_topics {
    size_t job_count;
    char jobs[FEED_TOPICS_MAX][ID_BYTES_MAX];
    bool nodes;
    bool queue;
    bool lines;       /* NDJSON; else server-sent events */
    char project[64]; /* only of this project; "": all */
};

/* Adds a subscriber and tells it the state as it is now. Takes the stream's reference. STATUS_BUSY: too many. */
MUST_CHECK enum status feed_subscribe(struct feed *feed, struct http_stream *stream,
                                      const struct feed_topics *topics, const char *token,
                                      struct error *err);
/* What a follower of a log reads: stdout, stderr or both, each from its own position. */
struct feed_log {
    const char *job;
    int64_t attempt, rank;
    bool wanted[FEED_LOG_STREAMS];
    int64_t offset[FEED_LOG_STREAMS];
};
extern const char *const feed_log_names[]; /* stdout, stderr */
/* Follows until the job, or its attempt, has ended. Takes the stream's reference. */
MUST_CHECK enum status feed_follow(struct feed *feed, struct http_stream *stream,
                                   const struct feed_log *log, const char *token,
                                   struct error *err);
size_t feed_subscribers(struct feed *feed); /* of streams and of logs */
size_t feed_followers(struct feed *feed);   /* of logs alone */

#endif
