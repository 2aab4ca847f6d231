#include "trainer/predict.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"

#define COPY_BYTES (64 * KIB)
#define STDIN_NAME "stdin"

static void predict_clear(struct predict *predict)
{
    predict_writer_clear(&predict->writer);
    data_fit_free(predict->fit);
    model_file_close(&predict->file);
    places_cache_close(&predict->scratch);
}

enum status predict_scratch(struct predict *predict, const char **out, struct error *err)
{
    if (predict->scratch.path[0] == '\0')
        TRY(places_cache_open(&predict->scratch, err));
    *out = predict->scratch.path;
    return STATUS_OK;
}

/* Standard input as a file, which readers need: they look at it more than once, and hold little of it. */
static enum status copy_input(struct predict *predict, char path[PATH_MAX], struct error *err)
{
    const char *folder = NULL;
    TRY(predict_scratch(predict, &folder, err));
    TRY(fs_path(path, PATH_MAX, err, "%s/" STDIN_NAME, folder));
    CLEANUP(file_cleanup) FILE *file = fopen(path, "we");
    if (file == NULL)
        return error_set_errno(err, status_of_errno(errno), errno, "create %s", path);
    char bytes[COPY_BYTES];
    for (;;) {
        const ssize_t got = read(STDIN_FILENO, bytes, sizeof(bytes));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_set_errno(err, STATUS_INTERNAL, errno, "read standard input");
        if (got == 0)
            break;
        if (fwrite(bytes, 1, (size_t)got, file) != (size_t)got)
            return error_set_errno(err, status_of_errno(errno), errno, "write %s", path);
    }
    return fflush(file) == 0
               ? STATUS_OK
               : error_set_errno(err, status_of_errno(errno), errno, "write %s", path);
}

/* Errors are about what was given, and not about our copy of it. */
static void name_input(struct error *err, const char *copy)
{
    static const char name[] = "standard input";
    const size_t size = strlen(copy);
    if (strncmp(err->text, copy, size) != 0)
        return;
    char rest[ERROR_TEXT_BYTES_MAX];
    (void)snprintf(rest, sizeof(rest), "%s", err->text + size);
    (void)snprintf(err->text, sizeof(err->text), "%s%.*s", name,
                   (int)(sizeof(err->text) - sizeof(name)), rest);
}

static void describe_output(struct predict *predict)
{
    const struct model_spec *model = &predict->file.spec.model;
    struct predict_writer *writer = &predict->writer;
    const bool is_text = model->type == MODEL_BILSTM;
    writer->form = predict->request->json ? PREDICT_JSON : is_text ? PREDICT_TEXT : PREDICT_CSV;
    writer->head = is_text ? model->bilstm.head : model->mlp.head;
    writer->classes = (int)(is_text ? model->bilstm.classes : model->mlp.classes);
    writer->fit = predict->fit;
}

static enum status open_model(struct predict *predict, struct error *err)
{
    TRY(model_file_open(predict->request->model, &predict->file, err));
    if (predict->file.fit[0] != '\0')
        TRY(data_fit_parse(predict->file.fit, strlen(predict->file.fit), &predict->fit, err));
    describe_output(predict);
    return STATUS_OK;
}

static predict_fn *function_of(const struct predict *predict)
{
    if (predict->file.spec.model.type == MODEL_NCF)
        return predict_pairs;
    return predict->fit == NULL ? predict_bytes : predict_rows;
}

static enum status check_request(const struct predict *predict, struct error *err)
{
    const struct predict_request *request = predict->request;
    const bool is_pairs = predict->file.spec.model.type == MODEL_NCF;
    if (request->data == NULL && (!is_pairs || request->exclude_seen))
        return error_set(err, STATUS_INVALID, "predict with this model needs --data FILE%s",
                         is_pairs ? " for --exclude-seen" : "");
    if (is_pairs && request->data != NULL && !request->exclude_seen)
        return error_set(err, STATUS_INVALID,
                         "--data is what users have seen, for --exclude-seen, which is not given");
    if (!is_pairs && (request->users != NULL || request->exclude_seen || request->top_k != 0))
        return error_set(err, STATUS_INVALID,
                         "--users, --top-k and --exclude-seen are for recommenders, this is a %s",
                         model_type_names[predict->file.spec.model.type]);
    return STATUS_OK;
}

static enum trainer_exit exit_of(enum status status)
{
    switch ((int)status) {
    case STATUS_OK:
    case STATUS_UNAVAILABLE: /* whoever read the output has seen enough */
        return TRAINER_EXIT_DONE;
    case STATUS_NO_SPACE:
        return TRAINER_EXIT_CANNOT_WRITE;
    case STATUS_NO_MEMORY:
    case STATUS_INTERNAL:
        return TRAINER_EXIT_INTERNAL;
    default:
        return TRAINER_EXIT_BAD_DATA;
    }
}

enum trainer_exit predict_run(const struct predict_request *request, FILE *out, struct error *err)
{
    char copy[PATH_MAX] = "";
    struct predict_request own = *request;
    CLEANUP(predict_clear) struct predict predict = {.request = &own};
    predict_writer_init(&predict.writer, out);
    if (open_model(&predict, err) != STATUS_OK)
        return TRAINER_EXIT_BAD_DATA;
    if (check_request(&predict, err) != STATUS_OK)
        return TRAINER_EXIT_BAD_SPEC;
    if (own.data != NULL && strcmp(own.data, "-") == 0) {
        if (copy_input(&predict, copy, err) != STATUS_OK)
            return TRAINER_EXIT_CANNOT_WRITE;
        own.data = copy;
    }
    enum status status = function_of(&predict)(&predict, err);
    if (status == STATUS_OK)
        status = predict_write_end(&predict.writer, err);
    if (status != STATUS_OK && own.data == copy)
        name_input(err, copy);
    return exit_of(status);
}
