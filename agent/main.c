/*
 * reprise-agent - makes one machine do what the controller wants of it. This file: options, the
 * folder, joining; then the loop (loop.h).
 */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <unistd.h>

#include "agent/join.h"
#include "agent/loop.h"
#include "agent/probe.h"
#include "agent/site.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/option.h"
#include "base/text.h"

#define DATA_MODE    0700
#define LOCK_WAIT_MS 2000 /* for a predecessor that is just leaving */
#define LOCK_LOOK_MS 10

struct config {
    const char *controller;
    const char *data;
    const char *join_token_file;
    const char *slots;
    const char *address;
    const char *port_range;
    struct option_list labels;
    bool once;
};

static const struct option_row rows[] = {
    {"controller", OPTION_TEXT, offsetof(struct config, controller), .required = true,
     .value = "URL", .help = "the controller's listener for agents, such as http://host:8485"},
    {"data", OPTION_TEXT, offsetof(struct config, data), .required = true, .value = "DIR",
     .help = "folder for credential, attempts and decoded data; one agent a folder",
     .environment = "REPRISE_AGENT_DATA"}, /* REPRISE_DATA is the folder of data sets */
    {"join-token-file", OPTION_TEXT, offsetof(struct config, join_token_file), .value = "FILE",
     .help = "one-use token to join with; not needed once joined"},
    {"slots", OPTION_TEXT, offsetof(struct config, slots), .initial = "auto", .value = "SLOTS",
     .help = "auto (one a core) or cpu:N"},
    {"address", OPTION_TEXT, offsetof(struct config, address), .value = "ADDR",
     .help = "where other nodes reach this one; default: the route to the controller decides"},
    {"port-range", OPTION_TEXT, offsetof(struct config, port_range), .value = "A-B",
     .help = "rendezvous ports of this node, default 29500-29999; counts when joining"},
    {"label", OPTION_LIST, offsetof(struct config, labels), .value = "KEY=VALUE",
     .help = "a label of this node; may be repeated; counts when joining"},
    {"once", OPTION_FLAG, offsetof(struct config, once),
     .help = "leave when the first attempt here is over and delivered"},
    OPTION_END};

static const struct option_program program = {
    .name = "reprise-agent",
    .synopsis = "--controller URL --data DIR [--join-token-file FILE]",
    .about = "Runs training ranks on this machine for a Reprise controller. Stopping the agent\n"
             "(SIGTERM) leaves them running; the next agent on the same folder takes them over.",
    .rows = rows,
};

static enum status open_folder(const char *path, struct site *site, int *out_lock_fd,
                               struct error *err)
{
    char whole[PATH_MAX];
    char lock[SITE_PATH_BYTES + 16];
    TRY(fs_make_dirs(path, DATA_MODE, err));
    if (!realpath(path, whole))
        return error_set_errno(err, status_of_errno(errno), errno, "resolve %s", path);
    if (!text_copy(site->data_dir, sizeof(site->data_dir), whole))
        return error_set(err, STATUS_TOO_LARGE, "data folder %s: over %d bytes", whole,
                         SITE_PATH_BYTES - 1);
    TRY(fs_path(lock, sizeof(lock), err, "%s/agent.lock", site->data_dir));
    CLEANUP(fd_cleanup) int fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_set_errno(err, status_of_errno(errno), errno, "open %s", lock);
    const int64_t deadline_ms = clock_mono_ms() + LOCK_WAIT_MS;
    while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (clock_mono_ms() > deadline_ms)
            return error_set(err, STATUS_CONFLICT, "another agent runs on %s", site->data_dir);
        clock_sleep_ms(LOCK_LOOK_MS);
    }
    *out_lock_fd = fd;
    fd = -1;
    return STATUS_OK;
}

static enum status fill_site(const struct config *config, struct site *site, struct error *err)
{
    if (!text_copy(site->controller, sizeof(site->controller), config->controller))
        return error_set(err, STATUS_TOO_LARGE, "controller: over %d bytes", SITE_PATH_BYTES - 1);
    TRY(probe_boot_id(site->boot_id, err));
    TRY(probe_slots(config->slots, site->slots, &site->slot_count, err));
    TRY(probe_sibling("reprise-trainer", site->trainer, sizeof(site->trainer), err));
    TRY(probe_sibling("reprise-runner", site->runner, sizeof(site->runner), err));
    if (!config->address)
        return probe_address(config->controller, site->address, err);
    if (!text_copy(site->address, sizeof(site->address), config->address))
        return error_set(err, STATUS_TOO_LARGE, "address: over %d bytes", ADDRESS_BYTES - 1);
    return STATUS_OK;
}

/* Three descriptors a rank, and more: with many slots the usual 1024 are too few. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= limit.rlim_max)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit); /* then with what there is */
}

static enum status run(const struct config *config, struct error *err)
{
    static struct site site;
    CLEANUP(fd_cleanup) int lock_fd = -1;
    raise_descriptor_limit();
    TRY(fill_site(config, &site, err));
    TRY(open_folder(config->data, &site, &lock_fd, err));
    const struct join_options join = {.token_file = config->join_token_file,
                                      .port_range = config->port_range,
                                      .labels = &config->labels};
    TRY(join_node(&site, &join, err));
    probe_cgroup(&site);
    char slots[24];
    (void)snprintf(slots, sizeof(slots), "%zu", site.slot_count);
    log_write(LOG_INFO, "agent_started", "serving", "node", site.node_id, "controller",
              site.controller, "address", site.address, "slots", slots, "control_groups",
              site.cgroup_kind, NULL);
    return loop_run(&site, config->once, err);
}

int main(int argc, char **argv)
{
    struct config config = {0};
    int words = 0;
    switch (option_parse(&program, argc, argv, &config, &words)) {
    case OPTION_RUN:
        break;
    case OPTION_EXIT_OK:
        return EXIT_SUCCESS;
    case OPTION_EXIT_USAGE:
        return EXIT_USAGE;
    }
    struct error err = {0};
    const enum status status = run(&config, &err);
    if (status == STATUS_OK)
        return EXIT_SUCCESS;
    log_write(LOG_ERROR, "agent_ended", err.text, "status", status_name(status), NULL);
    return status == STATUS_INVALID || status == STATUS_UNSUPPORTED ? EXIT_USAGE : EXIT_FAILURE;
}
