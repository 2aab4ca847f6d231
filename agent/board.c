#include "agent/board.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct board_page {
    const struct progress_page *page;
    int64_t end_boot_ms;
};

struct board {
    pthread_mutex_t mutex;
    size_t attempt_count;
    struct wire_attempt_report *attempts;
    struct board_page **pages; /* beside attempts[i].ranks */
};

enum status board_new(struct board **out, struct error *err)
{
    struct board *board = calloc(1, sizeof(*board));
    if (!board)
        return error_set(err, STATUS_NO_MEMORY, "no memory for the board");
    (void)pthread_mutex_init(&board->mutex, NULL);
    *out = board;
    return STATUS_OK;
}

static void release(struct wire_attempt_report *attempts, struct board_page **pages, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(attempts[i].ranks);
        free(pages[i]);
    }
    free(attempts);
    free(pages);
}

void board_free(struct board *board)
{
    if (!board)
        return;
    release(board->attempts, board->pages, board->attempt_count);
    (void)pthread_mutex_destroy(&board->mutex);
    free(board);
}

static void report_rank(const struct local *local, const struct local_rank *rank,
                        struct wire_rank_report *out)
{
    *out = (struct wire_rank_report){
        .rank = rank->rank,
        .pid = rank->pid,
        .verdict = rank->ended ? VERDICT_DEAD : VERDICT_UNKNOWN,
        .exited = rank->ended,
        .exit_code = rank->exit_code,
        .exit_signal = rank->exit_signal,
        .exit_oom = rank->exit_oom,
        .exit_reason = rank->exit_reason,
        .phase = (int)rank->phase,
        .step = rank->step,
    };
    /* What a silent runner's ranks do is not known; what is being prepared lives in our hands. */
    if (!rank->ended && (local->state == LOCAL_PREPARING || local->answered))
        out->verdict = VERDICT_ALIVE;
    memcpy(out->slot, rank->slot, sizeof(out->slot));
    memcpy(out->detail, rank->detail, sizeof(out->detail));
}

static bool report_attempt(const struct local *local, struct wire_attempt_report *out,
                           struct board_page **out_pages)
{
    out->ranks = calloc(local->rank_count + 1, sizeof(*out->ranks));
    *out_pages = calloc(local->rank_count + 1, sizeof(**out_pages));
    if (!out->ranks || !*out_pages)
        return false;
    memcpy(out->job, local->job, sizeof(out->job));
    out->attempt = local->attempt;
    out->rank_count = local->rank_count;
    for (size_t i = 0; i < local->rank_count; i++) {
        report_rank(local, &local->ranks[i], &out->ranks[i]);
        (*out_pages)[i] = (struct board_page){local->ranks[i].page, local->ranks[i].end_boot_ms};
    }
    return true;
}

enum status board_publish(struct board *board, struct local *const *locals, size_t count,
                          struct error *err)
{
    struct wire_attempt_report *attempts = calloc(count + 1, sizeof(*attempts));
    struct board_page **pages = calloc(count + 1, sizeof(*pages));
    bool fine = attempts && pages;
    size_t used = 0;
    for (size_t i = 0; fine && i < count; i++) {
        if (locals[i]->state == LOCAL_OVER && !locals[i]->desired)
            continue;
        fine = report_attempt(locals[i], &attempts[used], &pages[used]);
        used++;
    }
    if (!fine) {
        release(attempts, pages, attempts && pages ? used : 0);
        return error_set(err, STATUS_NO_MEMORY, "no memory for a board of %zu attempts", count);
    }
    (void)pthread_mutex_lock(&board->mutex);
    struct wire_attempt_report *old_attempts = board->attempts;
    struct board_page **old_pages = board->pages;
    const size_t old_count = board->attempt_count;
    board->attempts = attempts;
    board->pages = pages;
    board->attempt_count = used;
    (void)pthread_mutex_unlock(&board->mutex);
    release(old_attempts, old_pages, old_count);
    return STATUS_OK;
}

/* A rank that has ended keeps its page: the last step it did is what the next attempt may lose. */
static void refresh(struct wire_rank_report *report, const struct board_page *own,
                    int64_t now_boot_ms)
{
    if (report->exited)
        report->exit_age_ms = now_boot_ms > own->end_boot_ms ? now_boot_ms - own->end_boot_ms : 0;
    struct progress_page *page = (struct progress_page *)(uintptr_t)own->page;
    if (!page || atomic_load(&page->magic) != PROGRESS_PAGE_MAGIC)
        return;
    const uint64_t phase = atomic_load(&page->phase);
    const int64_t since_ms = (int64_t)atomic_load(&page->collective_since_boot_ms);
    report->phase = phase < PROGRESS_PHASE_COUNT ? (int)phase : PROGRESS_SETUP;
    report->step = (int64_t)atomic_load(&page->step);
    report->collective = (int64_t)atomic_load(&page->collective);
    report->waiting_ms =
        !report->exited && since_ms > 0 && now_boot_ms > since_ms ? now_boot_ms - since_ms : 0;
}

json_t *board_render(struct board *board, struct wire_sync sync, int64_t now_boot_ms)
{
    (void)pthread_mutex_lock(&board->mutex);
    for (size_t i = 0; i < board->attempt_count; i++) {
        for (size_t j = 0; j < board->attempts[i].rank_count; j++)
            refresh(&board->attempts[i].ranks[j], &board->pages[i][j], now_boot_ms);
    }
    sync.attempt_count = board->attempt_count;
    sync.attempts = board->attempts;
    json_t *document = wire_sync_encode(&sync);
    (void)pthread_mutex_unlock(&board->mutex);
    return document;
}
