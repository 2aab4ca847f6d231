#include "trainer/contract.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"

#define PORT_MAX 65535

/* NULL when the variable is not set or empty. */
static const char *look_up(char *const environment[], const char *name)
{
    const size_t length = strlen(name);
    for (size_t i = 0; environment[i] != NULL; i++) {
        if (strncmp(environment[i], name, length) != 0 || environment[i][length] != '=')
            continue;
        const char *value = environment[i] + length + 1;
        return value[0] == '\0' ? NULL : value;
    }
    return NULL;
}

static enum status parse_number(const char *name, const char *text, int64_t min, int64_t max,
                                int64_t *out, struct error *err)
{
    char *end = NULL;
    errno = 0;
    const long long value = strtoll(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || value < min || value > max)
        return error_set(err, STATUS_INVALID, "%s: expected a number %lld..%lld, got \"%s\"", name,
                         (long long)min, (long long)max, text);
    *out = value;
    return STATUS_OK;
}

struct number_row {
    const char *name;
    int64_t min, max, initial;
    int64_t *target;
};

static enum status read_numbers(char *const environment[], const struct number_row rows[],
                                size_t count, struct error *err)
{
    for (size_t i = 0; i < count; i++) {
        const char *text = look_up(environment, rows[i].name);
        *rows[i].target = rows[i].initial;
        if (text != NULL)
            TRY(parse_number(rows[i].name, text, rows[i].min, rows[i].max, rows[i].target, err));
    }
    return STATUS_OK;
}

struct text_row {
    const char *name;
    bool required;
    const char **target;
};

static enum status read_texts(char *const environment[], const struct text_row rows[], size_t count,
                              struct error *err)
{
    for (size_t i = 0; i < count; i++) {
        *rows[i].target = look_up(environment, rows[i].name);
        if (rows[i].required && *rows[i].target == NULL)
            return error_set(err, STATUS_INVALID, "%s is not set", rows[i].name);
    }
    return STATUS_OK;
}

static enum status read_places(char *const environment[], struct contract *out, struct error *err)
{
    int64_t rank = 0, world_size = 0, port = 0;
    int64_t local_rank = 0, local_world_size = 0, group_rank = 0, group_world_size = 0;
    const struct number_row numbers[] = {
        {"RANK", 0, INT_MAX - 1, 0, &rank},
        {"WORLD_SIZE", 1, INT_MAX, 1, &world_size},
        {"LOCAL_RANK", 0, INT_MAX - 1, 0, &local_rank},
        {"LOCAL_WORLD_SIZE", 1, INT_MAX, 1, &local_world_size},
        {"GROUP_RANK", 0, INT_MAX - 1, 0, &group_rank},
        {"GROUP_WORLD_SIZE", 1, INT_MAX, 1, &group_world_size},
        {"MASTER_PORT", 0, PORT_MAX, 0, &port},
    };
    TRY(read_numbers(environment, numbers, COUNT_OF(numbers), err));
    if (rank >= world_size)
        return error_set(err, STATUS_INVALID, "RANK %lld is not below WORLD_SIZE %lld",
                         (long long)rank, (long long)world_size);
    if (local_rank >= local_world_size || group_rank >= group_world_size)
        return error_set(err, STATUS_INVALID, "LOCAL_RANK or GROUP_RANK is not below its size");
    out->rank = (int)rank;
    out->world_size = (int)world_size;
    out->local_rank = (int)local_rank;
    out->local_world_size = (int)local_world_size;
    out->group_rank = (int)group_rank;
    out->group_world_size = (int)group_world_size;
    out->master_port = (int)port;
    return STATUS_OK;
}

enum status contract_read(char *const environment[], struct contract *out, struct error *err)
{
    struct contract contract = {.standalone = false};
    TRY(read_places(environment, &contract, err));
    const bool is_gang = contract.world_size > 1;
    const struct text_row texts[] = {
        {"REPRISE_JOB_ID", true, &contract.job_id},
        {"REPRISE_SPEC", true, &contract.spec_path},
        {"REPRISE_EVENTS", true, &contract.events_path},
        {"REPRISE_DATA_DIR", true, &contract.data_dir},
        {"REPRISE_DATA_CACHE", false, &contract.data_cache},
        {"REPRISE_OUTPUT_DIR", true, &contract.output_dir},
        {"REPRISE_CHECKPOINT_DIR", true, &contract.checkpoint_dir},
        {"REPRISE_RESUME_FROM", false, &contract.resume_from},
        {"REPRISE_PROGRESS", false, &contract.progress_path},
        {"REPRISE_SHARED_MEMORY", false, &contract.shared_memory},
        {"REPRISE_BIND_ADDRESS", false, &contract.bind_address},
        {"MASTER_ADDR", is_gang, &contract.master_address},
        {"REPRISE_RENDEZVOUS_SECRET_FILE", is_gang, &contract.secret_file},
    };
    TRY(read_texts(environment, texts, COUNT_OF(texts), err));
    const struct number_row numbers[] = {
        {"REPRISE_ATTEMPT", 1, INT64_MAX, 1, &contract.attempt},
        {"REPRISE_RESUME_STEP", 0, INT64_MAX, contract.resume_from == NULL ? 0 : -1,
         &contract.resume_step},
        {"REPRISE_HANG_TIMEOUT_MS", 0, INT_MAX, 0, &contract.hang_timeout_ms},
        {"REPRISE_SETUP_TIMEOUT_MS", 1, INT_MAX, CONTRACT_SETUP_DEFAULT_MS,
         &contract.setup_timeout_ms},
    };
    TRY(read_numbers(environment, numbers, COUNT_OF(numbers), err));
    if (contract.hang_timeout_ms == 0)
        contract.hang_timeout_ms = CONTRACT_HANG_DEFAULT_MS;
    if (is_gang && contract.master_port == 0)
        return error_set(err, STATUS_INVALID, "MASTER_PORT is not set");
    *out = contract;
    return STATUS_OK;
}
