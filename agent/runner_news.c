#include "agent/runner_news.h"

#include <sys/mman.h>
#include <unistd.h>

static const enum reason reasons[RUNNER_REASON_COUNT] = {
    [RUNNER_REASON_NONE] = REASON_NONE,
    [RUNNER_REASON_HANG] = REASON_HANG,
    [RUNNER_REASON_START_FAILED] = REASON_START_FAILED,
    [RUNNER_REASON_NODE_LOST] = REASON_NODE_LOST,
};

static const struct progress_page *map_page(int fd)
{
    void *page = mmap(NULL, PROGRESS_PAGE_BYTES, PROT_READ, MAP_SHARED, fd, 0);
    return page == MAP_FAILED ? NULL : page;
}

static void take_end(struct local_rank *rank, const struct runner_news *news)
{
    rank->ended = true;
    rank->exit_code = news->exit_code;
    rank->exit_signal = news->exit_signal;
    rank->exit_oom = news->oom;
    rank->end_boot_ms = news->end_boot_ms;
    rank->exit_reason = news->reason >= 0 && news->reason < RUNNER_REASON_COUNT
                            ? reasons[news->reason]
                            : REASON_NONE;
    local_set_detail(rank, news->detail);
}

bool runner_news_apply(struct local *local, const struct runner_news *news, int page_fd)
{
    bool changed = !local->answered;
    local->answered = true;
    struct local_rank *rank = news->kind == RUNNER_RANK ? local_find_rank(local, news->rank) : NULL;
    if (rank && page_fd >= 0 && !rank->page)
        rank->page = map_page(page_fd);
    if (page_fd >= 0)
        (void)close(page_fd);
    if (!rank)
        return changed;
    changed = changed || rank->pid != news->pid;
    rank->pid = news->pid;
    if (news->ended && !rank->ended) {
        take_end(rank, news);
        changed = true;
    }
    return changed;
}
