#ifndef TRAINER_DATA_JSONL_H
#define TRAINER_DATA_JSONL_H

/*
 * jsonl.h - the fields of one JSON object on one line, without building a document: strings are
 * unescaped in place, numbers stay the text they are. Values that nobody asked for may be nested; they
 * are passed over by their brackets and strings alone. Pure.
 */

#include <stdbool.h>
#include <stddef.h>

#define JSONL_DEPTH_MAX 64

/* Absent: null, or no such key. */
struct jsonl_value {
    const char *text;
    size_t size;
    bool absent;
};

struct jsonl_problem {
    const char *what; /* static text; NULL: none */
    size_t at;        /* byte of the line, counted from 0 */
};

/*
 * values[i] becomes the value of the key names[i] (`count` different ones). False, with *problem, for
 * what is no object, and where a wanted value is nested or comes twice. The line is rewritten.
 */
bool jsonl_read(char *line, size_t size, const char *const names[], size_t count,
                struct jsonl_value *values, struct jsonl_problem *problem);

#endif
