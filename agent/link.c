#include "agent/link.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fs.h"

#define LISTEN_BACKLOG 128 /* agents that die while their runner is stopped stay in it */

static enum status open_folder(const char *folder, int *out_fd, struct sockaddr_un *address,
                               struct error *err)
{
    const int fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return error_set_errno(err, status_of_errno(errno), errno, "open %s", folder);
    memset(address, 0, sizeof(*address));
    address->sun_family = AF_UNIX;
    (void)snprintf(address->sun_path, sizeof(address->sun_path), "/proc/self/fd/%d/%s", fd,
                   RUNNER_SOCKET_NAME);
    *out_fd = fd;
    return STATUS_OK;
}

enum status link_listen(const char *folder, int *out_fd, struct error *err)
{
    struct sockaddr_un address;
    CLEANUP(fd_cleanup) int folder_fd = -1;
    TRY(open_folder(folder, &folder_fd, &address, err));
    (void)unlinkat(folder_fd, RUNNER_SOCKET_NAME, 0);
    CLEANUP(fd_cleanup) int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) != 0 ||
        listen(fd, LISTEN_BACKLOG) != 0)
        return error_set_errno(err, STATUS_INTERNAL, errno, "listen on %s/%s", folder,
                               RUNNER_SOCKET_NAME);
    *out_fd = fd;
    fd = -1;
    return STATUS_OK;
}

enum status link_connect(const char *folder, int *out_fd, struct error *err)
{
    struct sockaddr_un address;
    CLEANUP(fd_cleanup) int folder_fd = -1;
    TRY(open_folder(folder, &folder_fd, &address, err));
    CLEANUP(fd_cleanup) int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return error_set_errno(err, STATUS_INTERNAL, errno, "make a socket");
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
        const bool nobody = errno == ECONNREFUSED || errno == ENOENT;
        return error_set_errno(err, nobody ? STATUS_NOT_FOUND : STATUS_UNAVAILABLE, errno,
                               "connect to %s/%s", folder, RUNNER_SOCKET_NAME);
    }
    *out_fd = fd;
    fd = -1;
    return STATUS_OK;
}

enum status link_send(int fd, enum runner_command_kind kind, int64_t value_ms, struct error *err)
{
    const struct runner_command command = {
        .version = RUNNER_PROTOCOL_VERSION, .kind = kind, .value_ms = value_ms};
    if (send(fd, &command, sizeof(command), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        return error_set_errno(err, STATUS_UNAVAILABLE, errno, "tell the runner %d", (int)kind);
    return STATUS_OK;
}

enum link_outcome link_receive(int fd, struct runner_news *out, int *out_page_fd)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec part = {.iov_base = out, .iov_len = sizeof(*out)};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof(control.bytes)};
    ssize_t got;
    *out_page_fd = -1;
    do
        got = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    if (got < 0 && errno == EAGAIN)
        return LINK_NOTHING;
    if (got != (ssize_t)sizeof(*out) || out->version != RUNNER_PROTOCOL_VERSION)
        return LINK_CLOSED; /* gone, or of a release that we can't talk to */
    const struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS)
        memcpy(out_page_fd, CMSG_DATA(header), sizeof(*out_page_fd));
    return LINK_NEWS;
}
