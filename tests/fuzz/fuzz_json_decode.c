/* Any bytes: refused with a reason, or canonical text is a fixed point that means the same. */

#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(json_cleanup) json_t *document = fuzz_parse(data, size);
    if (document == NULL)
        return 0;
    char *canonical = json_canonical(document);
    char *plain = json_text(document);
    CLEANUP(json_cleanup)
    json_t *again = fuzz_parse((const uint8_t *)canonical, strlen(canonical));
    CLEANUP(json_cleanup) json_t *same = fuzz_parse((const uint8_t *)plain, strlen(plain));
    assert(json_equal(document, again) && json_equal(document, same));
    char *fixed = json_canonical(again);
    assert(strcmp(canonical, fixed) == 0);
    free(canonical);
    free(plain);
    free(fixed);
    return 0;
}
