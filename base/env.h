#ifndef BASE_ENV_H
#define BASE_ENV_H

/* env.h - the environment variables that are no option of ours: NO_COLOR, HOME, XDG_CONFIG_HOME. For main files and
 * the CLI only. */

/* The value, or NULL when it is unset or empty. Borrowed for the life of the process. */
const char *env_get(const char *name);

#endif
