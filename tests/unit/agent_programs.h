#ifndef TESTS_UNIT_AGENT_PROGRAMS_H
#define TESTS_UNIT_AGENT_PROGRAMS_H

/* agent_programs.h - the built programs beside this test, and processes in a test's words. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Path of build/bin/<name>; false if it is not built. */
bool program_path(const char *name, char out[512]);
bool pid_alive(pid_t pid); /* zombies are dead */
/* Looks every few milliseconds, for at most ten seconds. */
bool wait_pid_gone(pid_t pid);
bool wait_file(const char *path);
bool wait_gone(const char *path);
/* The number in a file, once it is there and ends with a newline; -1 after ten seconds. */
int64_t wait_number(const char *path);
void write_text(const char *path, const char *text, mode_t mode);

#endif
