#include "trainer/numerics.h"

#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/version.h"
#include "trainer/compute/compute.h"

enum status numerics_describe(char out[NUMERICS_LINE_BYTES], struct error *err)
{
    uint8_t program[SHA256_BYTES];
    TRY(sha256_file("/proc/self/exe", program, NULL, err));
    struct compute *compute = NULL;
    TRY(compute_cpu.open(0, 1, &compute, err));
    CLEANUP(sha256_cleanup) struct sha256 *hash = sha256_new();
    const char *text = compute_cpu.describe(compute);
    sha256_update(hash, program, sizeof(program));
    sha256_update(hash, text, strlen(text));
    uint8_t digest[SHA256_BYTES];
    char hex[SHA256_HEX_BYTES];
    sha256_final(hash, digest);
    sha256_hex(digest, hex);
    (void)snprintf(out, NUMERICS_LINE_BYTES, "%s reprise-trainer %s, %s", hex, REPRISE_VERSION,
                   text);
    compute_cpu.close(compute);
    return STATUS_OK;
}
