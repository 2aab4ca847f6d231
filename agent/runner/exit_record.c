#include "agent/runner/exit_record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define RECORD_TEMPORARY "exit.json.tmp"
#define RECORD_MODE      0644

static const char *const reason_words[RUNNER_REASON_COUNT] = {
    [RUNNER_REASON_NONE] = "none",
    [RUNNER_REASON_HANG] = "hang",
    [RUNNER_REASON_START_FAILED] = "start_failed",
    [RUNNER_REASON_NODE_LOST] = "node_lost",
};

static void print_text(FILE *file, const char *text)
{
    (void)fputc('"', file);
    for (; *text; text++) {
        const unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            (void)fputc('\\', file);
        (void)fputc(c < ' ' || c > '~' ? '?' : c, file);
    }
    (void)fputc('"', file);
}

/* How far it came: the page goes with the runner, and the controller may hear of the end from the record. */
static void print_progress(FILE *file, const struct rank *rank)
{
    struct progress_page *page = rank->page;
    const bool said = page && atomic_load(&page->magic) == PROGRESS_PAGE_MAGIC;
    (void)fprintf(file, "\"step\":%llu,\"phase\":%llu,",
                  said ? (unsigned long long)atomic_load(&page->step) : 0,
                  said ? (unsigned long long)atomic_load(&page->phase) : 0);
}

static void print_rank(FILE *file, const struct rank *rank)
{
    (void)fprintf(file,
                  "{\"rank\":%lld,\"pid\":%d,\"start_time\":%llu,\"ended\":%s,\"code\":%d,"
                  "\"signal\":%d,\"oom\":%s,\"reason\":\"%s\",\"end_boot_ms\":%lld,",
                  (long long)rank->orders->rank, (int)rank->pid,
                  (unsigned long long)rank->start_time, rank->ended ? "true" : "false",
                  rank->exit_code, rank->exit_signal, rank->oom ? "true" : "false",
                  reason_words[rank->reason], (long long)rank->end_boot_ms);
    print_progress(file, rank);
    (void)fputs("\"detail\":", file);
    print_text(file, rank->detail);
    (void)fputc('}', file);
}

static bool print_record(FILE *file, const struct orders *orders, const struct rank *ranks,
                         size_t count)
{
    bool complete = true;
    for (size_t i = 0; i < count; i++)
        complete = complete && ranks[i].ended;
    (void)fputs("{\"version\":1,\"job\":", file);
    print_text(file, orders->job);
    (void)fprintf(file, ",\"attempt\":%lld,\"boot_id\":", (long long)orders->attempt);
    print_text(file, orders->boot_id);
    (void)fprintf(file, ",\"runner\":{\"pid\":%d,\"start_time\":%llu},\"complete\":%s,\"ranks\":[",
                  (int)getpid(), (unsigned long long)process_start_time(getpid()),
                  complete ? "true" : "false");
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            (void)fputc(',', file);
        print_rank(file, &ranks[i]);
    }
    (void)fputs("]}\n", file);
    return fflush(file) == 0 && !ferror(file);
}

static bool sync_folder(void)
{
    const int fd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return false;
    const bool fine = fsync(fd) == 0;
    (void)close(fd);
    return fine;
}

bool exit_record_write(const struct orders *orders, const struct rank *ranks, size_t count)
{
    const int fd = open(RECORD_TEMPORARY, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, RECORD_MODE);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "w");
    bool fine = file && print_record(file, orders, ranks, count) && fsync(fd) == 0;
    if (file)
        fine = fclose(file) == 0 && fine;
    else if (fd >= 0)
        (void)close(fd);
    fine = fine && rename(RECORD_TEMPORARY, RUNNER_EXIT_NAME) == 0 && sync_folder();
    if (!fine)
        (void)fprintf(stderr, "write %s: %s\n", RUNNER_EXIT_NAME, strerror(errno));
    return fine;
}
