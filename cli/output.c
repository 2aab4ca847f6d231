#include "cli/output.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/fs.h"
#include "base/json.h"

#define COLUMNS_MAX 16

/* ---------------------------------------------------------------- values */

json_t *field_find(const json_t *root, const char *path)
{
    char key[64];
    const json_t *at = root;
    while (*path && at) {
        const size_t length = strcspn(path, ".");
        snprintf(key, sizeof key, "%.*s", (int)length, path);
        path += length + (path[length] == '.');
        if (json_is_array(at)) {
            char *end = NULL;
            const long index = strtol(key, &end, 10);
            const long size = (long)json_array_size(at);
            at = *end ? NULL : json_array_get(at, (size_t)(index < 0 ? size + index : index));
        } else {
            at = json_object_get(at, key);
        }
    }
    return (json_t *)(uintptr_t)at;
}

void field_print(const json_t *value, struct buf *out)
{
    if (!value || json_is_null(value))
        return;
    if (json_is_string(value)) {
        buf_append_text(out, json_string_value(value));
        return;
    }
    if (json_is_real(value)) {
        buf_printf(out, "%.6g", json_real_value(value));
        return;
    }
    CLEANUP(free_cleanup) char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    buf_append_text(out, text ? text : "");
}

const char *field_text(const json_t *root, const char *path, const char *otherwise)
{
    const char *text = json_string_value(field_find(root, path));
    return text ? text : otherwise;
}

int64_t field_number(const json_t *root, const char *path, int64_t otherwise)
{
    const json_t *value = field_find(root, path);
    return json_is_integer(value) ? (int64_t)json_integer_value(value) : otherwise;
}

double field_decimal(const json_t *root, const char *path, double otherwise)
{
    const json_t *value = field_find(root, path);
    return json_is_number(value) ? json_number_value(value) : otherwise;
}

void format_bytes(int64_t bytes, struct buf *out)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double value = (double)bytes;
    size_t unit = 0;
    while (value >= 1024 && unit + 1 < COUNT_OF(units)) {
        value /= 1024;
        unit++;
    }
    buf_printf(out, unit == 0 || value >= 100 ? "%.0f %s" : "%.1f %s", value, units[unit]);
}

void format_span(int64_t duration_ms, struct buf *out)
{
    const int64_t seconds = duration_ms / 1000;
    if (duration_ms < 1000)
        buf_printf(out, "%lld ms", (long long)duration_ms);
    else if (seconds < 60)
        buf_printf(out, "%.1f s", (double)duration_ms / 1000);
    else if (seconds < 3600)
        buf_printf(out, "%lldm%02llds", (long long)seconds / 60, (long long)seconds % 60);
    else if (seconds < 48 * 3600)
        buf_printf(out, "%lldh%02lldm", (long long)seconds / 3600, (long long)seconds / 60 % 60);
    else
        buf_printf(out, "%lldd", (long long)seconds / 86400);
}

int64_t parse_time(const char *rfc3339)
{
    struct tm when = {0};
    int millis = 0;
    if (!rfc3339 || sscanf(rfc3339, "%d-%d-%dT%d:%d:%d.%d", &when.tm_year, &when.tm_mon,
                           &when.tm_mday, &when.tm_hour, &when.tm_min, &when.tm_sec, &millis) < 6)
        return -1;
    when.tm_year -= 1900;
    when.tm_mon -= 1;
    return (int64_t)timegm(&when) * 1000 + millis;
}

int64_t span_between(const json_t *root, const char *from_path, const char *to_path)
{
    const int64_t from = parse_time(field_text(root, from_path, NULL));
    const int64_t to = parse_time(field_text(root, to_path, NULL));
    return from < 0 || to < 0 ? -1 : to - from;
}

/* ---------------------------------------------------------------- colour */

const char *colour_of_state(const struct cli *cli, const char *state)
{
    static const struct {
        const char *state, *colour;
    } table[] = {
        {"running", "\x1b[32m"},    {"succeeded", "\x1b[1;32m"}, {"ready", "\x1b[32m"},
        {"failed", "\x1b[1;31m"},   {"lost", "\x1b[1;31m"},      {"recovering", "\x1b[33m"},
        {"cancelling", "\x1b[33m"}, {"draining", "\x1b[33m"},    {"queued", "\x1b[36m"},
        {"starting", "\x1b[36m"},   {"cancelled", "\x1b[2m"},
    };
    for (size_t i = 0; cli->colour && i < COUNT_OF(table); i++)
        if (strcmp(table[i].state, state) == 0)
            return table[i].colour;
    return "";
}

const char *colour_off(const struct cli *cli)
{
    return cli->colour ? "\x1b[0m" : "";
}

/* ---------------------------------------------------------------- formats */

static void cell_of(const struct column *column, const json_t *item, struct buf *out)
{
    buf_init(out, CELL_BYTES_MAX);
    if (column->format)
        column->format(item, out);
    else
        field_print(field_find(item, column->path), out);
}

/* Columns on a terminal: UTF-8 continuation bytes take none. */
static size_t shown_width(const char *text)
{
    size_t width = 0;
    for (; *text; text++)
        width += ((unsigned char)*text & 0xC0) != 0x80;
    return width;
}

static bool is_shown(const struct cli *cli, const struct column *column)
{
    return !column->wide || cli->output == OUTPUT_WIDE || cli->output == OUTPUT_CSV;
}

/* Bytes of `text` that fit into `columns` columns. */
static size_t fitting_bytes(const char *text, size_t columns)
{
    size_t bytes = 0;
    for (size_t width = 0; text[bytes]; bytes++) {
        width += ((unsigned char)text[bytes] & 0xC0) != 0x80;
        if (width > columns)
            break;
    }
    return bytes;
}

/* What the terminal has no room for is cut, and shown to be: half a number would be another one. */
static void print_cell(const struct cli *cli, const struct column *column, const char *text,
                       size_t width, bool last, size_t *used)
{
    const size_t length = shown_width(text);
    const size_t padding = width > length ? width - length : 0;
    const size_t lead = column->right ? padding : 0;
    const size_t begin = *used + lead;
    const size_t end = cli->width > 0 ? (size_t)cli->width : SIZE_MAX;
    *used += width + 2;
    if (begin >= end)
        return;
    const bool cut = length > end - begin;
    const size_t bytes = cut ? fitting_bytes(text, end - begin - 1) : strlen(text);
    printf("%*s%s%.*s%s%s", (int)lead, "", column->state ? colour_of_state(cli, text) : "",
           (int)bytes, text, cut ? "…" : "", column->state ? colour_off(cli) : "");
    const size_t gap = padding - lead + 2;
    const size_t room = cut ? 0 : end - begin - length;
    if (!last)
        printf("%*s", (int)(gap < room ? gap : room), "");
}

static void measure(const struct cli *cli, const struct column *columns, const json_t *items,
                    size_t widths[COLUMNS_MAX])
{
    for (size_t c = 0; columns[c].title; c++) {
        if (!is_shown(cli, &columns[c]))
            continue;
        widths[c] = shown_width(columns[c].title);
        size_t i = 0;
        json_t *item = NULL;
        json_array_foreach(items, i, item) {
            CLEANUP(buf_clear) struct buf cell;
            cell_of(&columns[c], item, &cell);
            const size_t width = shown_width(cell.data);
            widths[c] = width > widths[c] ? width : widths[c];
        }
    }
}

static size_t last_shown(const struct cli *cli, const struct column *columns)
{
    size_t last = 0;
    for (size_t c = 0; columns[c].title; c++)
        last = is_shown(cli, &columns[c]) ? c : last;
    return last;
}

static void print_table(const struct cli *cli, const struct column *columns, const json_t *items)
{
    size_t widths[COLUMNS_MAX] = {0};
    measure(cli, columns, items, widths);
    const size_t last = last_shown(cli, columns);
    size_t used = 0;
    for (size_t c = 0; columns[c].title; c++) {
        const struct column header = {.right = columns[c].right};
        if (is_shown(cli, &columns[c]))
            print_cell(cli, &header, columns[c].title, widths[c], c == last, &used);
    }
    putchar('\n');
    size_t i = 0;
    json_t *item = NULL;
    json_array_foreach(items, i, item) {
        used = 0;
        for (size_t c = 0; columns[c].title; c++) {
            if (!is_shown(cli, &columns[c]))
                continue;
            CLEANUP(buf_clear) struct buf cell;
            cell_of(&columns[c], item, &cell);
            print_cell(cli, &columns[c], cell.data, widths[c], c == last, &used);
        }
        putchar('\n');
    }
}

/* RFC 4180. */
static void print_csv_cell(const char *text)
{
    if (!strpbrk(text, ",\"\r\n")) {
        fputs(text, stdout);
        return;
    }
    putchar('"');
    for (; *text; text++) {
        if (*text == '"')
            putchar('"');
        putchar(*text);
    }
    putchar('"');
}

static void print_csv(const struct column *columns, const json_t *items)
{
    for (size_t c = 0; columns[c].title; c++) {
        if (c > 0)
            putchar(',');
        print_csv_cell(columns[c].title);
    }
    fputs("\r\n", stdout);
    size_t i = 0;
    json_t *item = NULL;
    json_array_foreach(items, i, item) {
        for (size_t c = 0; columns[c].title; c++) {
            CLEANUP(buf_clear) struct buf cell;
            cell_of(&columns[c], item, &cell);
            if (c > 0)
                putchar(',');
            print_csv_cell(cell.data);
        }
        fputs("\r\n", stdout);
    }
}

void print_json(const json_t *value)
{
    json_dumpf(value, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY);
    putchar('\n');
}

void print_document(const struct cli *cli, const json_t *value)
{
    if (cli->output != OUTPUT_JSONL) {
        print_json(value);
        return;
    }
    json_dumpf(value, stdout, JSON_COMPACT | JSON_ENCODE_ANY);
    putchar('\n');
}

static void print_each(const json_t *items, const char *name_path)
{
    size_t i = 0;
    json_t *item = NULL;
    json_array_foreach(items, i, item) {
        if (name_path)
            puts(field_text(item, name_path, ""));
        else if (json_dumpf(item, stdout, JSON_COMPACT | JSON_ENCODE_ANY) == 0)
            putchar('\n');
    }
}

void print_list(const struct cli *cli, const struct column *columns, const char *name_path,
                const json_t *items)
{
    switch (cli->output) {
    case OUTPUT_TABLE:
    case OUTPUT_WIDE:
        print_table(cli, columns, items);
        break;
    case OUTPUT_JSON:
        print_json(items);
        break;
    case OUTPUT_JSONL:
        print_each(items, NULL);
        break;
    case OUTPUT_CSV:
        print_csv(columns, items);
        break;
    case OUTPUT_NAME:
        print_each(items, name_path);
        break;
    }
}

void print_object(const struct cli *cli, const struct column *columns, const char *name_path,
                  const json_t *item)
{
    if (cli->output == OUTPUT_JSON) {
        print_json(item);
        return;
    }
    CLEANUP(json_cleanup) json_t *items = json_array();
    json_array_append(items, (json_t *)(uintptr_t)item);
    print_list(cli, columns, name_path, items);
}

int print_one_field(const struct cli *cli, const json_t *root, const char *path)
{
    const json_t *value = field_find(root, path);
    if (!value || json_is_null(value)) {
        cli_complain(cli, "there is no %s", path);
        return EXIT_NOT_FOUND;
    }
    if (json_is_object(value) || json_is_array(value)) {
        print_json(value);
        return EXIT_DONE;
    }
    CLEANUP(buf_clear) struct buf text;
    buf_init(&text, CLI_ANSWER_BYTES_MAX);
    field_print(value, &text);
    puts(text.data);
    return EXIT_DONE;
}
