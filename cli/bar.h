#ifndef CLI_BAR_H
#define CLI_BAR_H

/*
 * bar.h - the progress of one job in one line: redrawn in place on a terminal, printed as a plain line
 * now and then into a pipe. Lines of text that are said meanwhile go above it.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "cli/cli.h"

enum bar_tone { BAR_PLAIN, BAR_GOOD, BAR_BAD };

struct bar {
    const struct cli *cli;
    bool drawn;              /* a bar stands on the last line of the terminal */
    int64_t began_mono_ms;   /* times of said lines count from here */
    int64_t printed_mono_ms; /* pipe: when the last progress line was printed */
    int64_t printed_step;
    /* Rate of the current attempt. */
    int64_t attempt, last_step, last_mono_ms;
    bool moving;        /* it has done a step while we looked */
    double steps_per_s; /* 0: not known yet */
};

void bar_init(struct bar *bar, const struct cli *cli);
void bar_draw(struct bar *bar, const json_t *job);
void bar_say(struct bar *bar, enum bar_tone tone, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Takes the bar off the terminal. */
void bar_clear(struct bar *bar);

#endif
