#include "base/log.h"

#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"

#define LOG_LINE_BYTES_MAX ((size_t)16 * KIB)

static struct {
    const char *program;
    enum log_level level;
    bool json;
} setup = {.program = "reprise", .level = LOG_INFO};

static const char *const level_names[] = {
    [LOG_DEBUG] = "debug", [LOG_INFO] = "info", [LOG_WARN] = "warn", [LOG_ERROR] = "error"};

void log_setup(const char *program, enum log_level level, bool json)
{
    setup.program = program;
    setup.level = level;
    setup.json = json;
}

bool log_level_parse(const char *name, enum log_level *out)
{
    for (size_t i = 0; i < COUNT_OF(level_names); i++) {
        if (strcmp(level_names[i], name) == 0) {
            *out = (enum log_level)i;
            return true;
        }
    }
    return false;
}

static void append_json_field(struct buf *line, const char *key, const char *value)
{
    buf_append(line, ",", 1);
    json_append_string(line, key);
    buf_append(line, ":", 1);
    json_append_string(line, value);
}

/* A value without quotes when it is one plain word, else as a JSON string: still greppable. */
static void append_text_value(struct buf *line, const char *value)
{
    bool plain = *value != '\0';
    for (const char *c = value; *c != '\0' && plain; c++)
        plain = (unsigned char)*c > ' ' && *c != '"' && *c != '\\' && *c != '=' && *c != 0x7f;
    if (plain)
        buf_append_text(line, value);
    else
        json_append_string(line, value);
}

/* A message is for people, but never more than one line. */
static void append_message(struct buf *line, const char *message)
{
    for (const char *c = message; *c != '\0'; c++)
        buf_append(line, (unsigned char)*c < 0x20 || *c == 0x7f ? " " : c, 1);
}

static void append_head(struct buf *line, enum log_level level, const char *event,
                        const char *message)
{
    char now[CLOCK_RFC3339_BYTES];
    clock_format_rfc3339(clock_wall_ms(), now);
    if (setup.json) {
        buf_printf(line, "{\"time\":\"%s\",\"level\":\"%s\"", now, level_names[level]);
        append_json_field(line, "program", setup.program);
        append_json_field(line, "event", event);
        append_json_field(line, "message", message);
        return;
    }
    const char *time_of_day = now + strlen("2026-11-24T");
    buf_printf(line, "%.12s %-5s %s ", time_of_day, level_names[level], event);
    append_message(line, message);
}

void log_write(enum log_level level, const char *event, const char *message, ...)
{
    if (level < setup.level)
        return;
    CLEANUP(buf_clear) struct buf line;
    buf_init(&line, LOG_LINE_BYTES_MAX);
    append_head(&line, level, event, message);
    va_list args;
    va_start(args, message);
    for (const char *key = va_arg(args, const char *); key != NULL;
         key = va_arg(args, const char *)) {
        const char *value = va_arg(args, const char *);
        if (setup.json) {
            append_json_field(&line, key, value);
        } else {
            buf_printf(&line, " %s=", key);
            append_text_value(&line, value);
        }
    }
    va_end(args);
    buf_append_text(&line, setup.json ? "}\n" : "\n");
    if (line.failed != STATUS_OK) {
        buf_reset(&line);
        append_head(&line, level, event, "(a line over the limit was dropped)");
        buf_append_text(&line, setup.json ? "}\n" : "\n");
    }
    const enum status written = fs_write_all(STDERR_FILENO, line.data, line.size, NULL);
    (void)written; /* nowhere to complain to */
}
