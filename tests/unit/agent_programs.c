#include "tests/unit/agent_programs.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"

#define LOOK_MS     2
#define PATIENCE_MS 10000

bool program_path(const char *name, char out[512])
{
    char own[PATH_MAX];
    const ssize_t size = readlink("/proc/self/exe", own, sizeof(own) - 1);
    if (size < 0)
        return false;
    own[size] = 0;
    for (int i = 0; i < 3; i++) /* build/tests/unit/test_x */
        *strrchr(own, '/') = 0;
    return fs_path(out, 512, NULL, "%s/bin/%s", own, name) == STATUS_OK && access(out, X_OK) == 0;
}

bool pid_alive(pid_t pid)
{
    char path[64];
    CLEANUP(buf_clear) struct buf text;
    buf_init(&text, 4 * KIB);
    (void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    if (pid <= 0 || fs_read_file(path, &text, NULL) != STATUS_OK)
        return false;
    const char *end = strrchr(text.data, ')');
    return end && end[2] != 'Z' && end[2] != 'X';
}

bool wait_pid_gone(pid_t pid)
{
    for (int64_t end = clock_mono_ms() + PATIENCE_MS; clock_mono_ms() < end;) {
        if (!pid_alive(pid))
            return true;
        clock_sleep_ms(LOOK_MS);
    }
    return false;
}

bool wait_gone(const char *path)
{
    for (int64_t end = clock_mono_ms() + PATIENCE_MS; clock_mono_ms() < end;) {
        if (!fs_exists(path))
            return true;
        clock_sleep_ms(LOOK_MS);
    }
    return false;
}

bool wait_file(const char *path)
{
    for (int64_t end = clock_mono_ms() + PATIENCE_MS; clock_mono_ms() < end;) {
        if (fs_exists(path))
            return true;
        clock_sleep_ms(LOOK_MS);
    }
    return false;
}

int64_t wait_number(const char *path)
{
    for (int64_t end = clock_mono_ms() + PATIENCE_MS; clock_mono_ms() < end;) {
        CLEANUP(buf_clear) struct buf text;
        buf_init(&text, 4 * KIB);
        if (fs_read_file(path, &text, NULL) == STATUS_OK && strchr(text.data, '\n'))
            return strtoll(text.data, NULL, 10);
        clock_sleep_ms(LOOK_MS);
    }
    return -1;
}

void write_text(const char *path, const char *text, mode_t mode)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
        abort();
    (void)close(fd);
}
