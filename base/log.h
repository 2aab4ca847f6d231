#ifndef BASE_LOG_H
#define BASE_LOG_H

/*
 * log.h - one line a happening on stderr, as text or JSON. For main files and loops only: libraries
 * return errors instead. `event` is a stable word; fields are key, value pairs ending with NULL.
 *
 *     log_write(LOG_INFO, "attempt_started", "gang is up", "job", id, "attempt", "2", NULL);
 *
 * Threads: any; each line is one write(2).
 */

#include <stdbool.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

/* Call once in main before threads start. `program` is borrowed for the life of the process. */
void log_setup(const char *program, enum log_level level, bool json);
bool log_level_parse(const char *name, enum log_level *out);
void log_write(enum log_level level, const char *event, const char *message, ...)
    __attribute__((sentinel));

#endif
