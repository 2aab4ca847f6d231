#ifndef SERVICE_STORE_ROOM_H
#define SERVICE_STORE_ROOM_H

/*
 * room.h - private to service/store: is there room on the disk for more than what must go on?
 *
 * What grows the database (a new job, a token) is refused while the disk is nearly full; what
 * happens to the jobs that are there still has to be written. For that a file of nothing, the
 * ballast, lies beside the database: when the disk fills up it is removed, and when there is room
 * again it is made again.
 *
 * Threads: one.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/fs.h"

#define ROOM_PATH_BYTES     1024
#define ROOM_FREE_BYTES_MIN (64 * MIB) /* more than a batch of the loop writes */
#define ROOM_BALLAST_BYTES  (32 * MIB)
#define ROOM_DISK_PART      8 /* neither is more than this part of the whole disk */

struct disk_room {
    char folder[ROOM_PATH_BYTES];  /* "": in memory, there is always room */
    char ballast[ROOM_PATH_BYTES]; /* its path */
    bool held;                     /* the ballast is there */
    bool tight;
};

/* Makes the ballast, or removes it when the disk is nearly full already. */
MUST_CHECK enum status room_open(struct disk_room *room, const char *folder, struct error *err);
/* Looks at the disk. True: it is nearly full. Cheap enough for each transaction. */
bool room_is_tight(struct disk_room *room);

#endif
