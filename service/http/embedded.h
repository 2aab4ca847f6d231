#ifndef SERVICE_HTTP_EMBEDDED_H
#define SERVICE_HTTP_EMBEDDED_H

/*
 * embedded.h - files that travel inside the binary: the table is written by the Makefile from what
 * there is to embed, so nothing is ever served from a path that a client named.
 */

#include <stddef.h>

struct embedded_file {
    const char *name; /* "web/index.html"; NULL ends the table */
    const char *start;
    const char *end;
};
extern const struct embedded_file embedded_files[];

/* NULL when there is no such file. */
const struct embedded_file *embedded_find(const char *name);

#endif
