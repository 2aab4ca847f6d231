#include "service/store/room.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/log.h"

struct limits {
    uint64_t free_bytes;
    uint64_t free_min;
    uint64_t ballast;
};

static uint64_t at_most(uint64_t value, uint64_t most)
{
    return value < most ? value : most;
}

static bool measure(const struct disk_room *room, struct limits *out)
{
    struct statvfs disk;
    if (statvfs(room->folder, &disk) != 0)
        return false; /* the next write tells what is wrong */
    const uint64_t part = (uint64_t)disk.f_blocks * disk.f_frsize / ROOM_DISK_PART;
    *out = (struct limits){.free_bytes = (uint64_t)disk.f_bavail * disk.f_frsize,
                           .free_min = at_most(ROOM_FREE_BYTES_MIN, part),
                           .ballast = at_most(ROOM_BALLAST_BYTES, part)};
    return true;
}

/* Blocks without content: nothing is written, so it takes no time. */
static bool make_ballast(const struct disk_room *room, uint64_t bytes)
{
    CLEANUP(fd_cleanup)
    int fd = open(room->ballast, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return false;
    if (fallocate(fd, 0, 0, (off_t)bytes) == 0)
        return true;
    (void)unlink(room->ballast); /* a part of it would be counted as the whole */
    return false;
}

static void release(struct disk_room *room)
{
    if (unlink(room->ballast) == 0 || errno == ENOENT)
        room->held = false;
}

static void tell(const struct disk_room *room, const struct limits *limits)
{
    char left[24];
    snprintf(left, sizeof(left), "%llu", (unsigned long long)limits->free_bytes);
    if (room->tight)
        log_write(LOG_ERROR, "disk_full", "new jobs are refused until there is room again",
                  "folder", room->folder, "bytes_free", left, NULL);
    else
        log_write(LOG_INFO, "disk_has_room", "new jobs are taken again", "folder", room->folder,
                  "bytes_free", left, NULL);
}

bool room_is_tight(struct disk_room *room)
{
    struct limits limits;
    if (room->folder[0] == '\0' || !measure(room, &limits))
        return room->tight;
    const bool was_tight = room->tight;
    if (limits.free_bytes < limits.free_min) {
        room->tight = true;
        if (room->held)
            release(room);
    } else if (!room->held && limits.free_bytes >= 2 * limits.free_min + limits.ballast) {
        room->held = make_ballast(room, limits.ballast);
        room->tight = false;
    } else if (room->held || limits.free_bytes >= limits.free_min + limits.ballast) {
        room->tight = false;
    }
    if (room->tight != was_tight)
        tell(room, &limits);
    return room->tight;
}

enum status room_open(struct disk_room *room, const char *folder, struct error *err)
{
    *room = (struct disk_room){.held = false};
    TRY(fs_path(room->folder, sizeof(room->folder), err, "%s", folder));
    TRY(fs_path(room->ballast, sizeof(room->ballast), err, "%s/ballast", folder));
    room->held = fs_exists(room->ballast);
    (void)room_is_tight(room);
    return STATUS_OK;
}
