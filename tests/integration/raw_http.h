#ifndef TESTS_INTEGRATION_RAW_HTTP_H
#define TESTS_INTEGRATION_RAW_HTTP_H

/* raw_http.h - requests as bytes, for what a well-behaved client never sends. */

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

struct raw_answer {
    int code; /* 0: closed without an answer */
    struct buf head;
    struct buf body;
};

/* "http://127.0.0.1:1234" → 1234 */
uint16_t raw_port(const char *url);
/* Sends the bytes on a connection of its own and reads one answer; fails the test when none comes in time. */
void raw_ask(uint16_t port, const void *bytes, size_t size, struct raw_answer *out);
void raw_answer_clear(struct raw_answer *answer);

#endif
