#include "trainer/progress.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"

enum status progress_open(const char *path, struct progress_page **out, struct error *err)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS;
    CLEANUP(fd_cleanup) int fd = -1;
    if (path != NULL) {
        flags = MAP_SHARED;
        fd = open(path, O_RDWR | O_CLOEXEC);
        if (fd < 0)
            return error_set_errno(err, status_of_errno(errno), errno, "open progress page %s",
                                   path);
        if (lseek(fd, 0, SEEK_END) < PROGRESS_PAGE_BYTES)
            return error_set(err, STATUS_INVALID, "progress page %s is under %d bytes", path,
                             PROGRESS_PAGE_BYTES);
    }
    void *page = mmap(NULL, PROGRESS_PAGE_BYTES, PROT_READ | PROT_WRITE, flags, fd, 0);
    if (page == MAP_FAILED)
        return error_set_errno(err, STATUS_NO_MEMORY, errno, "map progress page");
    *out = page;
    progress_enter(*out, PROGRESS_SETUP);
    atomic_store(&(*out)->magic, PROGRESS_PAGE_MAGIC);
    return STATUS_OK;
}

void progress_close(struct progress_page *page)
{
    if (page != NULL)
        (void)munmap(page, PROGRESS_PAGE_BYTES);
}

void progress_enter(struct progress_page *page, enum progress_phase phase)
{
    const uint64_t now = (uint64_t)clock_boot_ms();
    atomic_store(&page->phase, (uint64_t)phase);
    atomic_store(&page->phase_since_boot_ms, now);
    atomic_store(&page->beat_boot_ms, now);
}

void progress_step(struct progress_page *page, int64_t step)
{
    const uint64_t now = (uint64_t)clock_boot_ms();
    atomic_store(&page->step, (uint64_t)step);
    atomic_store(&page->step_since_boot_ms, now);
    atomic_store(&page->beat_boot_ms, now);
}
