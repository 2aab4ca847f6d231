#ifndef SERVICE_API_JOBS_H
#define SERVICE_API_JOBS_H

/* jobs.h - /v1/jobs: submit and retry (jobs_submit.c), read (jobs_read.c), act (jobs_act.c). */

#include "service/api/object.h"

/* The job of the path, as its caller may see it. */
object_read_fn jobs_read_one;

void jobs_submit(struct http_request *request);
void jobs_retry(struct http_request *request);

void jobs_list(struct http_request *request);
void jobs_get(struct http_request *request);
void jobs_attempts(struct http_request *request);
void jobs_events(struct http_request *request);
void jobs_checkpoints(struct http_request *request);
void jobs_model(struct http_request *request);

void jobs_cancel(struct http_request *request);
void jobs_checkpoint(struct http_request *request);
void jobs_pause(struct http_request *request);
void jobs_resume(struct http_request *request);
void jobs_explain(struct http_request *request);

void jobs_metrics(struct http_request *request);
void jobs_logs(struct http_request *request);

#endif
