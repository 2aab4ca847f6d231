#ifndef TRAINER_EXPORT_TFEVENTS_H
#define TRAINER_EXPORT_TFEVENTS_H

/*
 * tfevents.h - scalars for TensorBoard: a folder of event files, each a run of TFRecords.
 *
 * A record is: u64 length, u32 masked CRC-32C of the length's bytes, the bytes, u32 masked CRC-32C of
 * the bytes; all little-endian. The bytes are an Event message: wall_time = 1 (double), step = 2
 * (int64), file_version = 3 (string, in the first record alone), summary = 5 { value = 1 repeated
 * { tag = 1, simple_value = 2 (float) } }. The sources are TensorFlow's event.proto, summary.proto
 * and record_writer.cc.
 *
 * Each record is one write(2) of an append: whoever is killed leaves whole records, and a reader that
 * looks meanwhile sees none that will not become whole. A resumed run opens a file of its own in the
 * same folder; TensorBoard joins them by name and takes the newer where steps overlap.
 *
 * Threads: one at a time.
 * Time:    the caller's; wall time goes into the file's name and the records.
 * Errors:  STATUS_NO_SPACE and kin name the file.
 */

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define TFEVENTS_SCALARS_MAX     64
#define TFEVENTS_TAG_BYTES       128
#define TFEVENTS_SAME_SECOND_MAX 100 /* files that may begin in one second */

struct tfevents;

struct tfevents_scalar {
    const char *tag; /* "eval_accuracy"; TensorBoard groups by what stands before a "/" */
    double value;    /* written as float32 */
};

/* Makes `folder` if it is missing and opens a new file in it. `host` names the machine. */
MUST_CHECK enum status tfevents_open(const char *folder, const char *host, int64_t wall_ms,
                                     struct tfevents **out, struct error *err);
void tfevents_close(struct tfevents *events); /* accepts NULL */
/* One record with all of these scalars; `count` is at most TFEVENTS_SCALARS_MAX. */
MUST_CHECK enum status tfevents_scalars(struct tfevents *events, int64_t step, int64_t wall_ms,
                                        const struct tfevents_scalar *scalars, size_t count,
                                        struct error *err);
/* The path of the file that is open. */
const char *tfevents_path(const struct tfevents *events);

/* CRC-32C (Castagnoli, reflected polynomial 0x82F63B78): of "123456789" it is 0xE3069283. */
uint32_t crc32c(const void *bytes, size_t size);
/* As TFRecords store it, so that a checksum of bytes that hold checksums stays sound. */
uint32_t crc32c_mask(uint32_t crc);

#endif
