#include "agent/runner/orders.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINE_COMPLAINT_BYTES 64

struct reader {
    struct orders *out;
    int line;
    bool ended;
};

static bool complain(const struct reader *reader, const char *what, const char *got)
{
    (void)fprintf(stderr, "orders line %d: %s: \"%.*s\"\n", reader->line, what,
                  LINE_COMPLAINT_BYTES, got);
    return false;
}

/* Turns the escapes back in place. */
static void unescape(char *text)
{
    char *to = text;
    for (const char *from = text; *from; from++) {
        if (*from == '\\' && from[1]) {
            from++;
            *to++ = *from == 'n' ? '\n' : *from;
        } else {
            *to++ = *from;
        }
    }
    *to = 0;
}

static bool parse_int(const struct reader *reader, const char *text, int64_t *out)
{
    char *end;
    errno = 0;
    const long long value = strtoll(text, &end, 10);
    if (errno || end == text || *end || value < 0)
        return complain(reader, "expected a number of at least 0", text);
    *out = value;
    return true;
}

static bool parse_bool(const struct reader *reader, const char *text, bool *out)
{
    if (strcmp(text, "0") != 0 && strcmp(text, "1") != 0)
        return complain(reader, "expected 0 or 1", text);
    *out = text[0] == '1';
    return true;
}

static bool parse_cgroup(struct reader *reader, char *value)
{
    static const char *const names[] = {"none", "v1", "v2"};
    char *space = strchr(value, ' ');
    if (space)
        *space = 0;
    for (int kind = CGROUP_NONE; kind <= CGROUP_V2; kind++) {
        if (strcmp(value, names[kind]) == 0) {
            reader->out->cgroup = (enum cgroup_kind)kind;
            reader->out->cgroup_parent = space ? space + 1 : "";
            return true;
        }
    }
    return complain(reader, "expected v1, v2 or none", value);
}

static bool begin_rank(struct reader *reader, const char *value)
{
    struct orders *out = reader->out;
    if (out->rank_count == RUNNER_RANKS_MAX)
        return complain(reader, "too many ranks", value);
    struct rank_orders *rank = &out->ranks[out->rank_count++];
    rank->args = calloc(RUNNER_ARGS_MAX + 1, sizeof(char *));
    rank->env = calloc(RUNNER_ENV_MAX + 1, sizeof(char *));
    if (!rank->args || !rank->env)
        return complain(reader, "no memory for rank", value);
    return parse_int(reader, value, &rank->rank);
}

/* Lines that belong to the rank begun last. */
static bool read_rank_line(struct reader *reader, const char *key, char *value)
{
    if (reader->out->rank_count == 0)
        return complain(reader, "before the first rank", key);
    struct rank_orders *rank = &reader->out->ranks[reader->out->rank_count - 1];
    if (strcmp(key, "memory_bytes") == 0)
        return parse_int(reader, value, &rank->memory_bytes);
    if (strcmp(key, "cwd") == 0) {
        rank->cwd = value;
    } else if (strcmp(key, "stdout") == 0) {
        rank->stdout_path = value;
    } else if (strcmp(key, "stderr") == 0) {
        rank->stderr_path = value;
    } else if (strcmp(key, "arg") == 0) {
        if (rank->arg_count == RUNNER_ARGS_MAX)
            return complain(reader, "too many words", value);
        rank->args[rank->arg_count++] = value;
    } else if (strcmp(key, "env") == 0) {
        if (rank->env_count == RUNNER_ENV_MAX || !strchr(value, '='))
            return complain(reader, "too many variables, or one without \"=\"", value);
        rank->env[rank->env_count++] = value;
    } else {
        return complain(reader, "unknown key", key);
    }
    return true;
}

static bool read_line(struct reader *reader, const char *key, char *value)
{
    struct orders *out = reader->out;
    const struct {
        const char *key;
        int64_t *number;
    } numbers[] = {
        {"attempt", &out->attempt},
        {"lease_boot_ms", &out->lease_boot_ms},
        {"orphan_timeout_ms", &out->orphan_timeout_ms},
        {"kill_budget_ms", &out->kill_budget_ms},
        {"hang_timeout_ms", &out->hang_timeout_ms},
        {"hang_grace_ms", &out->hang_grace_ms},
        {"setup_timeout_ms", &out->setup_timeout_ms},
    };
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        if (strcmp(key, numbers[i].key) == 0)
            return parse_int(reader, value, numbers[i].number);
    }
    if (strcmp(key, "stop_on_lease_loss") == 0)
        return parse_bool(reader, value, &out->stop_on_lease_loss);
    if (strcmp(key, "shared_memory") == 0)
        return parse_bool(reader, value, &out->shared_memory);
    if (strcmp(key, "cgroup") == 0)
        return parse_cgroup(reader, value);
    if (strcmp(key, "rank") == 0)
        return begin_rank(reader, value);
    if (strcmp(key, "job") == 0)
        out->job = value;
    else if (strcmp(key, "boot_id") == 0)
        out->boot_id = value;
    else
        return read_rank_line(reader, key, value);
    return true;
}

static char *read_file(const char *path)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat info;
    if (fd < 0 || fstat(fd, &info) != 0 || info.st_size > RUNNER_ORDERS_BYTES) {
        perror(path);
        return NULL;
    }
    char *text = malloc((size_t)info.st_size + 1);
    ssize_t got = text ? read(fd, text, (size_t)info.st_size) : -1;
    (void)close(fd);
    if (got != info.st_size) {
        (void)fprintf(stderr, "%s: read %zd of %lld bytes\n", path, got, (long long)info.st_size);
        free(text);
        return NULL;
    }
    text[got] = 0;
    return text;
}

static bool check_whole(const struct reader *reader)
{
    const struct orders *out = reader->out;
    if (!reader->ended)
        return complain(reader, "the file is not whole, its last line is no", "end");
    if (!out->job || !out->boot_id || out->attempt < 1 || out->rank_count == 0)
        return complain(reader, "missing job, attempt, boot_id or rank", "end");
    for (size_t i = 0; i < out->rank_count; i++) {
        const struct rank_orders *rank = &out->ranks[i];
        if (rank->arg_count == 0 || !rank->cwd || !rank->stdout_path || !rank->stderr_path)
            return complain(reader, "a rank lacks arg, cwd, stdout or stderr", "end");
    }
    return true;
}

bool orders_read(const char *path, struct orders *out)
{
    memset(out, 0, sizeof(*out));
    struct reader reader = {.out = out};
    char *text = read_file(path);
    out->ranks = calloc(RUNNER_RANKS_MAX, sizeof(*out->ranks));
    if (!text || !out->ranks)
        return false;
    char *save = NULL;
    for (char *line = strtok_r(text, "\n", &save); line && !reader.ended;
         line = strtok_r(NULL, "\n", &save)) {
        reader.line++;
        char *space = strchr(line, ' ');
        char *value = space ? space + 1 : line + strlen(line);
        if (space)
            *space = 0;
        unescape(value);
        if (reader.line == 1) {
            if (strcmp(line, "reprise-orders") != 0 || strcmp(value, "1") != 0)
                return complain(&reader, "expected \"reprise-orders 1\"", line);
        } else if (strcmp(line, "end") == 0) {
            reader.ended = true;
        } else if (!read_line(&reader, line, value)) {
            return false;
        }
    }
    return check_whole(&reader);
}
