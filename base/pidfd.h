#ifndef BASE_PIDFD_H
#define BASE_PIDFD_H

/*
 * pidfd.h - a process held by a descriptor: it can't be mistaken for a later one with the same number, and it is
 * readable once the process has ended. glibc has wrappers since 2.36 only; Ubuntu 22.04 has 2.35.
 */

#include <signal.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

/* A close-on-exec descriptor, or -1 with errno. */
static inline int pidfd_of(pid_t pid)
{
    return (int)syscall(SYS_pidfd_open, pid, 0);
}

/* 0, or -1 with errno. */
static inline int pidfd_kill(int fd, int signal)
{
    return (int)syscall(SYS_pidfd_send_signal, fd, signal, NULL, 0);
}

/* Takes in the end of a child, if it has ended; does nothing to a process that is nobody's child here. */
static inline void pidfd_reap(int fd)
{
    const idtype_t by_pidfd = (idtype_t)3; /* P_PIDFD of the kernel */
    siginfo_t info;
    (void)waitid(by_pidfd, (id_t)fd, &info, WEXITED | WNOHANG);
}

#endif
