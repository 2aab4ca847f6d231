#include "trainer/predict_write.h"

#include <errno.h>
#include <string.h>

#include "base/json.h"

#define LINE_BYTES_MAX (32 * MIB) /* a text and its escapes */
#define LABEL_BYTES    96
#define FLOAT_DIGITS   9

void predict_writer_init(struct predict_writer *writer, FILE *file)
{
    *writer = (struct predict_writer){.file = file};
    buf_init(&writer->line, LINE_BYTES_MAX);
}

void predict_writer_clear(struct predict_writer *writer)
{
    buf_clear(&writer->line);
}

static enum status write_failed(struct error *err)
{
    return error_set_errno(err, errno == EPIPE ? STATUS_UNAVAILABLE : STATUS_NO_SPACE, errno,
                           "write the predictions");
}

enum status predict_write_end(struct predict_writer *writer, struct error *err)
{
    return fflush(writer->file) == 0 ? STATUS_OK : write_failed(err);
}

static enum status put_line(struct predict_writer *writer, struct error *err)
{
    buf_append_text(&writer->line, "\n");
    TRY(buf_status(&writer->line, "line of output", err));
    const size_t written = fwrite(writer->line.data, 1, writer->line.size, writer->file);
    if (written != writer->line.size)
        return write_failed(err);
    buf_reset(&writer->line);
    return STATUS_OK;
}

static const char *class_name(const struct predict_writer *writer, int64_t index,
                              char number[LABEL_BYTES])
{
    const char *name = writer->fit == NULL ? NULL : data_class_name(writer->fit, index);
    if (name != NULL)
        return name;
    (void)snprintf(number, LABEL_BYTES, "%lld", (long long)index);
    return number;
}

/* RFC 4180: quotes where the field has a separator, a quote or a line break. */
static void append_csv(struct buf *out, const char *text)
{
    if (strpbrk(text, ",\"\r\n") == NULL) {
        buf_append_text(out, text);
        return;
    }
    buf_append_text(out, "\"");
    for (const char *at = text; *at != '\0'; at++)
        buf_append(out, *at == '"' ? "\"\"" : at, *at == '"' ? 2 : 1);
    buf_append_text(out, "\"");
}

static void append_number(struct buf *out, float value)
{
    buf_printf(out, "%.*g", FLOAT_DIGITS, (double)value);
}

static int64_t best_class(const struct predict_writer *writer, const float *scores)
{
    if (writer->head == HEAD_SIGMOID)
        return scores[0] >= 0.5F ? 1 : 0;
    int64_t best = 0;
    for (int i = 1; i < writer->classes; i++)
        best = scores[i] > scores[best] ? i : best;
    return best;
}

enum status predict_write_header(struct predict_writer *writer, struct error *err)
{
    if (writer->form != PREDICT_CSV)
        return STATUS_OK;
    struct buf *line = &writer->line;
    if (writer->head == HEAD_LINEAR) {
        buf_append_text(line, "value");
    } else if (writer->head == HEAD_SIGMOID) {
        buf_append_text(line, "class,probability");
    } else {
        buf_append_text(line, "class");
        for (int i = 0; i < writer->classes; i++) {
            char number[LABEL_BYTES], field[LABEL_BYTES + DATA_COLUMN_BYTES];
            (void)snprintf(field, sizeof(field), "probability_%s", class_name(writer, i, number));
            buf_append_text(line, ",");
            append_csv(line, field);
        }
    }
    return put_line(writer, err);
}

static void append_csv_row(struct predict_writer *writer, const float *scores)
{
    struct buf *line = &writer->line;
    const int count = writer->head == HEAD_SOFTMAX ? writer->classes : 1;
    if (writer->head != HEAD_LINEAR) {
        char number[LABEL_BYTES];
        append_csv(line, class_name(writer, best_class(writer, scores), number));
        buf_append_text(line, ",");
    }
    for (int i = 0; i < count; i++) {
        if (i > 0)
            buf_append_text(line, ",");
        append_number(line, scores[i]);
    }
}

static void append_text_row(struct predict_writer *writer, const float *scores, const char *text,
                            size_t text_bytes)
{
    const int count = writer->head == HEAD_SOFTMAX ? writer->classes : 1;
    for (int i = 0; i < count; i++) {
        if (i > 0)
            buf_append_text(&writer->line, ",");
        append_number(&writer->line, scores[i]);
    }
    buf_append_text(&writer->line, "\t");
    for (size_t i = 0; i < text_bytes; i++) /* a text of JSON may have lines of its own */
        buf_append(&writer->line, text[i] == '\n' || text[i] == '\r' ? " " : text + i, 1);
}

static enum status append_json_row(struct predict_writer *writer, const float *scores,
                                   const char *text, size_t text_bytes, struct error *err)
{
    struct buf *line = &writer->line;
    char number[LABEL_BYTES];
    if (writer->head == HEAD_LINEAR) {
        buf_append_text(line, "{\"value\":");
        append_number(line, scores[0]);
    } else {
        buf_append_text(line, "{\"class\":");
        json_append_string(line, class_name(writer, best_class(writer, scores), number));
    }
    if (writer->head == HEAD_SIGMOID) {
        buf_append_text(line, ",\"probability\":");
        append_number(line, scores[0]);
    }
    for (int i = 0; writer->head == HEAD_SOFTMAX && i < writer->classes; i++) {
        buf_append_text(line, i == 0 ? ",\"probabilities\":{" : ",");
        json_append_string(line, class_name(writer, i, number));
        buf_append_text(line, ":");
        append_number(line, scores[i]);
    }
    if (writer->head == HEAD_SOFTMAX)
        buf_append_text(line, "}");
    if (text != NULL) {
        CLEANUP(buf_clear) struct buf copy; /* with a NUL behind it */
        buf_init(&copy, LINE_BYTES_MAX);
        buf_append(&copy, text, text_bytes);
        TRY(buf_status(&copy, "line of output", err));
        buf_append_text(line, ",\"text\":");
        json_append_string(line, copy.data);
    }
    buf_append_text(line, "}");
    return STATUS_OK;
}

enum status predict_write_row(struct predict_writer *writer, const float *scores, const char *text,
                              size_t text_bytes, struct error *err)
{
    switch (writer->form) {
    case PREDICT_CSV:
        append_csv_row(writer, scores);
        break;
    case PREDICT_TEXT:
        append_text_row(writer, scores, text, text_bytes);
        break;
    case PREDICT_JSON:
        TRY(append_json_row(writer, scores, text, text_bytes, err));
        break;
    }
    return put_line(writer, err);
}

enum status predict_write_item(struct predict_writer *writer, const char *user, int rank,
                               const char *item, float score, struct error *err)
{
    struct buf *line = &writer->line;
    if (writer->form == PREDICT_JSON) {
        buf_append_text(line, "{\"user\":");
        json_append_string(line, user);
        buf_printf(line, ",\"rank\":%d,\"item\":", rank);
        json_append_string(line, item);
        buf_append_text(line, ",\"score\":");
        append_number(line, score);
        buf_append_text(line, "}");
    } else {
        buf_printf(line, "%s\t%d\t%s\t", user, rank, item);
        append_number(line, score);
    }
    return put_line(writer, err);
}
