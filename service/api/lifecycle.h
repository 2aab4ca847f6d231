#ifndef SERVICE_API_LIFECYCLE_H
#define SERVICE_API_LIFECYCLE_H

/*
 * lifecycle.h - brings the service's rooms up in the order in which they need one another, and down
 * again: what was accepted is answered, what was answered is durable.
 */

#include "service/api/api.h"

struct api_options {
    const char *data_dir; /* exists; borrowed */
    const char *listen;
    const char *agents_listen;
    const struct brain_profile *profile;
    const char *web_dir; /* NULL: the page inside the binary; borrowed */
};

MUST_CHECK enum status api_open(const struct api_options *options, struct api **out,
                                struct error *err);
/* Stops accepting, answers what is held, commits what is queued, closes. Accepts NULL. */
void api_close(struct api *api);

#endif
