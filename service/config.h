#ifndef SERVICE_CONFIG_H
#define SERVICE_CONFIG_H

/* config.h - the service's options: one table for flags, environment and file. */

#include "base/log.h"
#include "base/option.h"

struct config {
    const char *data;
    const char *listen;
    const char *agents_listen;
    int profile;         /* index in brain_profiles */
    const char *web_dir; /* NULL: the page inside the binary */
};

extern const struct option_program config_program;

#endif
