/* Any document: every problem named, or a spec that survives the round trip bit for bit. */

#include "schema/job_spec.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct job_spec first;
    static struct job_spec second;
    static struct json_problems problems;
    CLEANUP(json_cleanup) json_t *document = fuzz_parse(data, size);
    if (document == NULL)
        return 0;
    problems.count = 0;
    problems.dropped = 0;
    const struct json_at root = json_at_root(document, &problems);
    job_spec_decode(&root, &first);
    if (!fuzz_check_problems(&problems))
        return 0;
    assert(job_name_is_valid(first.name) && job_name_is_valid(first.project));
    assert((first.training.epochs > 0) != (first.training.steps > 0));
    assert(job_spec_state_bytes(&first, 0) > 0);
    CLEANUP(json_cleanup) json_t *encoded = job_spec_encode(&first);
    assert(encoded != NULL);
    const struct json_at encoded_root = json_at_root(encoded, &problems);
    job_spec_decode(&encoded_root, &second);
    assert(problems.count == 0);
    assert(memcmp(&first, &second, sizeof(first)) == 0);
    return 0;
}
