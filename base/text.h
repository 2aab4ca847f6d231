#ifndef BASE_TEXT_H
#define BASE_TEXT_H

/* text.h - bounded copies, UTF-8 and spelling suggestions. Pure. */

#include <stdbool.h>
#include <stddef.h>

/*
 * Copies into `out` of `out_bytes` (≥ 1, NUL included) and says whether all of it fitted. A text
 * that does not fit is cut between two characters, so that valid UTF-8 stays valid. NULL counts as "";
 * the two may overlap.
 */
bool text_copy(char *out, size_t out_bytes, const char *text);

/* Cuts off a character that a byte-wise copy, such as snprintf()'s, left incomplete at the end. */
void text_drop_partial(char *text);

/* Puts '?' in place of control characters and of bytes that are not UTF-8: safe to show. */
void text_make_printable(char *text);

/* Bytes (1..4) of the UTF-8 character at `text`, of which `left` bytes exist; 0: not UTF-8. */
size_t text_utf8_bytes(const char *text, size_t left);
bool text_is_utf8(const char *text, size_t size);

/* The word of `words` (ends with NULL) that `word` is most likely a misspelling of, or NULL. */
const char *text_closest(const char *const words[], const char *word);

#endif
