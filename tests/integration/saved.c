#include "tests/integration/saved.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/fs.h"
#include "base/json.h"
#include "tests/integration/cluster.h"

#define VERB_MS    60000
#define OUTPUT_MAX (16 * MIB)

void saved_run(const char *const *words, const char *input, struct process_result *out)
{
    char program[512];
    const char *argv[SAVED_WORDS_MAX + 2] = {program};
    process_setup();
    cluster_program("reprise-trainer", program);
    for (int i = 0; i < SAVED_WORDS_MAX && words[i] != NULL; i++)
        argv[i + 1] = words[i];
    /* The trainer would take it for --data; empty is as good as not there. */
    static const char *const environment[] = {"REPRISE_DATA=", NULL};
    process_run(argv, environment, input, VERB_MS, out);
}

struct buf saved_output(const char *const *words, const char *input)
{
    struct process_result result;
    saved_run(words, input, &result);
    if (result.exit_code != 0)
        fail_msg("%s: exit %d: %s", words[0], result.exit_code, result.err.data);
    struct buf copy;
    buf_init(&copy, OUTPUT_MAX);
    buf_append(&copy, result.out.data, result.out.size);
    assert_int_equal(copy.failed, STATUS_OK);
    process_result_clear(&result);
    return copy;
}

json_t *saved_json(const char *const *words)
{
    CLEANUP(buf_clear) struct buf text = saved_output(words, NULL);
    struct error err = {.status = STATUS_OK};
    json_t *json = NULL;
    if (json_parse(text.data, text.size, &json, &err) != STATUS_OK)
        fail_msg("%s: %s", text.data, err.text);
    return json;
}

void saved_refused(const char *const *words, const char *input, int code, const char *text)
{
    struct process_result result;
    saved_run(words, input, &result);
    if (result.exit_code != code)
        fail_msg("%s: exit %d: %s", words[0], result.exit_code, result.err.data);
    if (strstr(result.err.data, text) == NULL)
        fail_msg("expected \"%s\" in: %s", text, result.err.data);
    process_result_clear(&result);
}

struct buf saved_read(const char *folder, const char *name)
{
    char path[SAVED_PATH_BYTES];
    struct error err = {.status = STATUS_OK};
    struct buf bytes;
    buf_init(&bytes, OUTPUT_MAX);
    (void)snprintf(path, sizeof(path), "%s%s%s", folder, folder[0] == '\0' ? "" : "/", name);
    if (fs_read_file(path, &bytes, &err) != STATUS_OK)
        fail_msg("%s", err.text);
    return bytes;
}

void saved_open(struct saved *saved, const char *job, const char *kind)
{
    *saved = (struct saved){.folder = "/tmp/reprise-saved-XXXXXX"};
    assert_non_null(mkdtemp(saved->folder));
    char spec[SAVED_PATH_BYTES], output[SAVED_PATH_BYTES];
    (void)snprintf(spec, sizeof(spec), "deploy/jobs/%s.json", job);
    (void)snprintf(output, sizeof(output), "%s/out", saved->folder);
    (void)snprintf(saved->data, sizeof(saved->data), "%s/data", saved->folder);
    (void)snprintf(saved->model, sizeof(saved->model), "%s/out/model.safetensors", saved->folder);
    (void)snprintf(saved->onnx, sizeof(saved->onnx), "%s/out/model.onnx", saved->folder);
    const char *const invent[] = {"make-data", kind, "--output", saved->data, NULL};
    struct buf nothing = saved_output(invent, NULL);
    buf_clear(&nothing);
    const char *const train[] = {"train", spec, "--data", saved->data, "--output", output, NULL};
    saved->trained = saved_json(train);
}

void saved_close(struct saved *saved)
{
    json_decref(saved->trained);
    if (saved->folder[0] != '\0')
        (void)!fs_remove_tree(saved->folder, NULL);
}
