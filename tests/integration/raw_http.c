#include "tests/integration/raw_http.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fs.h"
#include "tests/unit/unit.h"

#define ANSWER_BYTES (4 * MIB)
#define WAIT_MS      10000

uint16_t raw_port(const char *url)
{
    return (uint16_t)strtol(strrchr(url, ':') + 1, NULL, 10);
}

static int dial(uint16_t port)
{
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static bool receive_some(int fd, struct buf *out)
{
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    char piece[4096];
    if (poll(&ready, 1, WAIT_MS) != 1)
        fail_msg("no answer within %d ms", WAIT_MS);
    const ssize_t size = recv(fd, piece, sizeof(piece), 0);
    if (size > 0)
        buf_append(out, piece, (size_t)size);
    return size > 0;
}

void raw_ask(uint16_t port, const void *bytes, size_t size, struct raw_answer *out)
{
    *out = (struct raw_answer){0};
    buf_init(&out->head, ANSWER_BYTES);
    buf_init(&out->body, ANSWER_BYTES);
    CLEANUP(fd_cleanup) const int fd = dial(port);
    const char *from = bytes;
    while (size > 0) {
        const ssize_t sent = send(fd, from, size, MSG_NOSIGNAL);
        if (sent <= 0)
            break; /* the server has seen enough */
        from += sent;
        size -= (size_t)sent;
    }
    CLEANUP(buf_clear) struct buf text;
    buf_init(&text, ANSWER_BYTES);
    const char *end = NULL;
    while ((end = strstr(text.data, "\r\n\r\n")) == NULL) {
        if (!receive_some(fd, &text))
            return;
    }
    buf_append(&out->head, text.data, (size_t)(end - text.data) + 2);
    buf_consume(&text, (size_t)(end - text.data) + 4);
    out->code = (int)strtol(out->head.data + strlen("HTTP/1.1 "), NULL, 10);
    const char *length = strcasestr(out->head.data, "Content-Length: ");
    const size_t wanted = length != NULL ? (size_t)strtol(length + 16, NULL, 10) : 0;
    while (text.size < wanted && receive_some(fd, &text))
        continue;
    buf_append(&out->body, text.data, text.size);
}

void raw_answer_clear(struct raw_answer *answer)
{
    buf_clear(&answer->head);
    buf_clear(&answer->body);
}
