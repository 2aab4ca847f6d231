#include "agent/adopt.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/intent.h"
#include "agent/link.h"
#include "agent/runner_news.h"
#include "agent/sweep.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"

/* Waits until the runner has told of all its ranks, or the deadline. False when it is gone. */
static bool hear_runner(struct local *local)
{
    const int64_t deadline_ms = clock_mono_ms() + ADOPT_WAIT_MS;
    size_t ranks_heard = 0;
    while (ranks_heard < local->rank_count) {
        struct runner_news news;
        int page_fd = -1;
        switch (link_receive(local->link_fd, &news, &page_fd)) {
        case LINK_NEWS:
            ranks_heard += news.kind == RUNNER_RANK;
            runner_news_apply(local, &news, page_fd);
            break;
        case LINK_CLOSED:
            return false;
        case LINK_NOTHING: {
            const int64_t left_ms = deadline_ms - clock_mono_ms();
            struct pollfd look = {.fd = local->link_fd, .events = POLLIN};
            if (left_ms <= 0 || poll(&look, 1, (int)left_ms) <= 0)
                return true;
            break;
        }
        }
    }
    return true;
}

static bool connect_runner(struct local *local)
{
    struct error err = {0};
    const enum status status = link_connect(local->folder, &local->link_fd, &err);
    if (status == STATUS_OK && hear_runner(local))
        return true;
    if (status != STATUS_OK && status != STATUS_NOT_FOUND)
        log_write(LOG_WARN, "adopt_failed", err.text, "job", local->job, NULL);
    fd_cleanup(&local->link_fd);
    local->link_fd = -1;
    return false;
}

void adopt_bury(const struct site *site, struct local *local, bool rebooted)
{
    struct error missing = {0};
    (void)!local_read_exits(local, &missing); /* no record: no end is known */
    if (!local_all_ended(local)) {
        const size_t killed = rebooted ? 0 : sweep_attempt(local->folder);
        if (!rebooted)
            sweep_groups(site->cgroup_parent, local);
        char count[24];
        (void)snprintf(count, sizeof(count), "%zu", killed);
        log_write(LOG_WARN, "runner_lost", "an attempt has neither runner nor whole exit record",
                  "job", local->job, "killed", count, NULL);
        local_end_rest(local, rebooted ? REASON_NODE_REBOOTED : REASON_RUNNER_LOST,
                       rebooted ? "the machine was started anew" : "the runner died",
                       clock_boot_ms());
        struct error unwritten = {0};
        /* With a full disk the ends are told all the same, and found out again by another agent. */
        if (local_write_exits(local, site->boot_id, &unwritten) != STATUS_OK)
            log_write(LOG_ERROR, "exits_not_kept", unwritten.text, "job", local->job, NULL);
    }
    local->state = LOCAL_OVER;
}

static enum status adopt_one(const struct site *site, const char *folder, struct local **out,
                             struct error *err)
{
    CLEANUP(intent_clear) struct intent intent = {0};
    TRY(intent_read(folder, &intent, err));
    struct local *local = NULL;
    TRY(local_new(&intent.held.assignments[0], site->data_dir, &local, err));
    const bool rebooted = strcmp(intent.boot_id, site->boot_id) != 0;
    local->desired = true; /* until the controller says otherwise */
    if (!rebooted && connect_runner(local))
        local->state = LOCAL_RUNNING;
    else
        adopt_bury(site, local, rebooted);
    *out = local;
    return STATUS_OK;
}

/*
 * What it was can't be read any more, only whose: the folder is named <job>/<attempt>. It must not run
 * a second time, so it is kept as one that is over until the controller has heard of it.
 */
static enum status adopt_grave(const struct site *site, const char *folder, struct local **out,
                               struct error *err)
{
    struct wire_assignment name = {.rank_count = 0};
    const char *attempt = strrchr(folder, '/');
    const char *job = attempt;
    while (job > folder && job[-1] != '/')
        job--;
    const size_t job_bytes = (size_t)(attempt - job);
    char *end;
    name.attempt = strtoll(attempt + 1, &end, 10);
    if (job_bytes == 0 || job_bytes >= sizeof(name.job) || name.attempt < 1 || *end)
        return error_set(err, STATUS_INVALID, "%s is no attempt's folder", folder);
    memcpy(name.job, job, job_bytes);
    TRY(local_new(&name, site->data_dir, out, err));
    (*out)->state = LOCAL_OVER;
    (*out)->delivered = true; /* and not `desired`: there is no rank to tell of yet */
    return STATUS_OK;
}

static void adopt_or_remove(const struct site *site, const char *folder, struct local **out,
                            size_t max, size_t *count)
{
    struct error err = {0};
    if (*count == max)
        return;
    const enum status status = adopt_one(site, folder, &out[*count], &err);
    if (status == STATUS_OK) {
        (*count)++;
        return;
    }
    if (status == STATUS_NOT_FOUND) { /* nothing was started yet, or all of it was delivered */
        log_write(LOG_WARN, "attempt_removed", err.text, "folder", folder, NULL);
        (void)!fs_remove_tree(folder, NULL);
        return;
    }
    log_write(LOG_ERROR, "intent_unreadable", err.text, "folder", folder, NULL);
    (void)sweep_attempt(folder);
    if (adopt_grave(site, folder, &out[*count], &err) == STATUS_OK)
        (*count)++;
}

static void adopt_job(const struct site *site, const char *job_folder, struct local **out,
                      size_t max, size_t *count)
{
    DIR *folder = opendir(job_folder);
    if (!folder)
        return;
    for (const struct dirent *entry = readdir(folder); entry; entry = readdir(folder)) {
        char path[LOCAL_FOLDER_BYTES];
        if (entry->d_name[0] != '.' &&
            fs_path(path, sizeof(path), NULL, "%s/%s", job_folder, entry->d_name) == STATUS_OK)
            adopt_or_remove(site, path, out, max, count);
    }
    (void)closedir(folder);
}

enum status adopt_attempts(const struct site *site, struct local **out, size_t max,
                           size_t *out_count, struct error *err)
{
    char root[LOCAL_FOLDER_BYTES];
    size_t count = 0;
    TRY(fs_path(root, sizeof(root), err, "%s/attempts", site->data_dir));
    DIR *folder = opendir(root);
    if (!folder && errno != ENOENT)
        return error_set_errno(err, status_of_errno(errno), errno, "open %s", root);
    for (const struct dirent *entry = folder ? readdir(folder) : NULL; entry;
         entry = readdir(folder)) {
        char path[LOCAL_FOLDER_BYTES];
        if (entry->d_name[0] != '.' &&
            fs_path(path, sizeof(path), NULL, "%s/%s", root, entry->d_name) == STATUS_OK)
            adopt_job(site, path, out, max, &count);
    }
    if (folder)
        (void)closedir(folder);
    *out_count = count;
    return STATUS_OK;
}
