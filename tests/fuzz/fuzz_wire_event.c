/* Any line of a trainer: refused with a reason, or an event that survives the round trip. */

#include "base/clock.h"
#include "schema/wire_event.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct wire_event first;
    static struct wire_event second;
    struct error err = {.status = STATUS_OK};
    fuzz_check_error(wire_event_decode((const char *)data, size, &first, &err), &err);
    if (err.status != STATUS_OK || first.kind == EVENT_OTHER)
        return 0;
    assert(first.value_count <= EVENT_VALUES_MAX);
    assert(first.wall_ms >= 0 && first.wall_ms <= CLOCK_WALL_MS_MAX);
    CLEANUP(json_cleanup) json_t *encoded = wire_event_encode(&first);
    char *line = json_text(encoded);
    const enum status status = wire_event_decode(line, strlen(line), &second, &err);
    free(line);
    if (status == STATUS_TOO_LARGE)
        return 0; /* escapes made a line at the limit longer */
    assert(status == STATUS_OK);
    assert(second.kind == first.kind && second.seq == first.seq && second.rank == first.rank);
    assert(second.wall_ms == first.wall_ms && second.step == first.step);
    assert(second.value_count == first.value_count);
    assert(memcmp(second.values, first.values, sizeof(first.values)) == 0);
    assert(strcmp(second.path, first.path) == 0 && strcmp(second.sha256, first.sha256) == 0);
    return 0;
}
