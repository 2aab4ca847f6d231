/*
 * The agents' messages. The first byte chooses the message; whatever is decoded without a problem is
 * encoded to text that decodes and encodes to itself.
 */

#include "schema/wire_agent.h"
#include "schema/wire_event.h"
#include "tests/fuzz/fuzz.h"

#define ACKS_MAX 16

static struct json_problems problems;

/* Decodes `document` and gives it encoded again; NULL when there was a problem. */
typedef json_t *recode_fn(const struct json_at *at);

static json_t *recode_join(const struct json_at *at)
{
    static struct wire_join join;
    memset(&join, 0, sizeof(join));
    wire_join_decode(at, &join);
    return fuzz_check_problems(at->problems) ? wire_join_encode(&join) : NULL;
}

static json_t *recode_join_answer(const struct json_at *at)
{
    struct wire_join_answer answer = {.node_id = ""};
    wire_join_answer_decode(at, &answer);
    return fuzz_check_problems(at->problems) ? wire_join_answer_encode(&answer) : NULL;
}

static json_t *recode_sync(const struct json_at *at)
{
    CLEANUP(wire_sync_clear) struct wire_sync sync = {.session = 0};
    wire_sync_decode(at, &sync);
    return fuzz_check_problems(at->problems) ? wire_sync_encode(&sync) : NULL;
}

static json_t *recode_sync_answer(const struct json_at *at)
{
    CLEANUP(wire_sync_answer_clear) struct wire_sync_answer answer = {.session = 0};
    wire_sync_answer_decode(at, &answer);
    return fuzz_check_problems(at->problems) ? wire_sync_answer_encode(&answer) : NULL;
}

static json_t *recode_result(const struct json_at *at)
{
    CLEANUP(wire_result_clear) struct wire_result result = {.attempt = 0};
    wire_result_decode(at, &result);
    return fuzz_check_problems(at->problems) ? wire_result_encode(&result) : NULL;
}

static json_t *recode_telemetry_answer(const struct json_at *at)
{
    static struct wire_telemetry_ack acked[ACKS_MAX];
    static struct wire_telemetry_ack stale[ACKS_MAX];
    size_t acked_count = 0;
    size_t stale_count = 0;
    wire_telemetry_answer_decode(at, ACKS_MAX, acked, &acked_count, stale, &stale_count);
    return fuzz_check_problems(at->problems)
               ? wire_telemetry_answer_encode(acked, acked_count, stale, stale_count)
               : NULL;
}

static json_t *recode(recode_fn *codec, const json_t *document)
{
    problems.count = 0;
    problems.dropped = 0;
    const struct json_at root = json_at_root(document, &problems);
    return codec(&root);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static recode_fn *const codecs[] = {recode_join,   recode_join_answer,
                                        recode_sync,   recode_sync_answer,
                                        recode_result, recode_telemetry_answer};
    if (size == 0)
        return 0;
    recode_fn *codec = codecs[data[0] % COUNT_OF(codecs)];
    CLEANUP(json_cleanup) json_t *document = fuzz_parse(data + 1, size - 1);
    if (document == NULL)
        return 0;
    CLEANUP(json_cleanup) json_t *first = recode(codec, document);
    if (first == NULL)
        return 0;
    CLEANUP(json_cleanup) json_t *second = recode(codec, first);
    assert(second != NULL);
    char *first_text = json_text(first);
    char *second_text = json_text(second);
    assert(strcmp(first_text, second_text) == 0);
    free(first_text);
    free(second_text);
    return 0;
}
