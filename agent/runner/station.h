#ifndef RUNNER_STATION_H
#define RUNNER_STATION_H

/*
 * station.h - runner.sock: the agents that listen, what they ask, what they are told.
 *
 * At most STATION_PEERS_MAX connections; a further one takes the place of the oldest, because an
 * agent that comes back matters more than one that never closed. Sending never waits: a peer whose
 * buffer is full is closed and finds everything in exit.json.
 */

#include <stdbool.h>
#include <stddef.h>

#include "agent/runner/rank.h"
#include "agent/runner/runner_protocol.h"

#define STATION_PEERS_MAX 4

struct station {
    int epoll_fd;
    int listen_fd;
    int peers[STATION_PEERS_MAX]; /* -1: free */
    const struct rank *ranks;
    size_t rank_count;
};

/* Adds the listening socket to the epoll, with itself as event.data.fd, as its peers later. */
bool station_open(struct station *station, int epoll_fd, int listen_fd, const struct rank *ranks,
                  size_t rank_count);
void station_accept(struct station *station);
/* The slot of this peer, or -1. */
int station_find(const struct station *station, int fd);
/* Takes one command; false when there is none (closed peers are removed). */
bool station_receive(struct station *station, int peer, struct runner_command *out);
void station_tell_rank(struct station *station, const struct rank *rank);
void station_tell_all(struct station *station, int peer, bool with_pages);

#endif
