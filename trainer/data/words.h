#ifndef TRAINER_DATA_WORDS_H
#define TRAINER_DATA_WORDS_H

/*
 * words.h - the words of a text: runs of a-z, 0-9 and the apostrophe after lower-casing; "<br />", which
 * reviews from the web are full of, is no word. Lower-casing is Unicode's, so two characters that are
 * not ASCII become letters that are: the Kelvin sign a k, and the capital dotted I an i that ends the word.
 */

#include <stdbool.h>
#include <stddef.h>

#define WORD_BYTES_MAX 256 /* of which longer words keep the first */

struct word_cursor {
    const char *at;
    const char *end;
    size_t size; /* of the last word */
    char word[WORD_BYTES_MAX];
};

void words_begin(struct word_cursor *cursor, const char *text, size_t size);
bool words_next(struct word_cursor *cursor); /* false at the end */

#endif
