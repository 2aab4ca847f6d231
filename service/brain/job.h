#ifndef SERVICE_BRAIN_JOB_H
#define SERVICE_BRAIN_JOB_H

/* job.h - private to the brain: what users and trainers do with jobs. */

#include "service/brain/state.h"

void job_submit(struct brain *brain, const struct brain_input *input);
void job_cancel(struct brain *brain, const struct brain_input *input);
void job_request_checkpoint(struct brain *brain, const struct brain_input *input);
void job_take_result(struct brain *brain, const struct brain_input *input);
void job_note_first_step(struct brain *brain, const struct brain_input *input);

/* Judges what the job's deadlines have come to; called on a tick. */
void job_judge(struct brain *brain, struct job *job);

#endif
