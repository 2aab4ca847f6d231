#ifndef BASE_OPTION_PRIVATE_H
#define BASE_OPTION_PRIVATE_H

/* option_private.h - shared by option.c and option_help.c alone. */

#include "base/option.h"

#define OPTION_ENVIRONMENT_BYTES 80

extern const struct option_row option_common_rows[];

/* REPRISE_JOIN_TOKEN_FILE for --join-token-file; "" when the row has no name there. */
void option_environment_name(const struct option_row *row, char out[OPTION_ENVIRONMENT_BYTES]);
/* "a, b or c"; what does not fit is cut. */
void option_join_names(const char *const names[], char *out, size_t out_bytes);

#endif
