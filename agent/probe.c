#include "agent/probe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/child.h"
#include "base/fs.h"
#include "base/hash.h"
#include "base/text.h"

#define NUMERICS_TIMEOUT_MS 20000
#define SMALL_FILE_BYTES    (16 * KIB)
#define DEFAULT_PORT        "8485"

enum status probe_boot_id(char out[64], struct error *err)
{
    CLEANUP(buf_clear) struct buf text;
    buf_init(&text, SMALL_FILE_BYTES);
    TRY(fs_read_file("/proc/sys/kernel/random/boot_id", &text, err));
    text.data[strcspn(text.data, "\n")] = 0;
    if (!text_copy(out, 64, text.data) || !out[0])
        return error_set(err, STATUS_CORRUPT, "boot id \"%s\" is empty or too long", text.data);
    return STATUS_OK;
}

int64_t probe_cpu_count(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof(set), &set) == 0)
        return CPU_COUNT(&set);
    return sysconf(_SC_NPROCESSORS_ONLN);
}

int64_t probe_memory_bytes(void)
{
    return (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
}

static enum status count_slots(const char *spec, int64_t *out, struct error *err)
{
    if (strcmp(spec, "auto") == 0) {
        *out = probe_cpu_count();
        if (*out > NODE_SLOTS_MAX)
            *out = NODE_SLOTS_MAX;
        return STATUS_OK;
    }
    if (strncmp(spec, "cuda", 4) == 0)
        return error_set(err, STATUS_UNSUPPORTED,
                         "slots \"%s\": GPU slots come with a later release, use cpu:N", spec);
    char *end;
    errno = 0;
    const long count = strncmp(spec, "cpu:", 4) == 0 ? strtol(spec + 4, &end, 10) : -1;
    if (count < 1 || count > NODE_SLOTS_MAX || errno || *end)
        return error_set(err, STATUS_INVALID, "slots \"%s\": expected auto or cpu:1 to cpu:%d",
                         spec, NODE_SLOTS_MAX);
    *out = count;
    return STATUS_OK;
}

enum status probe_slots(const char *spec, struct wire_slot out[NODE_SLOTS_MAX], size_t *out_count,
                        struct error *err)
{
    int64_t count = 0;
    TRY(count_slots(spec, &count, err));
    const int64_t share_bytes = probe_memory_bytes() / count;
    for (int64_t i = 0; i < count; i++) {
        struct wire_slot *slot = &out[i];
        *slot = (struct wire_slot){.kind = "cpu", .index = i, .memory_bytes = share_bytes};
        (void)snprintf(slot->slot, sizeof(slot->slot), "cpu:%lld", (long long)i);
    }
    *out_count = (size_t)count;
    return STATUS_OK;
}

/* Splits "http://host:port/..." into host and port. */
static enum status split_url(const char *url, char host[128], char port[8], struct error *err)
{
    const char *at = strstr(url, "://");
    at = at ? at + 3 : url;
    const bool bracketed = *at == '[';
    at += bracketed ? 1 : 0;
    const size_t host_bytes = strcspn(at, bracketed ? "]" : ":/");
    const char *rest = at + host_bytes + (bracketed && at[host_bytes] ? 1 : 0);
    if (host_bytes == 0 || host_bytes >= 128)
        return error_set(err, STATUS_INVALID, "controller \"%s\" names no host", url);
    memcpy(host, at, host_bytes);
    host[host_bytes] = 0;
    (void)text_copy(port, 8, DEFAULT_PORT);
    if (*rest == ':') {
        const size_t port_bytes = strspn(rest + 1, "0123456789");
        if (port_bytes == 0 || port_bytes > 5)
            return error_set(err, STATUS_INVALID, "controller \"%s\" has a bad port", url);
        memcpy(port, rest + 1, port_bytes);
        port[port_bytes] = 0;
    }
    return STATUS_OK;
}

enum status probe_address(const char *controller, char out[ADDRESS_BYTES], struct error *err)
{
    char host[128];
    char port[8];
    TRY(split_url(controller, host, port, err));
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_DGRAM};
    struct addrinfo *found = NULL;
    const int failed = getaddrinfo(host, port, &hints, &found);
    if (failed || !found)
        return error_set(err, STATUS_UNAVAILABLE, "resolve %s: %s", host, gai_strerror(failed));
    /* Connecting a datagram socket sends nothing; it only asks the routing table. */
    CLEANUP(fd_cleanup)
    const int fd = socket(found->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct sockaddr_storage own;
    socklen_t own_bytes = sizeof(own);
    const bool fine = fd >= 0 && connect(fd, found->ai_addr, found->ai_addrlen) == 0 &&
                      getsockname(fd, (struct sockaddr *)&own, &own_bytes) == 0 &&
                      getnameinfo((const struct sockaddr *)&own, own_bytes, out, ADDRESS_BYTES,
                                  NULL, 0, NI_NUMERICHOST) == 0;
    freeaddrinfo(found);
    if (!fine)
        return error_set(err, STATUS_UNAVAILABLE,
                         "no own address on the way to %s; give one with --address", host);
    return STATUS_OK;
}

enum status probe_sibling(const char *name, char *out, size_t out_bytes, struct error *err)
{
    char own[PATH_MAX];
    const ssize_t size = readlink("/proc/self/exe", own, sizeof(own) - 1);
    if (size < 0)
        return error_set_errno(err, STATUS_INTERNAL, errno, "read /proc/self/exe");
    own[size] = 0;
    *strrchr(own, '/') = 0;
    TRY(fs_path(out, out_bytes, err, "%s/%s", own, name));
    if (access(out, X_OK) != 0)
        return error_set_errno(err, STATUS_NOT_FOUND, errno, "%s must stand beside the agent: %s",
                               name, out);
    return STATUS_OK;
}

enum status probe_numerics(const char *trainer, char out[NUMERICS_BYTES], struct error *err)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return error_set_errno(err, STATUS_INTERNAL, errno, "make a pipe");
    CLEANUP(fd_cleanup) const int read_fd = ends[0];
    CLEANUP(fd_cleanup) int write_fd = ends[1];
    const char *const argv[] = {trainer, "numerics", NULL};
    const struct child_options options = {.argv = argv, .output_fd = write_fd};
    pid_t pid;
    int code = 0;
    TRY(child_spawn(&options, &pid, err));
    fd_cleanup(&write_fd);
    write_fd = -1;
    TRY(child_wait(pid, NUMERICS_TIMEOUT_MS, NULL, &code, err));
    char line[512] = "";
    const ssize_t got = read(read_fd, line, sizeof(line) - 1);
    uint8_t digest[SHA256_BYTES];
    if (code != 0 || got < NUMERICS_BYTES - 1)
        return error_set(err, STATUS_INTERNAL, "%s numerics exited with %d after %zd bytes",
                         trainer, code, got);
    line[NUMERICS_BYTES - 1] = 0;
    if (!hex_decode(line, digest, sizeof(digest)))
        return error_set(err, STATUS_CORRUPT, "%s numerics said \"%s\", no 64 hex digits", trainer,
                         line);
    memcpy(out, line, NUMERICS_BYTES);
    return STATUS_OK;
}

/* The path after `prefix` in a line of /proc/self/cgroup, such as "0::/user.slice". */
static bool own_cgroup(const char *text, const char *marker, char out[SITE_PATH_BYTES])
{
    const char *at = strstr(text, marker);
    if (!at)
        return false;
    at += strlen(marker);
    const size_t size = strcspn(at, "\n");
    if (size >= SITE_PATH_BYTES)
        return false;
    memcpy(out, at, size);
    out[size] = 0;
    if (strcmp(out, "/") == 0)
        out[0] = 0;
    return true;
}

static bool cgroup_usable(const char *parent, const char *file)
{
    char folder[2 * SITE_PATH_BYTES + 32];
    char path[2 * SITE_PATH_BYTES + 64];
    (void)snprintf(folder, sizeof(folder), "%s/reprise.probe.%d", parent, (int)getpid());
    (void)snprintf(path, sizeof(path), "%s/%s", folder, file);
    if (mkdir(folder, 0755) != 0)
        return false;
    const bool fine = access(path, W_OK) == 0;
    (void)rmdir(folder);
    return fine;
}

void probe_cgroup(struct site *site)
{
    CLEANUP(buf_clear) struct buf text;
    char own[SITE_PATH_BYTES];
    char parent[2 * SITE_PATH_BYTES];
    buf_init(&text, SMALL_FILE_BYTES);
    (void)text_copy(site->cgroup_kind, sizeof(site->cgroup_kind), "none");
    site->cgroup_parent[0] = 0;
    if (fs_read_file("/proc/self/cgroup", &text, NULL) != STATUS_OK)
        return;
    static const struct {
        const char *kind, *marker, *root, *file;
    } places[] = {
        {"v2", "0::", "/sys/fs/cgroup", "memory.max"},
        {"v1", ":memory:", "/sys/fs/cgroup/memory", "memory.limit_in_bytes"},
        {"v1", ":memory:", "/sys/fs/cgroup/memory/.", "memory.limit_in_bytes"},
    };
    for (size_t i = 0; i < COUNT_OF(places); i++) {
        if (!own_cgroup(text.data, places[i].marker, own))
            continue;
        /* The last place is the root of the mount: inside a container our path may not show. */
        (void)snprintf(parent, sizeof(parent), "%s%s", places[i].root,
                       places[i].root[strlen(places[i].root) - 1] == '.' ? "" : own);
        if (!cgroup_usable(parent, places[i].file) || strlen(parent) >= SITE_PATH_BYTES)
            continue;
        (void)text_copy(site->cgroup_kind, sizeof(site->cgroup_kind), places[i].kind);
        (void)text_copy(site->cgroup_parent, sizeof(site->cgroup_parent), parent);
        return;
    }
}
