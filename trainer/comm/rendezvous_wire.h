#ifndef TRAINER_COMM_RENDEZVOUS_WIRE_H
#define TRAINER_COMM_RENDEZVOUS_WIRE_H

/* rendezvous_wire.h - private to rendezvous*.c: the messages that follow the handshake. */

#include <stdint.h>

#include "trainer/comm/rendezvous.h"

#define RENDEZVOUS_ASK_MAGIC    UINT32_C(0x47525052) /* "RPRG" */
#define RENDEZVOUS_ANSWER_MAGIC UINT32_C(0x4f525052) /* "RPRO" */
#define RENDEZVOUS_TEXT_MAX     192

/* Client to store, followed by `bytes` bytes: this rank's value. */
struct rendezvous_ask {
    uint32_t magic;
    uint32_t bytes;
    char key[RENDEZVOUS_KEY_BYTES_MAX + 1]; /* NUL-terminated */
};

/* Store to client, followed by `bytes` bytes: all values, or the text of the failure. */
struct rendezvous_answer {
    uint32_t magic;
    uint32_t status; /* enum status */
    uint32_t bytes;
};

#endif
