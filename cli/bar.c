#include "cli/bar.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "cli/output.h"

#define BAR_CELLS      28
#define PIPE_LINE_MS   2000
#define RATE_SPAN_MS   500 /* how long a step count is collected for one measure of the rate */
#define RATE_KEEP      0.6 /* weight of the former rate */
#define LINE_BYTES_MAX 1024

void bar_init(struct bar *bar, const struct cli *cli)
{
    *bar = (struct bar){.cli = cli, .began_mono_ms = clock_mono_ms(), .printed_step = -1};
}

void bar_clear(struct bar *bar)
{
    if (bar->drawn)
        fputs("\r\x1b[K", stdout);
    bar->drawn = false;
    fflush(stdout);
}

void bar_say(struct bar *bar, enum bar_tone tone, const char *fmt, ...)
{
    static const char *const colours[] = {
        [BAR_PLAIN] = "", [BAR_GOOD] = "\x1b[32m", [BAR_BAD] = "\x1b[31m"};
    bar_clear(bar);
    printf("%7.1f s  %s", (double)(clock_mono_ms() - bar->began_mono_ms) / 1000,
           bar->cli->colour ? colours[tone] : "");
    va_list args;
    va_start(args, fmt);
    vprintf(fmt, args);
    va_end(args);
    puts(bar->cli->colour && tone != BAR_PLAIN ? "\x1b[0m" : "");
    fflush(stdout);
}

/* An attempt's clock starts with its first step: what it takes to come up says nothing of its rate. */
static void measure_rate(struct bar *bar, int64_t attempt, int64_t step)
{
    const int64_t now = clock_mono_ms();
    if (attempt != bar->attempt) {
        bar->attempt = attempt;
        bar->moving = false;
        bar->last_step = step;
    }
    if (!bar->moving) {
        bar->moving = step != bar->last_step;
        bar->last_step = step;
        bar->last_mono_ms = now;
        return;
    }
    const int64_t span_ms = now - bar->last_mono_ms;
    if (span_ms < RATE_SPAN_MS || step <= bar->last_step)
        return;
    const double rate = (double)(step - bar->last_step) * 1000 / (double)span_ms;
    bar->steps_per_s =
        bar->steps_per_s > 0 ? RATE_KEEP * bar->steps_per_s + (1 - RATE_KEEP) * rate : rate;
    bar->last_step = step;
    bar->last_mono_ms = now;
}

static void append_cells(struct buf *line, int64_t step, int64_t of)
{
    const int64_t done = of > 0 ? step * BAR_CELLS / of : 0;
    for (int64_t i = 0; i < BAR_CELLS; i++)
        buf_append_text(line, i < done ? "█" : "░");
}

static void append_numbers(const struct bar *bar, const json_t *job, struct buf *line)
{
    const int64_t step = field_number(job, "progress.step", 0);
    const int64_t of = field_number(job, "progress.of", 0);
    const double loss = field_decimal(job, "metrics.loss", -1);
    const double samples = field_decimal(job, "metrics.samples_per_second", -1);
    if (of > 0)
        buf_printf(line, " %3lld%%  step %lld/%lld", (long long)(step * 100 / of), (long long)step,
                   (long long)of);
    if (loss >= 0)
        buf_printf(line, "  loss %.4f", loss);
    if (samples >= 0)
        buf_printf(line, samples >= 10000 ? "  %.0fk samples/s" : "  %.1fk samples/s",
                   samples / 1000);
    if (field_number(job, "committed_step", 0) > 0)
        buf_printf(line, "  saved %lld", (long long)field_number(job, "committed_step", 0));
    if (bar->steps_per_s > 0 && of > step) {
        const int64_t left_s = 1 + (int64_t)((double)(of - step) / bar->steps_per_s);
        buf_printf(line, "  ETA %lld:%02lld", (long long)left_s / 60, (long long)left_s % 60);
    }
}

/* Cuts the line to the terminal: a wrapped bar could not be redrawn. */
static void cut_to_width(struct buf *line, int width)
{
    int columns = 0;
    for (size_t i = 0; width > 0 && i < line->size; i++) {
        columns += ((unsigned char)line->data[i] & 0xC0) != 0x80;
        if (columns >= width) {
            line->data[i] = 0;
            return;
        }
    }
}

void bar_draw(struct bar *bar, const json_t *job)
{
    const char *state = field_text(job, "state", "?");
    const int64_t step = field_number(job, "progress.step", 0);
    const int64_t attempt = field_number(job, "attempt", 0);
    measure_rate(bar, attempt, step);
    CLEANUP(buf_clear) struct buf line;
    buf_init(&line, LINE_BYTES_MAX);
    if (bar->cli->stdout_tty) {
        append_cells(&line, step, field_number(job, "progress.of", 0));
        append_numbers(bar, job, &line);
        buf_printf(&line, "  %s", state);
        if (attempt > 1)
            buf_printf(&line, ", attempt %lld", (long long)attempt);
        cut_to_width(&line, bar->cli->width);
        printf("\r%s\x1b[K", line.data);
        bar->drawn = true;
        fflush(stdout);
        return;
    }
    const int64_t now = clock_mono_ms();
    if (step == bar->printed_step || now - bar->printed_mono_ms < PIPE_LINE_MS)
        return;
    bar->printed_step = step;
    bar->printed_mono_ms = now;
    append_numbers(bar, job, &line);
    bar_say(bar, BAR_PLAIN, "%s%s", state, line.data);
}
