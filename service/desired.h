#ifndef SERVICE_DESIRED_H
#define SERVICE_DESIRED_H

/*
 * desired.h - what a node should be doing, as the JSON array of its sync answer: the brain's view
 * completed by what only the database knows (specs, data folders, shards to resume from).
 *
 * Threads: the loop's.
 */

#include "base/error.h"
#include "service/brain/brain.h"
#include "service/store/reader.h"

/* *out_json is malloc()ed. *out_revision is 0 when the brain does not know the node. */
MUST_CHECK enum status desired_render(const struct brain *brain, struct reader *reader,
                                      const char *node, char **out_json, int64_t *out_revision,
                                      struct error *err);

#endif
